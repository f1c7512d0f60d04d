"""Openness of every mechanism: gamma, gates, entropy and what it changes, over the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.diverged import diverged_notes
from attnbench.reporting.format import count, interval, number
from attnbench.reporting.recipes import undertrained_notes
from attnbench.reporting.results import records
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.study.base import is_own_code

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_COLUMNS = (
    *(Column(heading, "l") for heading in ("Model", "Slot", "Reading")),
    Column("Change in %"),
    *(Column(heading, wide=True) for heading in ("Scale γ", "Gate", "Spread of gate", "Entropy")),
    Column("Runs"),
)
# Of each number of the frame: its factor and digits.
_SHOWN = {
    "change": (100, 1),
    "scale": (1, 3),
    "gate_mean": (1, 2),
    "gate_sd": (1, 2),
    "entropy": (1, 2),
}


def tabulate_gates(results: Results) -> Table:
    """Show the mean over runs with the least and largest; the CSV has every run, fold by fold."""
    frame = results.frame("openness")
    return Table(
        name="gates",
        caption="How far the mechanisms opened: mean over runs [least, largest]",
        columns=_COLUMNS,
        blocks=tuple(
            Block(
                results.dataset_label(dataset),
                tuple(_rows(results, frame[frame["dataset"] == dataset])),
            )
            for dataset in results.datasets
        ),
        notes=(
            "Read on the fullest windows of four test cases, the same for all models of a fold. "
            "Change: norm of what a mechanism changes in its features, relative to theirs. "
            "Scale γ: mean size of the parameters that start at zero and make it the identity. "
            "Gate: weights of its sigmoids, 0 closed and 1 open, and their standard deviation "
            "over positions, channels and windows. Entropy: of its softmax over the keys, 1 "
            "uniform and 0 a single key. A dash: the mechanism has none.",
            "Hardly opened: features change by less than 1 %; that it did not help says nothing "
            "about the mechanism. Even: they change, but all weights are alike (spread below 0.01 "
            "or entropy above 0.99): its gates or softmax select nothing, what else it has (an "
            "MLP, convolutions, a choice of regions) may. Open: neither; that it did not help "
            "is a finding, if training was long enough: a mechanism that does not start as the "
            "identity is open from the first step. No reading says that it helps.",
            *undertrained_notes(results),
            *diverged_notes(results),
            *(["No mechanism has been read yet."] if frame.empty else []),
        ),
        frame=_with_labels(results, results.frame("gates")),
    )


def _with_labels(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with own code by its label: its reference is a path, not a name."""
    own = [name for name in frame["mechanism"].dropna().unique() if is_own_code(name)]
    labels = {name: results.mechanism_label(name) for name in own}
    return frame.assign(mechanism=frame["mechanism"].replace(labels))


def _rows(results: Results, frame: pd.DataFrame) -> Iterator[Row]:
    placed = Counter(
        model for model, _ in set(zip(frame["model"], frame["mechanism"], strict=True))
    )
    for row in records(frame):
        several = placed[row["model"]] > 1
        mechanism = f" {results.mechanism_label(row['mechanism'])}" if several else ""
        yield plain_row(
            results.label(row["model"]),
            f"{row['slot']} {row['level']}{mechanism}",
            row["reading"],
            *(_cell(row, name) for name in _SHOWN),
            count(row["runs"]),
        )


def _cell(row: dict[str, Any], name: str) -> str:
    factor, digits = _SHOWN[name]
    value, least, most = (factor * row[f"{name}{end}"] for end in ("", "_min", "_max"))
    # The least and the largest of one run say nothing.
    return interval(value, least, most, digits) if row["runs"] > 1 else number(value, digits)
