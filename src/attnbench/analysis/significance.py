"""Tests of paired differences over groups, and the correction for how many there are."""

from __future__ import annotations

from functools import lru_cache
from math import floor

import numpy as np

from attnbench.analysis.averages import by_defined_groups
from attnbench.analysis.blocks import Floats, Integers

# As scipy's `wilcoxon`; above it the normal approximation is close.
EXACT_UP_TO = 50
# 2^13 patterns with the first sign fixed are quickly listed; every group doubles them.
EXACT_FLIPS = 14


def signed_rank_p(differences: Floats) -> Floats:
    """Two-sided Wilcoxon signed-rank p of each row of group means, (rows, groups) to (rows,).

    NaN are left out and zeros dropped (Wilcoxon 1945). Exact up to 50 groups, ties included; above
    that normal with tie correction, as scipy. p is 1 where every difference is zero, NaN without
    any. (scipy's vectorised call lets one row's ties decide the method of all rows.)
    """
    result = np.full(len(differences), np.nan)
    for row, values in enumerate(differences):
        defined = values[~np.isnan(values)]
        if defined.size:
            result[row] = _signed_rank(defined[defined != 0])
    return result


def _signed_rank(nonzero: Floats) -> float:
    if not nonzero.size:
        return 1.0
    from scipy import stats

    ranks = stats.rankdata(np.abs(nonzero))
    positive = float(ranks[nonzero > 0].sum())
    # Ties share half ranks; doubled they are whole and index the null distribution.
    doubled = np.rint(2 * ranks).astype(np.int64)
    if nonzero.size <= EXACT_UP_TO:
        less = _null_cumulative(tuple(sorted(doubled.tolist())))
        smaller = min(2 * positive, float(doubled.sum()) - 2 * positive)
        return float(min(1.0, 2 * less[round(smaller)]))
    deviation = np.sqrt((doubled.astype(np.float64) ** 2).sum()) / 4
    return float(2 * stats.norm.sf(abs(positive - ranks.sum() / 2) / deviation))


@lru_cache(maxsize=4096)
def _null_cumulative(doubled_ranks: tuple[int, ...]) -> Floats:
    """P(sum of the positive doubled ranks <= k), k = 0..sum, when every sign is a fair coin."""
    probability = np.zeros(sum(doubled_ranks) + 1)
    probability[0] = 1.0
    for rank in doubled_ranks:
        shifted = np.zeros_like(probability)
        shifted[rank:] = probability[: probability.size - rank]
        # The rank is added or not, each with probability 1/2.
        probability = (probability + shifted) / 2
    return np.cumsum(probability)


def smallest_p(groups: Integers | int) -> Floats:
    """Smallest two-sided p that flipping the signs of so many groups can give."""
    return 2.0 ** (1 - np.asarray(groups, np.float64))


def attainable_level(groups: int, level: float) -> float:
    """Largest p up to `level` that the sign-flip test of `groups` groups can take, else 0."""
    if groups > EXACT_UP_TO:
        return level
    patterns = 2 ** (groups - 1)
    # 1e-9: a level of 2/64 is reached by two of 64 patterns.
    return floor(level * patterns + 1e-9) / patterns


def sign_flip_p(groups: Floats, flips: int, seed: int) -> Floats:
    """Two-sided permutation p of the mean over groups, whose signs are flipped: (rows,).

    Groups are the independent units: cases of one patient share anatomy and scanner, pixels
    share everything, and testing those would count the same evidence many times. All 2^n sign
    patterns up to 14 groups, else `flips` random ones and the observed; a p smaller than these can
    resolve is Student's, which the flips approach. NaN without groups. It
    tests the mean that the tables show, so that test and estimate have one sign. Good,
    Permutation, parametric and bootstrap tests of hypotheses, 2005.

    Args:
        groups: one value per group, (rows, groups), NaN where undefined.
        flips: number of random sign patterns, at least 1.
        seed: of the random sign patterns.
    """
    result = np.full(len(groups), np.nan)
    for rows, kept in by_defined_groups(~np.isnan(groups)):
        signs = sign_patterns(kept.size, flips, seed)
        observed = groups[np.ix_(rows, kept)]
        # Equal sums added up in another order differ by rounding and have to count as extreme.
        tolerance = 1e-9 * np.abs(observed).sum(axis=1)
        extreme = np.abs(signs @ observed.T) >= np.abs(observed.sum(axis=1)) - tolerance
        p = extreme.mean(axis=0)
        if kept.size > EXACT_FLIPS:
            beyond = extreme.sum(axis=0) == 1
            finer = np.maximum(_student_p(observed[beyond]), smallest_p(kept.size))
            p[beyond] = np.minimum(p[beyond], finer)
        result[rows] = p
    return result


def _student_p(groups: Floats) -> Floats:
    """Two-sided p of Student's t test of each row, all groups defined."""
    from scipy import stats

    number = groups.shape[1]
    with np.errstate(divide="ignore"):
        t = np.abs(groups.mean(axis=1)) / (groups.std(axis=1, ddof=1) / np.sqrt(number))
    return 2 * stats.t.sf(t, number - 1)


@lru_cache(maxsize=4)
def sign_patterns(groups: int, flips: int, seed: int) -> Floats:
    """Sign patterns, (patterns, groups).

    The first sign is fixed where all are listed, since the test is two-sided.
    """
    if groups <= EXACT_FLIPS:
        bits = np.arange(2 ** (groups - 1))[:, None] >> np.arange(groups) & 1
        return np.asarray(1.0 - 2.0 * bits, np.float64)
    random = np.random.default_rng([seed, groups])
    # The observed pattern is one of them, so that p is never 0.
    return np.concatenate([np.ones((1, groups)), random.choice([-1.0, 1.0], (flips, groups))])


def holm(p: Floats) -> Floats:
    """Holm's step-down correction of one family; NaN are no tests and stay NaN.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6, 1979.
    """
    adjusted = np.full(p.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    steps = p[order] * np.arange(order.size, 0, -1)
    # No p may be below that of a stronger result.
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def holm_by_family(p: Floats, family: Integers) -> tuple[Floats, Integers]:
    """Holm's p within each family (an integer per row), and the number of tests in it."""
    corrected = np.full(p.shape, np.nan)
    size = np.zeros(p.shape, np.int64)
    for member in np.unique(family):
        rows = family == member
        corrected[rows] = holm(p[rows])
        size[rows] = int((~np.isnan(p[rows])).sum())
    return corrected, size
