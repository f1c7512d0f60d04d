"""Averages over what is defined, and the cases, groups, folds and seeds behind each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.blocks import DatasetScores, Floats, Integers


def mean_defined(values: Floats, axis: int) -> Floats:
    """Mean over `axis` of the values that are not NaN; NaN where there is none."""
    # Not np.nanmean: it warns wherever nothing is defined, which is usual here.
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def median_defined(values: Floats) -> Floats:
    """Median over the last axis of the values that are not NaN; NaN where there is none."""
    count = (~np.isnan(values)).sum(axis=-1, keepdims=True)
    # np.sort puts NaN last, so that the first `count` values are the defined ones.
    ordered = np.sort(values, axis=-1)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[-1] - 1), axis=-1)
    return ((low + high) / 2)[..., 0]


def sd_defined(values: Floats) -> Floats:
    """Standard deviation (n - 1) over the last axis of what is not NaN; NaN for fewer than two."""
    centred = values - mean_defined(values, -1)[..., None]
    free = (~np.isnan(values)).sum(axis=-1) - 1
    squares = np.nansum(centred**2, axis=-1)
    return np.sqrt(np.divide(squares, free, out=np.full(squares.shape, np.nan), where=free > 0))


def with_all_classes(values: Floats) -> Floats:
    """Append, on axis 1, the mean over the classes in which the value is defined.

    `values` is (metrics, classes, models, cases, trainings); the result has one class more.
    """
    return np.concatenate([values, mean_defined(values, 1)[:, None]], axis=1)


def group_totals(values: Floats, case_group: Integers, groups: int) -> tuple[Floats, Floats]:
    """Sum and number of the defined values of every group.

    Takes `values` (rows, cases) and the group of each case; gives two (rows, groups) arrays.
    """
    # reduceat sums runs of neighbours. A stable sort keeps the cases of a group in their order,
    # on which the last bits of its sum depend.
    order = np.argsort(case_group, kind="stable")
    present, starts = np.unique(case_group[order], return_index=True)
    ordered = values[:, order]
    defined = ~np.isnan(ordered)
    # Groups without a case stay 0: reduceat has no sum for an empty run.
    sums, counts = np.zeros((2, len(values), groups))
    sums[:, present] = np.add.reduceat(np.where(defined, ordered, 0.0), starts, axis=1)
    counts[:, present] = np.add.reduceat(defined.astype(np.float64), starts, axis=1)
    return sums, counts


def by_defined_groups(
    counts: Floats | NDArray[np.bool_], most: int = 512
) -> Iterator[tuple[Integers, Integers]]:
    """Yield blocks of rows that have a positive count in the same groups.

    A block is a pair of indices (rows, groups); `most` rows bound the (resamples, rows) arrays that
    are made from it. Blocks with equally many groups follow each other; rows without any group are
    left out.
    """
    patterns, pattern_of = np.unique(counts > 0, axis=0, return_inverse=True)
    ordered = np.argsort(pattern_of.reshape(-1), kind="stable")
    bounds = np.searchsorted(pattern_of.reshape(-1)[ordered], np.arange(len(patterns) + 1))
    # Sorted by the number of groups, so that cached weights and sign patterns serve many blocks.
    for index in np.argsort(patterns.sum(axis=1), kind="stable"):
        kept = np.flatnonzero(patterns[index])
        if kept.size:
            rows = ordered[bounds[index] : bounds[index + 1]]
            yield from ((rows[start : start + most], kept) for start in range(0, len(rows), most))


def group_means(values: Floats, case_group: Integers, groups: int) -> Floats:
    """Mean over the defined cases of every group, (rows, groups); NaN for a group without any."""
    sums, counts = group_totals(values, case_group, groups)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def mean_over_groups(values: Floats, case_group: Integers, groups: int) -> Floats:
    """The estimate of every table: mean over groups of the mean over their cases, (rows,).

    Takes `values` (rows, cases), NaN where undefined. A group counts once, however many cases it
    has: the question is how a model does on a new patient.
    """
    return mean_defined(group_means(values, case_group, groups), 1)


@dataclass(frozen=True)
class Support:
    """Cases, groups, folds and seeds behind each row of a table: four (rows,) arrays."""

    cases: Integers
    groups: Integers
    folds: Integers
    seeds: Integers


def support(block: DatasetScores, defined: NDArray[np.bool_]) -> Support:
    """Count behind each row; `defined` is (rows, cases, trainings)."""
    shape = (len(defined), len(block.cases), block.repeats, len(block.seeds))
    tested: NDArray[np.bool_] = np.any(defined.reshape(shape), axis=3)
    case: NDArray[np.bool_] = np.any(tested, axis=2)
    folds = np.unique(block.case_fold[block.case_fold >= 0])
    return Support(
        cases=case.sum(axis=1),
        groups=(
            group_totals(np.where(case, 0.0, np.nan), block.case_group, len(block.groups))[1] > 0
        ).sum(axis=1),
        folds=sum(
            (tested & (block.case_fold == fold)).any(axis=(1, 2)).astype(np.int64) for fold in folds
        )
        + np.zeros(len(defined), np.int64),
        seeds=np.any(defined.reshape(shape), axis=(1, 2)).sum(axis=1),
    )
