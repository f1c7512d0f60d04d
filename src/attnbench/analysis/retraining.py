"""Uncertainty of a difference when models are trained again, not only tested on other patients."""

from __future__ import annotations

import numpy as np
from scipy import stats

from attnbench.analysis.averages import group_totals, mean_defined
from attnbench.analysis.blocks import Floats, Integers


def retrained(
    per_seed: Floats, case_group: Integers, case_fold: Integers, confidence: float
) -> tuple[Floats, Floats, Floats]:
    """Interval and two-sided p of the mean over cases, clustered by group and by training at once.

    A training is a fold and a seed, and what it does well or badly it does on all its test cases.
    The variance is that of groups plus that of trainings less that of their intersection, never
    below either; t has as many degrees of freedom as there are groups or trainings, the fewer, less
    one. Low, high and p are (rows,) arrays, NaN with fewer than two groups or trainings. Cameron,
    Gelbach and Miller, Robust inference with multiway clustering, J. Business & Economic Statistics
    29, 2011.

    Args:
        per_seed: paired differences (rows, cases, seeds), NaN where undefined.
        case_group: index of each case's group, (cases,).
        case_fold: fold in which each case is tested, (cases,).
        confidence: of the interval, between 0 and 1.
    """
    rows, cases, seeds = per_seed.shape
    mean = mean_defined(mean_defined(per_seed, 2), 1)
    seed = np.tile(np.arange(seeds), cases)
    group, fold = np.repeat(case_group, seeds), np.repeat(case_fold, seeds)
    shares = _shares(per_seed, mean).reshape(rows, -1)
    by_group, groups = _variance(shares, group)
    by_run, runs = _variance(shares, fold * seeds + seed)
    # All cases of a group are tested in one fold: a group and a seed name the intersection.
    by_both, _ = _variance(shares, group * seeds + seed)
    # The difference of estimates may be too small by chance, even negative.
    variance = np.maximum(by_group + by_run - by_both, np.maximum(by_group, by_run))
    free = np.minimum(groups, runs) - 1
    usable = free >= 1
    error = np.where(usable, np.sqrt(variance), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        # No difference and no variation (0 / 0) is p = 1, not undefined.
        t = np.where((mean == 0) & (error == 0), 0.0, np.abs(mean) / error)
    # At least 1 only to satisfy scipy: `error` is NaN already where `free` is less.
    half = stats.t.ppf((1 + confidence) / 2, np.maximum(free, 1)) * error
    return mean - half, mean + half, 2 * stats.t.sf(t, np.maximum(free, 1))


def _shares(per_seed: Floats, mean: Floats) -> Floats:
    """Contribution of every case and seed to the mean's deviation, NaN where undefined."""
    count = (~np.isnan(per_seed)).sum(axis=2, keepdims=True)
    cases = (count > 0).sum(axis=1, keepdims=True)
    return (per_seed - mean[:, None, None]) / np.maximum(count * cases, 1)


def _variance(shares: Floats, label: Integers) -> tuple[Floats, Integers]:
    """Variance of the mean with independent clusters, and the number of clusters, (rows,) each."""
    _, codes = np.unique(label, return_inverse=True)
    sums, counts = group_totals(shares, codes, int(codes.max(initial=-1)) + 1)
    clusters = (counts > 0).sum(axis=1)
    return (sums**2).sum(axis=1) * clusters / np.maximum(clusters - 1, 1), clusters
