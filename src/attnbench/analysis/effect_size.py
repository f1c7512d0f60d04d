"""Size of effects, and the smallest that a study could have seen."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from attnbench.analysis.averages import mean_defined, sd_defined
from attnbench.analysis.blocks import Floats, Integers
from attnbench.analysis.retraining import standard_effect
from attnbench.analysis.significance import attainable_level


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


def minimum_effect(sd: Floats, groups: Integers, level: Floats) -> Floats:
    """Smallest true mean difference that the sign-flip test finds with 80 % power.

    For normal differences with standard deviation `sd` over groups, tested at `level`; all (rows,).
    Infinite where so few groups can never reach `level`; NaN where `sd` is.
    """
    # Few rows differ in groups and level, and each pair costs a search for a root.
    pairs, inverse = np.unique(np.column_stack([groups, level]), axis=0, return_inverse=True)
    standard = np.array([_standard_minimum(int(n), float(alpha)) for n, alpha in pairs])
    with np.errstate(invalid="ignore"):
        return sd * standard[inverse.reshape(-1)]


def _standard_minimum(groups: int, level: float) -> float:
    """`minimum_effect` in standard deviations: Student's, at the level that the test attains.

    Of normal differences the sign-flip test finds as many as Student's (Hoeffding, Annals of
    Mathematical Statistics 23, 1952).
    """
    attained = attainable_level(groups, level)
    return standard_effect(groups - 1, attained) / sqrt(groups) if groups > 1 else inf
