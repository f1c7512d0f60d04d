"""Every metric of every class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.format import NOTHING, count, decimals, interval, number
from attnbench.reporting.frames import absent_runs, keyed
from attnbench.reporting.tables.cells import (
    ALL,
    best_notes,
    few_groups,
    heading,
    legend,
    marked_best,
    unit_of,
)
from attnbench.reporting.tables.comparison import comparison_frame
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def per_class(study: Study) -> Table:
    """Means of every class: with intervals for the main metrics, plain for the others."""
    frame = comparison_frame(study)
    frame = frame[frame["class"] != ALL].reset_index(drop=True)
    main = main_metrics(study.metrics)
    metrics = (*main, *(name for name in study.metrics if name not in main))
    return Table(
        name="per_class",
        caption="Scores per class",
        head=("Model", *(heading(metric) for metric in metrics), "Cases", "Undefined"),
        align=("l", *("r",) * (len(metrics) + 2)),
        blocks=tuple(
            block for part in study.datasets for block in _blocks(study, frame, part.name, metrics)
        ),
        notes=(
            *best_notes(study),
            *legend(study)[:2],
            "Undefined: values that have no meaning because a mask has no voxel of the class, "
            "summed over the metrics.",
            *few_groups(frame["mean"], frame["low"]),
            *absent_runs(study),
        ),
        frame=frame,
    )


def _blocks(
    study: Study, frame: pd.DataFrame, dataset: str, metrics: tuple[str, ...]
) -> list[Block]:
    rows = frame[frame["dataset"] == dataset]
    units = {display_unit(unit_of(frame, dataset, metric)) for metric in metrics} - {""}
    unit = f" (distances in {', '.join(sorted(units))})" if units else ""
    return [
        Block(
            f"{display_name(dataset)}: "
            f"{rows.loc[rows['class'] == name, 'class_name'].iloc[0]}{unit}",
            tuple(
                _row(rows[rows["class"] == name], part.name, study, metrics)
                for part in study.models
            ),
        )
        for name in sorted(rows["class"].unique(), key=int)
    ] or [Block(display_name(dataset), ((NOTHING,) * (len(metrics) + 3),))]


def _row(rows: pd.DataFrame, model: str, study: Study, metrics: tuple[str, ...]) -> tuple[str, ...]:
    found = keyed(rows[rows["model"] == model], "metric")
    cells: list[str] = [display_name(model)]
    for metric in metrics:
        if metric not in found:
            cells.append(NOTHING)
            continue
        row = found[metric]
        digits = decimals(row["unit"])
        shown = metric in main_metrics(study.metrics)
        text = (
            interval(row["mean"], row["low"], row["high"], digits)
            if shown
            else number(row["mean"], digits)
        )
        cells.append(marked_best(text, row))
    if not found:
        return (*cells, NOTHING, NOTHING)
    behind = found.values()
    return (
        *cells,
        count(max(row["cases"] for row in behind)),
        count(sum(row["undefined"] for row in behind)),
    )
