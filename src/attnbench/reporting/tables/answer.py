"""The primary comparison: every variant against the baseline and its controls of equal size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.reporting.diverged import diverged_notes
from attnbench.reporting.format import count, decimals, interval, number, p_value
from attnbench.reporting.recipes import undertrained_notes
from attnbench.reporting.results import records
from attnbench.reporting.tables.cells import shares
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.reporting.units import groups_cell
from attnbench.reporting.words import whole_networks
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_COLUMNS = (
    *(Column(heading, "l") for heading in ("Variant", "Answer")),
    *map(
        Column,
        (
            "Δ", "Retrained", "p", "p retrained", "Better / equal / worse", "Weakest gain",
            "Groups", "Trainings",
        ),
    ),
)  # fmt: skip


def tabulate_answer(results: Results) -> Table:
    """Show the rows of the answer, one per dataset and variant."""
    frame = results.frame("answer")
    metric, class_ = results.study.primary
    whole = "mean over classes" if class_ == "all" else f"class {class_}"
    level = results.study.analysis.confidence
    return Table(
        name="answer",
        caption=f"Primary comparison: {METRICS[metric].label}, {whole}, against "
        f"{results.baseline_label} and, where there are any, controls of equal size",
        columns=_COLUMNS,
        blocks=tuple(
            Block(
                results.dataset_label(dataset),
                tuple(_row(results, row) for row in records(frame[frame["dataset"] == dataset])),
            )
            for dataset in results.datasets
        ),
        notes=(
            f"Δ: difference from {results.baseline_label} with simultaneous {level:.0%} intervals "
            "(Bonferroni over the rows), for the models as trained; Retrained: the same for models "
            "trained again. p: intersection-union test, the largest p of the comparisons with the "
            "baseline and with each control of equal size, corrected by Holm over the rows. "
            "Weakest gain: of these the one with the least evidence; above 0 is better whatever "
            "the metric.",
            "Helps: better than all of them, as trained and when trained again. Not separated from "
            "size: better than the baseline, but a control of equal size is missing or is not "
            "shown to be worse. A comparison that is not significant shows nothing.",
            "Better / equal / worse: posterior probabilities of the Bayesian correlated t test for "
            "models trained again, equal within the margin; a dash below five folds.",
            *(f"{note}." for note in whole_networks(results.study.models)),
            *_lacking(results),
            *undertrained_notes(results),
            *diverged_notes(results),
            *(["No variant and baseline have both been scored yet."] if frame.empty else []),
        ),
        frame=frame,
    )


def _row(results: Results, row: dict[str, Any]) -> Row:
    digits = decimals(row["unit"])
    ends, again = (
        (row[f"{name}_low"], row[f"{name}_high"])
        for name in ("simultaneous", "simultaneous_retrained")
    )
    least = number(row["weakest_benefit"], digits, sign=True)
    return plain_row(
        results.label(row["model"]),
        row["verdict"],
        interval(row["difference"], *ends, digits, sign=True),
        interval(row["difference"], *again, digits, sign=True),
        p_value(row["p_all_holm"]),
        p_value(row["p_all_retrained_holm"]),
        shares(row),
        f"{least} ({results.label(row['weakest'])})",
        groups_cell(results.study, row["dataset"], row["groups"]),
        count(row["folds"] * row["seeds"]),
    )


def _lacking(results: Results) -> list[str]:
    rows = results.frame("answer").dropna(subset="lacking").drop_duplicates(["model", "lacking"])
    return [
        f"{results.label(row['model'])} has no control of equal "
        f"{row['lacking'].replace(' + ', ' and ')}: a gain could not be told from that of a larger "
        "network."
        for row in records(rows)
    ]
