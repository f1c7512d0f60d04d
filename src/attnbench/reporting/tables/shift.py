"""Models under shift: external test sets, corrupted images, fewer training groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.verdicts import DIVERGED, FAILURES_DIFFER
from attnbench.reporting.diverged import diverged_notes
from attnbench.reporting.format import NOTHING, count, decimals, interval
from attnbench.reporting.results import ALL, absent_runs, keyed, records
from attnbench.reporting.tables.cells import (
    DASH,
    against_baseline,
    block_title,
    difference_cells,
    distances_in,
    exploratory,
    few_groups,
    heading,
    mean_interval,
    score_columns,
    verdict_mark,
)
from attnbench.reporting.tables.render import Block, Cell, Column, Row, Table, plain_row
from attnbench.reporting.units import groups_cell
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.shift import TransferSettings

    Cells = Callable[[Results, dict[str, Any]], list[Cell]]
    """A row of a frame to its cells of one metric."""


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
            _transfer_block(results, shown, settings, _transfer_cells)
            for settings in results.study.transfer
        ),
        notes=(
            "Every case of the second dataset, averaged over the trainings (folds and seeds) on "
            "the first. The CSV has the scores on the first, too.",
            _legend(results, "Δ: paired difference from the baseline. "),
            *_gaps(results, "transfer", shown),
        ),
        frame=frame,
    )


def _transfer_block(
    results: Results, shown: pd.DataFrame, settings: TransferSettings, cells: Cells
) -> Block:
    """Return a row per model of one transfer, with the three `cells` of each metric."""
    train, test = settings.train, settings.test
    rows = shown[(shown["train"] == train) & (shown["test"] == test)]
    unit = distances_in({display_unit(unit) for unit in rows["unit"]})
    return Block(
        f"{results.dataset_label(train)} → {results.dataset_label(test)}{unit}",
        tuple(
            _transfer_row(results, model, keyed(rows[rows["model"] == model], "metric"), cells)
            for model in results.models
        ),
    )


def _transfer_row(
    results: Results, model: str, by_metric: Mapping[str, dict[str, Any]], cells: Cells
) -> Row:
    of_metrics: list[Cell] = []
    for metric in results.metrics:
        row = by_metric.get(metric)
        of_metrics += [DASH] * 3 if row is None else cells(results, row)
    first = next(iter(by_metric.values()), None)
    behind = (NOTHING, NOTHING)
    if first:
        dataset = first["test"] if "test" in first else first["dataset"]
        groups = groups_cell(results.study, dataset, first["groups"])
        behind = (count(first["cases"]), groups)
    return plain_row(results.label(model), *of_metrics, *behind)


def _transfer_cells(_results: Results, row: dict[str, Any]) -> list[Cell]:
    return [Cell(mean_interval(row)), *difference_cells(row)]


def tabulate_held_out(results: Results) -> Table:
    """Show scores on the test sets beside the folds with the difference from the baseline."""
    frame = _judged(results, "held_out")
    shown = frame[frame["class"] == ALL]
    return Table(
        name="held_out",
        caption="Models scored on the held-out test set of their dataset, whose groups are in no "
        "fold, mean over classes",
        columns=score_columns(results),
        blocks=tuple(
            _held_out_block(results, shown[shown["dataset"] == dataset], dataset)
            for dataset in results.study.held_out
        ),
        notes=(
            "Every held-out case, averaged over the trainings of all folds and seeds.",
            _legend(results, "Δ: paired difference from the baseline. "),
            *_gaps(results, "held_out", shown),
        ),
        frame=frame,
    )


def _held_out_block(results: Results, rows: pd.DataFrame, dataset: str) -> Block:
    unit = distances_in({display_unit(unit) for unit in rows["unit"]})
    return Block(
        f"{results.dataset_label(dataset)}, held out{unit}",
        tuple(
            _transfer_row(
                results, model, keyed(rows[rows["model"] == model], "metric"), _transfer_cells
            )
            for model in results.models
        ),
    )


def tabulate_ensembles(results: Results) -> Table:
    """Show the ensembles' scores on external test sets, their gain and what separates them."""
    frame = results.frame("ensembles")
    shown = frame[frame["class"] == ALL]
    numbers = sorted({int(number) for number in shown["members"]})
    members = f" of {' or '.join(map(str, numbers))} trainings" if numbers else ""
    columns = [Column("Model", "l")]
    for metric in results.metrics:
        columns += [
            Column(heading(metric)),
            Column("Gain", wide=True),
            Column(f"Δ {METRICS[metric].label}"),
        ]
    return Table(
        name="ensembles",
        caption=f"Ensembles{members} on external test sets, mean over classes",
        columns=(*columns, Column("Cases", wide=True), Column("Groups", wide=True)),
        blocks=tuple(
            _transfer_block(results, shown, settings, _ensemble_cells)
            for settings in results.study.transfer
            if settings.ensemble
        ),
        notes=(
            "The mean of the class probabilities of all trainings (folds and seeds) of a model, "
            "scored on cases that none of them was trained on.",
            "Gain: paired difference from the mean score of the single trainings. Δ: paired "
            f"difference from the ensemble of the baseline {results.baseline_label}. [ ]: "
            f"{results.study.analysis.confidence:.0%} interval over groups, not adjusted for the "
            "number of comparisons.",
            "One ensemble per model is one training event: the intervals are about these networks "
            "on other cases of that set, not about models trained again, so that no verdict is "
            f"given. Exploratory. {exploratory(results)}",
            *_gaps(results, "ensembles", shown),
        ),
        frame=frame,
    )


def _ensemble_cells(results: Results, row: dict[str, Any]) -> list[Cell]:
    unit = decimals(row["unit"])
    gain = interval(row["gain"], row["gain_low"], row["gain_high"], unit, sign=True)
    limits = row["difference_low"], row["difference_high"]
    difference = interval(row["difference"], *limits, unit, sign=True)
    if row["model"] == results.baseline:
        difference = "baseline"
    elif row["failures_differ"]:
        difference = FAILURES_DIFFER
    elif not row["members"]:
        difference = DIVERGED
    return [Cell(mean_interval(row)), Cell(gain), Cell(difference)]


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
        *diverged_notes(results),
        *(["Nothing of this has been scored yet."] if shown.empty else absent),
    ]
