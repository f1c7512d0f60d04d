"""Slope of the benefit over every measure of difficulty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.reporting.format import count, interval
from attnbench.reporting.results import records
from attnbench.reporting.tables.cells import exploratory, p_cell
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.reporting.words import display_measure
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_DIGITS = 4


def tabulate_slopes(results: Results) -> Table:
    """Show the slopes of the first main metric."""
    frame = results.whole("difficulty")
    absent = "No slope yet: it needs a model beside the baseline and cases of measured difficulty."
    return Table(
        name="slopes",
        caption=f"Gain in {METRICS[results.metric].label} per standard deviation of a measure of "
        "difficulty",
        columns=(
            *(Column(heading, "l") for heading in ("Measure", "Model")),
            *map(Column, ("Slope", "In log odds", "p (Holm)", "p retrained", "Cases", "Groups")),
        ),
        blocks=tuple(
            Block(
                results.dataset_label(dataset),
                tuple(_row(results, row) for row in records(frame[frame["dataset"] == dataset])),
            )
            for dataset in results.datasets
        ),
        notes=(
            "Contrast, sharpness, size and compactness are high in easy cases; blur and clutter "
            "in hard ones.",
            "A gain that is constant in odds is smaller in Dice where scores are near 1, which "
            "looks like a slope: p is the larger of both scales. ⁺ the gain rises with the "
            "measure, ⁻ it falls, as trained and, under p retrained, for models trained again.",
            exploratory(results),
            *([absent] if frame.empty else []),
        ),
        frame=frame,
    )


def _row(results: Results, row: dict[str, Any]) -> Row:
    return plain_row(
        display_measure(row["measure"], bool(row["known_truth"])),
        results.label(row["model"]),
        interval(row["slope"], row["low"], row["high"], _DIGITS, sign=True),
        interval(row["slope_logit"], row["low_logit"], row["high_logit"], _DIGITS, sign=True),
        p_cell(row["p_holm"], row["verdict"]),
        p_cell(row["p_retrained_holm"], row["verdict_retrained"]),
        count(row["cases"]),
        count(row["groups"]),
    )
