"""Budgets that are known to train next to nothing."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from attnbench.study.settings import Study

LEAST_RATE_STEPS = 1.5
"""Learning rate times steps of AdamW below which every set was left far behind."""


class ShortBudget(NamedTuple):
    """Steps of some `models` on a dataset that are too few for their learning rates."""

    dataset: str
    rates: tuple[float, ...]
    steps: int
    models: list[str]

    @property
    def enough(self) -> int:
        """Steps that the largest of the rates takes."""
        return math.ceil(LEAST_RATE_STEPS / max(self.rates))


def short_budgets(study: Study) -> list[ShortBudget]:
    """Return budgets of AdamW by whose rate no set was learned in the experiment."""
    found: dict[tuple[str, tuple[float, ...], int], list[str]] = {}
    for dataset, model in itertools.product(study.trained_datasets, study.trained_models):
        training = study.training_of(dataset.name, model.name)
        rates = (training.sweep or {}).get("learning_rate", (training.learning_rate,))
        small = tuple(rate for rate in rates if rate * training.steps < LEAST_RATE_STEPS)
        if training.optimiser == "adamw" and small:
            found.setdefault((dataset.name, small, training.steps), []).append(model.name)
    return [ShortBudget(*key, models) for key, models in found.items()]
