"""Every paired difference from the baseline, with its test and what stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.format import NOTHING, count, decimals, interval, p_value
from attnbench.reporting.frames import keyed, read_frame, records
from attnbench.reporting.tables.cells import (
    ALL,
    VERDICTS,
    block_title,
    few_groups,
    legend,
    verdicts,
)
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_HEAD = (
    "Model",
    "Δ",
    "p",
    "p (Holm)",
    "p retrained",
    "Tests",
    "Better",
    "Worse",
    "Cases",
    "Groups",
)


def effects(study: Study) -> Table:
    """Differences from the baseline in the main metrics; the CSV has every metric and class."""
    frame = read_frame(study, "effects")
    frame["against_baseline"] = verdicts(study, frame)
    return Table(
        name="effects",
        caption=f"Paired differences from {display_name(study.baseline)}, mean over classes",
        head=_HEAD,
        align=("l", *("r",) * (len(_HEAD) - 1)),
        blocks=tuple(
            Block(
                block_title(frame, part.name, metric), tuple(_rows(study, frame, part.name, metric))
            )
            for part in study.datasets
            for metric in main_metrics(study.metrics)
        ),
        notes=(
            *legend(study),
            "p retrained: Holm-corrected p when the models are trained again as well, clustered "
            "by group and training; "
            "a dash with a single training.",
            "Tests: size of the family that Holm's correction counts. Better, Worse: cases in "
            "which the model is "
            "better or worse than the baseline.",
            "The CSV beside this table has every metric and every class.",
            *few_groups(frame["difference"], frame["low"]),
            *_notes(study, frame),
        ),
        frame=frame,
    )


def _rows(study: Study, frame: pd.DataFrame, dataset: str, metric: str) -> list[tuple[str, ...]]:
    rows = []
    chosen = frame[
        (frame["dataset"] == dataset) & (frame["metric"] == metric) & (frame["class"] == ALL)
    ]
    found = keyed(chosen, "model")
    for model in (part.name for part in study.models if part.name != study.baseline):
        if model not in found:
            rows.append((display_name(model), *(NOTHING,) * (len(_HEAD) - 1)))
            continue
        row = found[model]
        rows.append(
            (
                display_name(model),
                interval(
                    row["difference"], row["low"], row["high"], decimals(row["unit"]), sign=True
                ),
                p_value(row["p"]),
                p_value(row["p_holm"]) + VERDICTS.get(row["against_baseline"], ""),
                p_value(row["p_retrained_holm"]) + VERDICTS.get(row["verdict_retrained"], ""),
                count(row["family_size"]),
                count(row["better"]),
                count(row["worse"]),
                count(row["cases"]),
                count(row["groups"]),
            )
        )
    return rows


def _notes(study: Study, frame: pd.DataFrame) -> list[str]:
    dropped = frame[(frame["class"] == ALL) & (frame["dropped"] > 0)]
    notes = [
        f"{display_name(row['dataset'])}, {display_name(row['model'])}, "
        f"{METRICS[row['metric']].label}: "
        f"{row['dropped']:.0f} cases left out of the pairs (undefined for one of the two)"
        for row in records(dropped[dropped["metric"].isin(main_metrics(study.metrics))])
    ]
    if len(study.models) == 1:
        return ["The study has the baseline alone: there is nothing to compare.", *notes]
    return ["No effect has been computed yet.", *notes] if frame.empty else notes
