"""The main result: every model's score on every dataset, and its difference from the baseline."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.second_rater import SECOND_RATER
from attnbench.reporting.format import NOTHING, count, decimals, interval
from attnbench.reporting.frames import absent_runs, keyed, read_frame, records
from attnbench.reporting.tables.cells import (
    ALL,
    best_notes,
    compared,
    few_groups,
    heading,
    legend,
    marked_best,
    unit_of,
    verdicts,
)
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_KEYS = ["dataset", "class", "class_name", "metric", "model"]
_EFFECT = [
    "difference", "difference_low", "difference_high", "p_holm", "retrained_low", "retrained_high", "p_retrained_holm",
    "verdict_retrained",
]  # fmt: skip
SECOND_RATER_NOTE = (
    "Second rater: another person's annotation scored as a model, on the cases that have one; "
    "`analysis/second_rater.csv` has the models on the same cases."
)


def comparison_frame(study: Study) -> pd.DataFrame:
    """Means of every dataset, class, metric and model beside the difference from the baseline.

    Columns: those of `means.csv`, then `difference, difference_low, difference_high, p_holm` and
    the columns of `effects.csv` about retrained models, `best` (has the best mean of its
    dataset, class and metric) and `as_good` (not told from it) of `best.csv`, and
    `against_baseline`, the `verdicts` on the models as trained.
    """
    means = read_frame(study, "means")
    effects = read_frame(study, "effects").rename(
        columns={"low": "difference_low", "high": "difference_high"}
    )
    frame = means.merge(effects[[*_KEYS, *_EFFECT]], on=_KEYS, how="left")
    keys = ["dataset", "class", "metric", "model"]
    frame = frame.merge(read_frame(study, "best")[[*keys, "best", "as_good"]], on=keys, how="left")
    frame["best"] = frame["best"].eq(frame["model"])
    frame["as_good"] = frame["as_good"].eq(True)
    frame["against_baseline"] = verdicts(study, frame)
    return frame


def second_rater_line(study: Study) -> pd.DataFrame:
    """Means of the second rater, as rows of `comparison_frame` that are never best; empty
    without one.
    """
    human = read_frame(study, "second_rater")
    return human[human["model"] == SECOND_RATER].assign(
        best=False, as_good=False, against_baseline=""
    )


def comparison(study: Study) -> Table:
    """Mean and interval of the main metrics over all classes, with the difference from the
    baseline.
    """
    frame = comparison_frame(study)
    human = second_rater_line(study)
    frame = pd.concat([frame, human]) if len(human) else frame
    frame = frame[frame["class"] == ALL].reset_index(drop=True)
    metrics = main_metrics(study.metrics)
    head = ["Model"]
    for metric in metrics:
        head += [heading(metric), f"Δ {METRICS[metric].label}", "p"]
    return Table(
        name="comparison",
        caption=(
            f"Comparison with {display_name(study.baseline)} by {_joined(metrics)}, mean over "
            "classes, with "
            f"{study.analysis.confidence:.0%} intervals"
        ),
        head=(*head, "Cases", "Groups"),
        align=("l", *("r",) * (3 * len(metrics) + 2)),
        blocks=tuple(
            Block(_title(frame, part.name, metrics), tuple(_rows(study, frame, part.name, metrics)))
            for part in study.datasets
        ),
        notes=(
            *best_notes(study),
            *legend(study),
            *few_groups(frame["mean"], frame["low"]),
            *([SECOND_RATER_NOTE] if len(human) else []),
            *_undefined(frame, metrics),
            *absent_runs(study),
        ),
        frame=frame,
    )


def _joined(metrics: tuple[str, ...]) -> str:
    return " and ".join(METRICS[metric].label for metric in metrics)


def _title(frame: pd.DataFrame, dataset: str, metrics: tuple[str, ...]) -> str:
    units = {metric: display_unit(unit_of(frame, dataset, metric)) for metric in metrics}
    stated = ", ".join(
        f"{METRICS[metric].label} in {unit}" for metric, unit in units.items() if unit
    )
    return f"{display_name(dataset)} ({stated})" if stated else display_name(dataset)


def _rows(
    study: Study, frame: pd.DataFrame, dataset: str, metrics: tuple[str, ...]
) -> list[tuple[str, ...]]:
    rows = []
    human = (
        [SECOND_RATER]
        if ((frame["dataset"] == dataset) & (frame["model"] == SECOND_RATER)).any()
        else []
    )
    for model in (*(part.name for part in study.models), *human):
        cells: list[str] = [display_name(model)]
        found = keyed(frame[(frame["dataset"] == dataset) & (frame["model"] == model)], "metric")
        for metric in metrics:
            cells += _cells(found, metric)
        behind = max(
            found.values(), key=lambda row: row["cases"], default={"cases": nan, "groups": nan}
        )
        rows.append((*cells, count(behind["cases"]), count(behind["groups"])))
    return rows


def _cells(found: dict[str, dict[str, Any]], metric: str) -> tuple[str, str, str]:
    """Mean, difference and p of one model and metric; dashes where there is none."""
    if metric not in found:
        return NOTHING, NOTHING, NOTHING
    row = found[metric]
    mean = interval(row["mean"], row["low"], row["high"], decimals(row["unit"]))
    if row["model"] == SECOND_RATER:
        return mean, NOTHING, NOTHING
    return marked_best(mean, row), *compared(row)


def _undefined(frame: pd.DataFrame, metrics: tuple[str, ...]) -> list[str]:
    """One sentence per dataset, model and metric with values that are undefined and therefore
    not in the mean.
    """
    rows = frame[frame["metric"].isin(metrics) & (frame["undefined"] > 0)]
    return [
        f"{display_name(row['dataset'])}, {display_name(row['model'])}: "
        f"{METRICS[row['metric']].label} undefined "
        f"{row['undefined']:.0f} times (an empty mask)"
        for row in records(rows)
    ]
