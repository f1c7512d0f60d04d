"""The smallest difference that a design finds: its groups, folds, seeds and repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, sqrt

import numpy as np

from attnbench.analysis.effect_size import minimum_effect
from attnbench.analysis.retraining import MIN_TRAININGS, standard_effect
from attnbench.analysis.spread import Spread, overlap

_MOST_GROUPS = 100_000


@dataclass(frozen=True)
class Design:
    """Groups of a dataset, the outer folds of a split, and how often each is trained."""

    groups: int
    folds: int
    seeds: int = 1
    repeats: int = 1

    @property
    def runs(self) -> int:
        """Trainings of one model."""
        return self.folds * self.seeds * self.repeats


def group_variance(spread: Spread, design: Design) -> float:
    """Expected variance over groups of their mean differences, in the metric's unit squared."""
    shared = spread.fold**2 + spread.run**2 / design.seeds
    # Two groups of one fold have its luck in common, which does not spread them.
    alone = 1 - (design.groups / design.folds - 1) / (design.groups - 1)
    own = spread.rest**2 / design.seeds
    return spread.group**2 + (own + shared * alone) / design.repeats


def fold_variance(spread: Spread, design: Design) -> float:
    """Expected variance over folds (times repeats) of their mean differences, seeds averaged."""
    number = design.folds * design.repeats
    tested = design.groups / design.folds
    luck = spread.fold**2 + spread.run**2 / design.seeds
    patients = (spread.group**2 + spread.rest**2 / design.seeds) / tested
    # Folds of different repeats test the same groups and differ less for it.
    return luck + patients - overlap(spread.group**2, design.groups, design.folds, number)


def retrained_error(spread: Spread, design: Design) -> float:
    """Expected standard error of the corrected resampled t, as `retraining.retrained` has it."""
    number, share = design.folds * design.repeats, 1 / design.folds
    return sqrt(fold_variance(spread, design) * (1 / number + share / (1 - share)))


def detectable_effect(spread: Spread, design: Design, level: float) -> float:
    """Smallest true difference that is found with 80 % power, as trained and when trained again.

    Infinite where no difference is: below `MIN_TRAININGS` folds (times repeats), fewer groups than
    folds, or so few groups that no test of them reaches `level`.
    """
    number = design.folds * design.repeats
    if number < MIN_TRAININGS or design.groups < design.folds:
        return inf
    standard = minimum_effect(np.ones(1), np.array([design.groups]), np.array([level]))[0]
    if not np.isfinite(standard):
        return inf
    again = retrained_error(spread, design) * standard_effect(number - 1, level)
    return max(sqrt(group_variance(spread, design)) * float(standard), again)


def groups_needed(spread: Spread, design: Design, level: float, effect: float) -> int | None:
    """Fewest groups with which `design` finds `effect`; None where no number of them does."""

    def finds(groups: int) -> bool:
        return detectable_effect(spread, replace(design, groups=groups), level) <= effect

    low, high = design.folds - 1, max(design.folds, 2)
    while not finds(high):
        low, high = high, high * 2
        if high > _MOST_GROUPS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) else (middle, high)
    return high
