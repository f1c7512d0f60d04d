"""What has to be said beside every model whose predictions were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnbench.reporting.words import ELSEWHERE
from attnbench.training.sealed import facts_of_run

if TYPE_CHECKING:
    from attnbench.reporting.results import Results


def origin_notes(results: Results) -> list[str]:
    """Return the footnote of `ELSEWHERE`, then the cases without a prediction; empty if none."""
    named = [
        f"{results.label(model.name)}: {model.predictions.origin}"
        for model in results.study.models
        if model.predictions
    ]
    if not named:
        return []
    return [
        f"{ELSEWHERE} Predictions made elsewhere, by another recipe, scored here on the same folds "
        f"and cases. {'; '.join(named)}. They speak as trained only, have tests of their own that "
        "change no others, and take no part in ranks, in bold and in daggers.",
        *_missing(results),
    ]


def _missing(results: Results) -> Iterator[str]:
    for run in results.study.runs():
        path = results.layout.run(run) / "run.json"
        if run.model in results.study.elsewhere and path.is_file():
            cases = facts_of_run(results.study, run).get("missing", [])
            if cases:
                yield (
                    f"{ELSEWHERE} {results.dataset_label(run.dataset)}, "
                    f"{results.label(run.model)}, fold {run.fold}: no prediction of "
                    f"{len(cases)} case(s), counted as empty masks: {', '.join(cases)}."
                )
