"""Intervals of a mean over groups, for many rows at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from attnbench.analysis.averages import by_defined_groups, mean_defined, sd_defined
from attnbench.analysis.blocks import Floats

MIN_GROUPS = 5
"""Fewer groups give no interval: what they have in common may be chance."""


def student_interval(groups: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Student's interval of the mean over groups (rows, groups) of differences; two (rows,) arrays.

    NaN where fewer than `MIN_GROUPS` groups are defined. Paired differences are about symmetric,
    and of those it misses 5 % or less also where single groups lie far out, as lost cases do; the
    bootstrap misses up to 13 % there (docs/decisions/intervals.md).
    """
    from scipy import stats

    number = (~np.isnan(groups)).sum(axis=1)
    half = stats.t.ppf((1 + confidence) / 2, np.maximum(number - 1, 1)) * sd_defined(groups)
    half = np.where(number >= MIN_GROUPS, half / np.sqrt(np.maximum(number, 1)), np.nan)
    mean = mean_defined(groups, 1)
    return mean - half, mean + half


@lru_cache(maxsize=4)
def group_weights(groups: int, resamples: int, seed: int) -> Floats:
    """Draws of each group in each resample, (resamples, groups); rows sum to `groups`."""
    # Counts instead of drawn indices: all resamples of all rows are then one matrix product.
    random = np.random.default_rng([seed, groups])
    return random.multinomial(groups, [1 / groups] * groups, size=resamples).astype(np.float64)


def bootstrap_interval(
    groups: Floats, confidence: float, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Studentised bootstrap interval of the mean over groups of each row; two (rows,) arrays.

    NaN where fewer than `MIN_GROUPS` groups are left. For scores, which are skewed towards 1 and
    stay within their range; differences take `student_interval`.

    Args:
        groups: one value per group, (rows, groups), NaN where undefined.
        confidence: of the interval, between 0 and 1.
        resamples: number of resamples.
        seed: of the resamples.
    """
    defined = ~np.isnan(groups)
    return interval_of_totals(
        np.where(defined, groups, 0.0), defined.astype(np.float64), confidence, resamples, seed
    )


def interval_of_totals(
    sums: Floats, counts: Floats, confidence: float, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Interval of a ratio of sums over groups, which are resampled; else as `bootstrap_interval`.

    Args:
        sums: sum of the values of each group, (rows, groups).
        counts: number of values of each group, (rows, groups); 0 where it holds nothing.
        confidence: of the interval, between 0 and 1.
        resamples: number of resamples.
        seed: of the resamples.
    """
    low, high = np.full((2, len(sums)), np.nan)
    for rows, kept in by_defined_groups(counts):
        if kept.size >= MIN_GROUPS:
            cells = np.ix_(rows, kept)
            low[rows], high[rows] = _studentised(
                sums[cells], counts[cells], confidence, resamples, seed
            )
    return low, high


def _studentised(
    sums: Floats, counts: Floats, confidence: float, resamples: int, seed: int
) -> Floats:
    """Ends (2, rows) of the studentised interval: each resample's mean by its own standard error.

    The standard error is that of a ratio of sums over groups. No end lies beyond the groups'
    means, where a resample without any variation would put it. Davison and Hinkley, Bootstrap
    methods and their application, 1997, section 5.2.
    """
    mean, groups = sums.sum(axis=1) / counts.sum(axis=1), sums / counts
    residuals = sums - mean[:, None] * counts
    weights = group_weights(sums.shape[1], resamples, seed)
    total = weights @ counts.T
    moved = (weights @ residuals.T) / total
    # Sum of w (residual - moved * count)^2, expanded: no (resamples, rows, groups) array is made.
    squares = weights @ (residuals**2).T - 2 * moved * (weights @ (residuals * counts).T)
    squares += moved**2 * (weights @ (counts**2).T)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rounding may leave a square just below 0; a resample without variation has an infinite t.
        t = moved * total / np.sqrt(np.maximum(squares, 0))
    tail = (1 - confidence) / 2
    # Finite, so that quantiles can be interpolated; the upper quantile of t gives the lower end.
    quantiles = np.quantile(
        np.nan_to_num(t, nan=0.0, posinf=1e9, neginf=-1e9), (1 - tail, tail), axis=0
    )
    error = np.sqrt((residuals**2).sum(axis=1)) / counts.sum(axis=1)
    return np.clip(mean - quantiles * error, groups.min(axis=1), groups.max(axis=1))
