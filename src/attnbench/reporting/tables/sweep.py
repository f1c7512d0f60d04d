"""The values that a sweep tried on inner validation, and the one that every fold got."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.reporting.format import NOTHING, number
from attnbench.reporting.results import records
from attnbench.reporting.tables.render import Block, Cell, Column, Row, Table, plain_row
from attnbench.study.groups import SWEEP_RULE

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.reporting.results import Results

_DIGITS = 4


def tabulate_sweep(results: Results) -> Table:
    """Show the validation Dice of every value by dataset, model and fold, the chosen in bold."""
    frame = results.frame("sweep")
    trials = results.study.training.trials()
    key = trials[0][0].replace("_", " ")
    return Table(
        name="sweep",
        caption=f"Validation Dice by {key}; bold: chosen for that fold",
        columns=(
            *(Column(heading, "l") for heading in ("Model", "Fold")),
            *(Column(f"{value:.12g}") for _, value in trials),
        ),
        blocks=tuple(
            Block(results.dataset_label(dataset), _rows(results, frame, dataset))
            for dataset in results.datasets
        ),
        notes=(
            f"Rule: {SWEEP_RULE}. {len(trials)} trials for every model, dataset and fold, each a "
            "training at full budget; a dash: the training diverged.",
            *_edges(results, frame, key),
            *(["No value has been chosen yet."] if frame.empty else []),
        ),
        frame=frame,
    )


def _rows(results: Results, frame: pd.DataFrame, dataset: str) -> tuple[Row, ...]:
    rows = []
    of_dataset = frame[frame["dataset"] == dataset]
    for (model, fold), tried in of_dataset.groupby(["model", "fold"], sort=False):
        cells = (
            Cell(number(row["score"], _DIGITS), "‡" if row["at_edge"] else "", bool(row["chosen"]))
            for row in records(tried)
        )
        rows.append(plain_row(results.label(str(model)), str(fold), *cells))
    return tuple(rows) or (plain_row(*[NOTHING] * (2 + len(results.study.training.trials()))),)


def _edges(results: Results, frame: pd.DataFrame, key: str) -> list[str]:
    edges = frame[frame["at_edge"].eq(True)].drop_duplicates(["dataset", "model", "fold"])
    if edges.empty:
        return []
    counts = edges.groupby("model", sort=False).size()
    named = ", ".join(f"{results.label(str(model))} ({count})" for model, count in counts.items())
    return [
        f"‡ The best {key} lies at the edge of the grid: widen it. Folds where it does: {named}."
    ]
