"""Models away from the data of training: other datasets, worse images, fewer training groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.format import NOTHING, count, decimals, interval
from attnbench.reporting.frames import absent_runs, keyed, read_frame
from attnbench.reporting.tables.cells import (
    ALL,
    block_title,
    compared,
    few_groups,
    heading,
    mark,
    verdicts,
)
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def transfer(study: Study) -> Table:
    """Models trained on one dataset and scored on every case of another, with the difference
    from the baseline.
    """
    frame = _judged(study, "transfer")
    metrics = main_metrics(study.metrics)
    shown = frame[frame["class"] == ALL]
    head = ["Model"]
    for metric in metrics:
        head += [heading(metric), f"Δ {METRICS[metric].label}", "p"]
    return Table(
        name="transfer",
        caption="Models trained on one dataset and scored on another, mean over classes",
        head=(*head, "Cases", "Groups"),
        align=("l", *("r",) * (len(head) + 1)),
        blocks=tuple(
            Block(
                f"{display_name(part.train)} → "
                f"{display_name(part.test)}{_units(shown, part.train, part.test)}",
                tuple(_transferred(study, shown, part.train, part.test)),
            )
            for part in study.transfer
        ),
        notes=(
            "Every case of the second dataset, averaged over the trainings (folds and seeds) on "
            "the first. The CSV has "
            "the scores on the first, too.",
            *_legend(study, "Δ: paired difference from the baseline. "),
            *few_groups(shown["mean"], shown["low"]),
            *_unfinished(study, "transfer", shown),
        ),
        frame=frame,
    )


def corruption(study: Study) -> Table:
    """Change of the main metrics per level of every corruption, compared with the baseline's."""
    return _grid(
        study,
        "corruption",
        _judged(study, "corruption_slopes").rename(columns={"slope": "mean"}),
        {kind: display_name(kind) for kind in study.corruptions},
        "Change of the score per level of a corruption (1 to 5), mean over classes",
    )


def data_efficiency(study: Study) -> Table:
    """The main metrics after training on shares of the training groups, compared with the
    baseline's.
    """
    return _grid(
        study,
        "data_efficiency",
        _judged(study, "data_efficiency"),
        {percent: f"{percent} %" for percent in (*study.data_efficiency, 100)},
        "Scores after training on a share of the training groups, mean over classes",
    )


_COLUMN = {"corruption": "corruption", "data_efficiency": "percent"}
_SOURCE = {"corruption": "corrupted", "data_efficiency": "data_efficiency"}


def _grid(
    study: Study, name: str, frame: pd.DataFrame, columns: Mapping[Any, str], caption: str
) -> Table:
    """A row per model and a column per corruption or share, in blocks by dataset and metric."""
    shown = frame[frame["class"] == ALL]
    blocks = []
    for part in study.datasets:
        for metric in main_metrics(study.metrics):
            rows = shown[(shown["dataset"] == part.name) & (shown["metric"] == metric)]
            cells = {
                (row["model"], row[_COLUMN[name]]): _marked(row, sign=name == "corruption")
                for row in rows.to_dict("records")
            }
            lines = (
                (
                    display_name(model.name),
                    *(cells.get((model.name, column), NOTHING) for column in columns),
                )
                for model in study.models
            )
            blocks.append(Block(block_title(shown, part.name, metric), tuple(lines)))
    return Table(
        name=name,
        caption=caption,
        head=("Model", *columns.values()),
        align=("l", *("r",) * len(columns)),
        blocks=tuple(blocks),
        notes=(
            *_legend(study),
            *few_groups(shown["mean"], shown["low"]),
            *_unfinished(study, _SOURCE[name], shown),
        ),
        frame=frame,
    )


def _judged(study: Study, name: str) -> pd.DataFrame:
    frame = read_frame(study, name)
    return frame.assign(against_baseline=verdicts(study, frame))


def _marked(row: Mapping[Any, Any], sign: bool) -> str:
    return interval(row["mean"], row["low"], row["high"], decimals(row["unit"]), sign=sign) + mark(
        dict(row)
    )


def _units(frame: pd.DataFrame, train: str, test: str) -> str:
    there = frame[(frame["train"] == train) & (frame["test"] == test)]
    units = {display_unit(unit) for unit in there["unit"]} - {""}
    return f" (distances in {', '.join(sorted(units))})" if units else ""


def _transferred(study: Study, frame: pd.DataFrame, train: str, test: str) -> list[tuple[str, ...]]:
    rows, metrics = [], main_metrics(study.metrics)
    there = frame[(frame["train"] == train) & (frame["test"] == test)]
    for model in study.models:
        found = keyed(there[there["model"] == model.name], "metric")
        cells = [display_name(model.name)]
        for metric in metrics:
            cells += _with_difference(found[metric]) if metric in found else (NOTHING,) * 3
        behind = next(iter(found.values()), {})
        rows.append(
            (*cells, *(count(behind.get(name, float("nan"))) for name in ("cases", "groups")))
        )
    return rows


def _with_difference(row: dict[str, Any]) -> tuple[str, str, str]:
    return interval(row["mean"], row["low"], row["high"], decimals(row["unit"])), *compared(row)


def _legend(study: Study, difference: str = "") -> tuple[str, ...]:
    level = 1 - study.analysis.confidence
    return (
        f"[ ]: {study.analysis.confidence:.0%} bootstrap interval over groups. {difference}"
        f"⁺ better, ⁻ worse than the baseline {display_name(study.baseline)} (paired signed-rank "
        "test over groups, "
        f"corrected by Holm, p < {level:.2g}); for the models as trained.",
    )


def _unfinished(study: Study, table: str, shown: pd.DataFrame) -> tuple[str, ...]:
    return (
        ("Nothing of this has been scored yet.",)
        if shown.empty
        else tuple(absent_runs(study, table))
    )
