"""Whether a difference would come out again if the models were trained again, on other patients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf

import numpy as np
from scipy import optimize, special, stats

from attnbench.analysis.averages import group_means, mean_defined, sd_defined
from attnbench.analysis.blocks import DatasetScores, Floats, Integers

MIN_TRAININGS = 5
"""With fewer folds (times repeats) nothing is claimed of models trained again.

The spread of the trainings' luck is estimated from the folds alone: from two of them it is known to
a factor of 30, from five to a factor of 3.
"""

# Conventional since Cohen, 1988.
POWER = 0.8


@dataclass(frozen=True)
class Retrained:
    """A mean over groups with the standard error of models trained again: (rows,) arrays each.

    `trainings`: folds (times repeats) behind it; seeds are averaged within them. `free`: degrees of
    freedom of Student's t. `error` is NaN with fewer than two trainings.
    """

    mean: Floats
    error: Floats
    free: Floats
    trainings: Integers

    def p(self) -> Floats:
        """Two-sided p that the mean is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            # No difference and no variation (0 / 0) is p = 1, not undefined.
            t = np.where((self.mean == 0) & (self.error == 0), 0.0, np.abs(self.mean) / self.error)
        return 2 * stats.t.sf(t, np.maximum(self.free, 1))

    def interval(self, confidence: Floats | float) -> tuple[Floats, Floats]:
        """Low and high end of the interval at `confidence`, per row or for all."""
        half = stats.t.ppf((1 + confidence) / 2, np.maximum(self.free, 1)) * self.error
        return self.mean - half, self.mean + half

    def equivalence_p(self, margin: Floats) -> Floats:
        """p of two one-sided t tests (TOST) that the mean lies within +-`margin`, (rows,).

        NaN where the margin is, and below `MIN_TRAININGS`. Schuirmann, Journal of Pharmacokinetics
        and Biopharmaceutics 15, 1987.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            room = margin - np.abs(self.mean)
            # Without variation and exactly on the margin t would be 0 / 0.
            t = np.where((self.error == 0) & (room == 0), 0.0, room / self.error)
        told = (self.trainings >= MIN_TRAININGS) & ~np.isnan(t)
        return np.where(told, stats.t.sf(t, np.maximum(self.free, 1)), np.nan)

    def probabilities(self, sign: Floats, rope: Floats) -> tuple[Floats, Floats, Floats]:
        """Posterior probability that a model is better, practically equal and worse, (rows,) each.

        The Bayesian correlated t test: with a flat prior the mean has Student's t distribution
        around its estimate. Corani and Benavoli, A Bayesian approach for comparing cross-validated
        algorithms on multiple data sets, Machine Learning 100, 2015.

        Args:
            sign: 1 where higher is better, else -1.
            rope: half the width of the region of practical equivalence; 0 for none.
        """
        free, benefit = np.maximum(self.free, 1), sign * self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            above, below = ((benefit - rope) / self.error, (benefit + rope) / self.error)
        better, worse = stats.t.cdf(above, free), stats.t.sf(below, free)
        return better, 1 - better - worse, worse


def retrained(block: DatasetScores, values: Floats) -> Retrained:
    """Mean over groups of `values` (rows, cases, trainings) with its error when trained again.

    The corrected resampled t test: seeds are averaged within a fold; the J means of the folds
    (times repeats), each weighted by its groups, vary by s; the mean's variance is s^2 (1 / J + q /
    (1 - q)) with J - 1 degrees of freedom, where q is the share of the groups that a fold tests:
    trainings share most of their data, so that they are not J independent ones. Where every
    training tests every case (`external`), the folds' spread is that of trainings alone, and the
    variance of the groups' mean is added. Nadeau and Bengio, Inference for the generalization
    error, Machine Learning 52, 2003; Bouckaert and Frank, PAKDD 2004, for repeated splits.
    """
    rows, cases, _ = values.shape
    per_fold = mean_defined(values.reshape(rows, cases, block.repeats, -1), 3)
    groups = np.stack(
        [
            group_means(per_fold[:, :, repeat], block.case_group, len(block.groups))
            for repeat in range(block.repeats)
        ],
        axis=2,
    )
    mean = mean_defined(
        group_means(mean_defined(values, 2), block.case_group, len(block.groups)), 1
    )
    return of_groups(block, groups, mean)


def of_groups(block: DatasetScores, groups: Floats, mean: Floats) -> Retrained:
    """As `retrained`, from one value per group and repeat.

    Args:
        block: the scores, which know the fold that tests a group in each repeat.
        groups: (rows, groups, repeats), NaN where undefined.
        mean: the estimate, (rows,).
    """
    cells = groups.reshape(len(groups), -1)
    # A training is named by its fold: folds of different repeats have different numbers.
    _, fold = np.unique(block.group_fold.reshape(-1), return_inverse=True)
    defined = ~np.isnan(cells)
    member = np.eye(int(fold.max(initial=0)) + 1)[fold]
    counts = defined @ member
    present = counts > 0
    means = np.divide(
        np.where(defined, cells, 0.0) @ member, counts, out=np.zeros(counts.shape), where=present
    )
    number = present.sum(axis=1)
    weight = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    centre = (weight * means).sum(axis=1, keepdims=True)
    spread = (weight * (means - centre) ** 2).sum(axis=1) * number / np.maximum(number - 1, 1)
    share = 1 / block.outer if block.outer > 1 else 0.5
    variance = spread * ((weight**2).sum(axis=1) + share / (1 - share))
    free = number - 1.0
    if block.external:
        patients = mean_defined(groups, 2)
        behind = (~np.isnan(patients)).sum(axis=1)
        variance = variance + sd_defined(patients) ** 2 / np.maximum(behind, 1)
        free = np.minimum(free, behind - 1)
    usable = free >= 1
    return Retrained(
        mean,
        np.where(usable, np.sqrt(variance), np.nan),
        np.where(usable, free, np.nan),
        number,
    )


def standard_effects(free: Floats, level: Floats) -> Floats:
    """`standard_effect` of each row; `free` may be NaN, which no number of errors is found with."""
    known = np.nan_to_num(np.asarray(free, np.float64), nan=0.0)
    pairs, inverse = np.unique(np.column_stack([known, level]), axis=0, return_inverse=True)
    standard = np.array([standard_effect(float(one), float(alpha)) for one, alpha in pairs])
    return standard[inverse.reshape(-1)]


@lru_cache(maxsize=4096)
def standard_effect(free: float, level: float) -> float:
    """True mean, in standard errors, that a two-sided t test at `level` finds with 80 % power."""
    if free < 1 or not level > 0:
        return inf
    critical = stats.t.isf(level / 2, free)

    def missing_power(effect: float) -> float:
        return float(1 - special.nctdtr(free, effect, critical)) - POWER

    # With one degree of freedom t has no mean: the effect lies far beyond the critical value.
    upper = critical + 10
    while missing_power(upper) < 0:
        upper *= 2
    return float(optimize.brentq(missing_power, 0.0, upper))
