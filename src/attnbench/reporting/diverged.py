"""What has to be said beside every score of a model of which a training diverged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.errors import listed
from attnbench.reporting.results import records

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

LOST = "‡"
"""Stands behind every mean that lacks the runs that diverged."""


def diverged_notes(results: Results) -> list[str]:
    """Return how many runs of which models diverged, at which step, and what follows from it.

    Empty where every training came to its end.
    """
    counts = diverged_counts(results)
    if not counts:
        return []
    return [
        f"{LOST} {'; '.join(counts)}. A run that diverged has no score: a mean with this mark is "
        "that of the model's other runs, which flatters it, and the model is neither compared nor "
        "ranked on that dataset (runs diverged)."
    ]


def diverged_counts(results: Results) -> list[str]:
    """Return a text per dataset and model with runs that diverged: how many of how many, where."""
    runs = results.frame("runs")
    said = []
    for (dataset, model), own in runs.groupby(["dataset", "model"], sort=False):
        lost = records(own[own["diverged"].notna()])
        if lost:
            where = [
                f"fold {row['fold']} seed {row['seed']} by step {row['diverged']:.0f}"
                for row in lost
            ]
            said.append(
                f"{results.dataset_label(str(dataset))}, {results.label(str(model))}: {len(lost)} "
                f"of {len(own)} runs diverged ({listed(where, 5)})"
            )
    return said
