"""The values that a study's sweep tried, and which of them each model and fold got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from attnbench.analysis.frames import of_rows
from attnbench.analysis.runs import read_object
from attnbench.study.settings import Study


def compute_sweep(study: Study) -> pd.DataFrame:
    """One row per dataset, model, fold and value that was tried, of the choices made so far.

    `at_edge` is true of a chosen value that is the smallest or largest of the grid: a better one
    may lie beyond.
    """
    numbers = dict.fromkeys(("value", "score", "seconds", "energy_j"), "float64")
    return of_rows("sweep", list(_rows(study))).astype(numbers)


def _rows(study: Study) -> Iterator[dict[str, Any]]:
    for dataset in study.trained_datasets if study.training.sweep else ():
        for model in study.trained_models:
            for fold in study.folds_to_run(dataset.name):
                place = {"dataset": dataset.name, "model": model.name, "fold": fold}
                choice = read_object(study.layout.choice(dataset.name, model.name, fold))
                yield from ({**place, **row} for row in _tried(choice))


def _tried(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    trials = choice.get("trials", [])
    values = sorted(trial["value"] for trial in trials)
    for trial in trials:
        chosen = trial["value"] == choice["chosen"]
        # Of two values both are edges: there is no inside to widen from.
        at_edge = (
            chosen
            and trial["score"] is not None
            and len(values) > 2
            and trial["value"] in (values[0], values[-1])
        )
        yield {"key": choice["key"], **trial, "chosen": chosen, "at_edge": at_edge}
