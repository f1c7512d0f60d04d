"""Every metric of every class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.diverged import diverged_notes
from attnbench.reporting.format import NOTHING, count, decimals, number
from attnbench.reporting.results import ALL, absent_runs, keyed
from attnbench.reporting.tables.cells import (
    DASH,
    best_cell,
    best_notes,
    distances_in,
    exploratory,
    few_groups,
    heading,
    legend,
    mean_interval,
    unit_of,
)
from attnbench.reporting.tables.comparison import join_comparison
from attnbench.reporting.tables.render import Block, Cell, Column, Row, Table, plain_row

if TYPE_CHECKING:
    from attnbench.reporting.results import Results


def tabulate_per_class(results: Results) -> Table:
    """Show means of every class: with intervals for the main metrics, plain for the others."""
    frame = join_comparison(results)
    frame = frame[frame["class"] != ALL].reset_index(drop=True)
    others = (name for name in results.study.metrics if name not in results.metrics)
    metrics = (*results.metrics, *others)
    headings = (*map(heading, metrics), "Cases", "Undefined")
    return Table(
        name="per_class",
        caption="Scores per class",
        columns=(Column("Model", "l"), *map(Column, headings)),
        blocks=tuple(
            block
            for dataset in results.datasets
            for block in _blocks(results, frame, dataset, metrics)
        ),
        notes=(
            *best_notes(results),
            *legend(results)[:2],
            exploratory(results),
            "Undefined: values that have no meaning because a mask has no voxel of the class, "
            "summed over the metrics.",
            *few_groups(frame["mean"], frame["low"]),
            *diverged_notes(results),
            *absent_runs(results),
        ),
        frame=frame,
    )


def _blocks(
    results: Results, frame: pd.DataFrame, dataset: str, metrics: tuple[str, ...]
) -> Iterator[Block]:
    """Yield a block per class of a dataset, one with dashes where nothing has been scored."""
    rows = frame[frame["dataset"] == dataset]
    label = results.dataset_label(dataset)
    unit = distances_in({unit_of(frame, dataset, metric) for metric in metrics})
    if rows.empty:
        yield Block(label, ((DASH,) * (len(metrics) + 3),))
    # Classes are texts in the frame ("all" is one): by number, 10 comes after 9.
    for number_of_class in sorted(rows["class"].unique(), key=int):
        of_class = rows[rows["class"] == number_of_class]
        yield Block(
            f"{label}: {of_class['class_name'].iloc[0]}{unit}",
            tuple(_row(results, of_class, model, metrics) for model in results.models),
        )


def _row(results: Results, rows: pd.DataFrame, model: str, metrics: tuple[str, ...]) -> Row:
    by_metric = keyed(rows[rows["model"] == model], "metric")
    cells = [_cell(by_metric.get(metric), metric in results.metrics) for metric in metrics]
    behind = (NOTHING, NOTHING)
    if by_metric:
        cases = max(row["cases"] for row in by_metric.values())
        undefined = sum(row["undefined"] for row in by_metric.values())
        behind = (count(cases), count(undefined))
    return plain_row(results.label(model), *cells, *behind)


def _cell(row: dict[str, Any] | None, main: bool) -> Cell:
    if row is None:
        return DASH
    text = mean_interval(row) if main else number(row["mean"], decimals(row["unit"]))
    return best_cell(text, row)
