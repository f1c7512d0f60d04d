"""Models under shift: external test sets, corrupted images, fewer training groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.format import NOTHING, count
from attnbench.reporting.results import ALL, absent_runs, keyed, records
from attnbench.reporting.tables.cells import (
    DASH,
    against_baseline,
    block_title,
    difference_cells,
    distances_in,
    exploratory,
    few_groups,
    mean_interval,
    score_columns,
    verdict_mark,
)
from attnbench.reporting.tables.render import Block, Cell, Column, Row, Table, plain_row
from attnbench.reporting.words import display_name, display_unit

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.shift import TransferSettings


def tabulate_transfer(results: Results) -> Table:
    """Show scores on external test sets with the difference from the baseline."""
    frame = _judged(results, "transfer")
    shown = frame[frame["class"] == ALL]
    return Table(
        name="transfer",
        caption="Models trained on one dataset and scored on an external test set, mean over "
        "classes",
        columns=score_columns(results),
        blocks=tuple(
            _transfer_block(results, shown, settings) for settings in results.study.transfer
        ),
        notes=(
            "Every case of the second dataset, averaged over the trainings (folds and seeds) on "
            "the first. The CSV has the scores on the first, too.",
            _legend(results, "Δ: paired difference from the baseline. "),
            *_gaps(results, "transfer", shown),
        ),
        frame=frame,
    )


def _transfer_block(results: Results, shown: pd.DataFrame, settings: TransferSettings) -> Block:
    train, test = settings.train, settings.test
    rows = shown[(shown["train"] == train) & (shown["test"] == test)]
    unit = distances_in({display_unit(unit) for unit in rows["unit"]})
    return Block(
        f"{results.dataset_label(train)} → {results.dataset_label(test)}{unit}",
        tuple(
            _transfer_row(results, model, keyed(rows[rows["model"] == model], "metric"))
            for model in results.models
        ),
    )


def _transfer_row(results: Results, model: str, by_metric: Mapping[str, dict[str, Any]]) -> Row:
    cells: list[str | Cell] = []
    for metric in results.metrics:
        row = by_metric.get(metric)
        cells += [DASH] * 3 if row is None else [mean_interval(row), *difference_cells(row)]
    first = next(iter(by_metric.values()), None)
    behind = (count(first["cases"]), count(first["groups"])) if first else (NOTHING, NOTHING)
    return plain_row(results.label(model), *cells, *behind)


def tabulate_corruption(results: Results) -> Table:
    """Show the change of the main metrics per level of every corruption."""
    frame = _judged(results, "corruption_slopes").rename(columns={"slope": "mean"})
    shown = frame[frame["class"] == ALL]
    kinds = {kind: display_name(kind) for kind in results.study.corruptions}
    return Table(
        name="corruption",
        caption="Change of the score per level of a corruption (1 to 5), mean over classes",
        columns=(Column("Model", "l"), *map(Column, kinds.values())),
        blocks=_grid(results, shown, "corruption", kinds, sign=True),
        notes=(_legend(results), *_gaps(results, "corrupted", shown)),
        frame=frame,
    )


def tabulate_data_efficiency(results: Results) -> Table:
    """Show the main metrics after training on shares of the training groups."""
    frame = _judged(results, "data_efficiency")
    shown = frame[frame["class"] == ALL]
    shares = {percent: f"{percent} %" for percent in (*results.study.data_efficiency, 100)}
    return Table(
        name="data_efficiency",
        caption="Scores after training on a share of the training groups, mean over classes",
        columns=(Column("Model", "l"), *map(Column, shares.values())),
        blocks=_grid(results, shown, "percent", shares),
        notes=(_legend(results), *_gaps(results, "data_efficiency", shown)),
        frame=frame,
    )


def _grid(
    results: Results,
    shown: pd.DataFrame,
    column: str,
    values: Mapping[Any, str],
    sign: bool = False,
) -> tuple[Block, ...]:
    """Return blocks by dataset and metric, a row per model.

    Args:
        results: the study's results.
        shown: rows with a mean, its interval and `against_baseline`.
        column: the column of `shown` that the table has columns for.
        values: its values in order, with their headings.
        sign: write a plus before positive means.
    """
    # By value, not by order: a level or share that has not been run leaves a dash.
    cells = {
        (row["dataset"], row["metric"], row["model"], row[column]): Cell(
            mean_interval(row, sign),
            verdict_mark(row["against_baseline"], row["verdict_retrained"]),
        )
        for row in records(shown)
    }
    return tuple(
        Block(
            block_title(results, shown, dataset, metric),
            tuple(
                plain_row(
                    results.label(model),
                    *(cells.get((dataset, metric, model, value), DASH) for value in values),
                )
                for model in results.models
            ),
        )
        for dataset in results.datasets
        for metric in results.metrics
    )


def _judged(results: Results, name: str) -> pd.DataFrame:
    frame = results.frame(name)
    return frame.assign(against_baseline=against_baseline(results, frame)).drop(columns="verdict")


def _legend(results: Results, difference: str = "") -> str:
    return (
        f"[ ]: {results.study.analysis.confidence:.0%} interval over groups. "
        f"{difference}⁺ better, ⁻ worse than the baseline {results.baseline_label} (paired "
        f"sign-flip test over groups, corrected by Holm, p ≤ {results.level:.2g}), for the models "
        f"as trained; doubled: also when they are trained again. {exploratory(results)}"
    )


def _gaps(results: Results, kind: str, shown: pd.DataFrame) -> list[str]:
    """Return sentences on what lacks: intervals, runs, or everything."""
    absent = absent_runs(results, [kind])
    return [
        *few_groups(shown["mean"], shown["low"]),
        *(["Nothing of this has been scored yet."] if shown.empty else absent),
    ]
