"""Size of effects, whether they are negligible, and the smallest that a study could have seen."""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt

import numpy as np
from scipy import optimize, special, stats

from attnbench.analysis.averages import mean_defined, sd_defined
from attnbench.analysis.blocks import Floats, Integers
from attnbench.analysis.resample import MIN_GROUPS
from attnbench.analysis.significance import attainable_level

# Conventional since Cohen, 1988.
POWER = 0.8


def standardised(groups: Floats) -> Floats:
    """Cohen's dz: mean over groups in units of its standard deviation, (rows, groups) to (rows,).

    Cohen, Statistical power analysis, 1988; NaN for fewer than two groups or without any
    variation.
    """
    mean, sd = mean_defined(groups, 1), sd_defined(groups)
    return np.divide(mean, sd, out=np.full(mean.shape, np.nan), where=sd > 0)


def superiority(benefits: Floats) -> Floats:
    """Share of groups with a positive mean benefit, ties counted half; NaN without any.

    (rows, groups) to (rows,). Estimates how often the model would be better on a new group (Grissom
    and Kim, Effect sizes for research, 2012).
    """
    return mean_defined(np.where(np.isnan(benefits), np.nan, (np.sign(benefits) + 1) / 2), 1)


def equivalence_p(groups: Floats, margin: Floats) -> Floats:
    """p of two one-sided t tests (TOST) that the mean over groups lies within +-`margin`.

    `groups` is (rows, groups); `margin` is (rows,), NaN where the metric has none. NaN below
    `MIN_GROUPS` groups, where equal values by chance would pass for proof; without any variation 0
    inside the margin and 1 outside. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics
    15, 1987.
    """
    count = (~np.isnan(groups)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = sd_defined(groups) / np.sqrt(count)
        room = margin - np.abs(mean_defined(groups, 1))
        # Without variation and exactly on the margin t would be 0 / 0.
        t = np.where((error == 0) & (room == 0), 0.0, room / error)
        return np.where(
            np.isnan(t) | (count < MIN_GROUPS), np.nan, stats.t.sf(t, np.maximum(count - 1, 1))
        )


def minimum_effect(sd: Floats, groups: Integers, level: Floats) -> Floats:
    """Smallest true mean difference that the signed-rank test finds with 80 % power.

    For normal differences with standard deviation `sd` over groups, tested at `level`; all (rows,).
    Infinite where so few groups can never reach `level`; NaN where `sd` is.
    """
    # Few rows differ in groups and level, and each pair costs a search for a root.
    pairs, inverse = np.unique(np.column_stack([groups, level]), axis=0, return_inverse=True)
    standard = np.array([_standard_minimum(int(n), float(alpha)) for n, alpha in pairs])
    with np.errstate(invalid="ignore"):
        return sd * standard[inverse.reshape(-1)]


@lru_cache(maxsize=4096)
def _standard_minimum(groups: int, level: float) -> float:
    """`minimum_effect` in standard deviations.

    Noncentral t at the level that the exact test attains, which is 3/pi as efficient as t.
    """
    attained = attainable_level(groups, level)
    if groups < 2 or not attained > 0:
        return np.inf
    root = sqrt(groups * 3 / pi)
    critical = stats.t.isf(attained / 2, groups - 1)

    def missing_power(effect: float) -> float:
        power = 1 - special.nctdtr(groups - 1, effect * root, critical)
        return float(power) - POWER

    # At the upper end t exceeds its critical value by far, so that the power crosses 80 %.
    return float(optimize.brentq(missing_power, 0.0, 2 * (critical + 10) / root))
