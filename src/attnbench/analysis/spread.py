"""How much the difference between two models varies: between groups, folds, runs, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from attnbench.analysis.averages import group_means
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.effects import Pair, paired


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a paired difference between two models, in the metric's unit.

    `group`: between groups, the noise of their cases included. `fold`: luck of a fold's training
    that its seeds share. `run`: luck of one training, which its groups share. `rest`: of one group
    in one training.
    """

    group: float
    fold: float
    run: float
    rest: float

    def pooled(self, others: Sequence[Spread]) -> Spread:
        """Root mean square of each, over this one and `others`."""
        table = np.array([[one.group, one.fold, one.run, one.rest] for one in (self, *others)])
        return Spread(*np.sqrt((table**2).mean(axis=0)).tolist())


ASSUMED = Spread(group=0.05, fold=0.01, run=0.015, rest=0.02)


def estimate_spread(block: DatasetScores, metric: str, class_: str, pair: Pair) -> Spread | None:
    """Spread of the differences of a pair of models, by the method of moments.

    From the sums of squares of groups, runs and rest within folds, and the variance of the folds'
    means; a negative variance is 0. Groups without a value in every seed of a fold are left out.
    With one seed `run` and `rest` are 0: the luck of a run is part of `fold`, the rest of `group`.
    None with fewer than two folds, or no fold with two groups.
    """
    number, word = block.metrics.index(metric), block.class_words.index(class_)
    one = replace(
        block,
        metrics=(metric,),
        values=block.values[[number]],
        status=block.status[[number]],
    )
    return spread_of(block, paired(one, [pair]).differences[0, word, 0])


def spread_of(block: DatasetScores, values: Floats) -> Spread | None:
    """As `estimate_spread`, from the differences (cases, trainings)."""
    tables = list(_folds(block, values))
    seeds, sizes = len(block.seeds), np.array([len(table) for table in tables])
    groups = sizes - 1
    if len(tables) < 2 or not groups.any():
        return None
    means = np.array([table.mean() for table in tables])
    of_groups = sum(seeds * ((t.mean(axis=1) - t.mean()) ** 2).sum() for t in tables)
    of_runs = sum(len(t) * ((t.mean(axis=0) - t.mean()) ** 2).sum() for t in tables)
    total = sum(((t - t.mean()) ** 2).sum() for t in tables)
    rest = run = 0.0
    if seeds > 1:
        rest = (total - of_groups - of_runs) / (groups.sum() * (seeds - 1))
        run = max(of_runs / (seeds - 1) - len(tables) * rest, 0.0) / sizes.sum()
    group = max(of_groups / groups.sum() - rest, 0.0) / seeds
    expected = run / seeds + (group + rest / seeds) * (1 / sizes).mean()
    folds = len(tables) // block.repeats
    expected -= overlap(group, len(block.groups), folds, len(tables))
    fold = max(means.var(ddof=1) - expected, 0.0)
    return Spread(*(sqrt(variance) for variance in (group, fold, run, max(rest, 0.0))))


def _folds(block: DatasetScores, values: Floats) -> Iterator[Floats]:
    """Differences (groups, seeds) of each fold, of the groups with a value in every seed."""
    shape = (len(block.groups), block.repeats, len(block.seeds))
    cells = group_means(values.T, block.case_group, len(block.groups)).T.reshape(shape)
    for repeat in range(block.repeats):
        tested = block.group_fold[:, repeat]
        for fold in np.unique(tested[tested >= 0]):
            table = cells[tested == fold, repeat]
            kept = table[~np.isnan(table).any(axis=1)]
            if len(kept):
                yield kept


def overlap(variance: float, groups: int, folds: int, number: int) -> float:
    """Mean covariance of two of `number` folds' means, which repeats of a split have in common.

    Args:
        variance: between groups.
        groups: groups of the dataset.
        folds: folds of one split.
        number: folds of all splits.
    """
    return variance / groups * (number - folds) / max(number - 1, 1)
