"""Ranks of the models, and how stable they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.averages import (
    group_means,
    mean_defined,
    mean_over_groups,
    with_all_classes,
)
from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores, Floats
from attnbench.analysis.frames import joined
from attnbench.analysis.resample import MIN_GROUPS, group_weights
from attnbench.scoring.definitions import METRICS
from attnbench.study.groups import AnalysisSettings

ALL = "all"


@dataclass(frozen=True)
class Ranking:
    """Ranks of the models (1 = best, ties averaged) in every block: `ranks` is (blocks, models).

    A block is a group of one dataset, or one dataset of the study where `dataset` is `all`.
    """

    dataset: str
    class_: str
    metric: str
    models: tuple[str, ...]
    dropped: int
    ranks: Floats

    @property
    def labels(self) -> dict[str, str]:
        """Dataset, class and metric as columns."""
        return {"dataset": self.dataset, "class": self.class_, "metric": self.metric}


def rankings(scores: Sequence[DatasetScores]) -> list[Ranking]:
    """Every ranking of at least two models: per dataset, class and metric, then over datasets.

    Over datasets only `all` classes are ranked. Only complete blocks count: a group in which some
    model has no defined score is left out, and so is a dataset in which some model was not scored
    (Demsar, Statistical comparisons of classifiers, JMLR 7, 2006).
    """
    return [*(ranking for block in scores for ranking in _within(block)), *_across(scores)]


def _within(block: DatasetScores) -> Iterator[Ranking]:
    per_case = mean_defined(with_all_classes(block.values), 4)
    for metric, class_ in np.ndindex(per_case.shape[:2]):
        means = group_means(per_case[metric, class_], block.case_group, len(block.groups))
        scored = np.flatnonzero((~np.isnan(means)).sum(axis=1))
        names = tuple(block.models[row] for row in scored)
        yield from _ranking(
            block.dataset, block.class_words[class_], block.metrics[metric], names, means[scored].T
        )


def _across(scores: Sequence[DatasetScores]) -> Iterator[Ranking]:
    if len(scores) < 2:
        return
    models = tuple(dict.fromkeys(name for block in scores for name in block.models))
    metrics = dict.fromkeys(name for block in scores for name in block.metrics)
    for metric in metrics:
        rows = np.full((len(scores), len(models)), np.nan)
        for row, block in enumerate(scores):
            if metric in block.metrics:
                per_case = mean_defined(
                    mean_defined(block.values[block.metrics.index(metric)], 0), 2
                )
                rows[row, [models.index(name) for name in block.models]] = mean_over_groups(
                    per_case, block.case_group, len(block.groups)
                )
        yield from _ranking(ALL, ALL_CLASSES, metric, models, rows)


def _ranking(
    dataset: str, class_: str, metric: str, models: tuple[str, ...], values: Floats
) -> Iterator[Ranking]:
    complete = ~np.isnan(values).any(axis=1)
    if len(models) < 2 or not complete.any():
        return
    # rankdata gives rank 1 to the smallest.
    ranks = stats.rankdata(_better_first(values[complete], metric), axis=1)
    yield Ranking(dataset, class_, metric, models, int((~complete).sum()), ranks)


def _better_first(values: Floats, metric: str) -> Floats:
    return -values if METRICS[metric].higher_is_better else values


def compute_ranks(
    scores: Sequence[DatasetScores], ranked: Sequence[Ranking], settings: AnalysisSettings
) -> pd.DataFrame:
    """One row per ranking and model: mean rank, position, and both under a bootstrap of the blocks.

    `first` is the share of resamples in which the model has the best mean rank (ties shared); it
    and the interval of the position are empty with fewer than `MIN_GROUPS` blocks. The ranking
    over datasets stands there twice: with the datasets resampled (does it hold on other data?)
    and with the groups inside every dataset (on other patients?).
    """
    frames = [
        _rank_rows(ranking, "datasets" if ranking.dataset == ALL else "groups", settings)
        for ranking in ranked
    ]
    frames += [
        _rows(ranking, "groups", _group_resampled(scores, ranking, settings), settings)
        for ranking in ranked
        if ranking.dataset == ALL
    ]
    return joined("ranks", frames)


def _rank_rows(ranking: Ranking, resampled: str, settings: AnalysisSettings) -> pd.DataFrame:
    blocks = len(ranking.ranks)
    enough = blocks >= MIN_GROUPS
    means = (
        # Sums of ranks: positions are by order, which dividing by the blocks does not change.
        group_weights(blocks, settings.bootstrap, settings.seed) @ ranking.ranks if enough else None
    )
    return _rows(ranking, resampled, means, settings)


def _rows(
    ranking: Ranking, resampled: str, means: Floats | None, settings: AnalysisSettings
) -> pd.DataFrame:
    mean = ranking.ranks.mean(axis=0)
    empty = np.full(len(mean), np.nan)
    first, low, high = (
        (empty, empty, empty) if means is None else _stability(means, settings.confidence)
    )
    return pd.DataFrame({**ranking.labels, "model": ranking.models, "mean_rank": mean}).assign(
        position=_position(mean[None])[0],
        position_low=low,
        position_high=high,
        first=first,
        resampled=resampled,
        models=len(mean),
        blocks=len(ranking.ranks),
        dropped=ranking.dropped,
    )


def _group_resampled(
    scores: Sequence[DatasetScores], ranking: Ranking, settings: AnalysisSettings
) -> Floats | None:
    """Mean rank over datasets in every resample of the groups inside them, (resamples, models)."""
    total = np.zeros((settings.bootstrap, len(ranking.models)))
    for block in scores:
        if ranking.metric in block.metrics and set(ranking.models) <= set(block.models):
            rows = [block.models.index(name) for name in ranking.models]
            values = block.values[block.metrics.index(ranking.metric)][:, rows]
            per_case = mean_defined(mean_defined(values, 0), 2)
            groups = group_means(per_case, block.case_group, len(block.groups))
            complete = ~np.isnan(groups).any(axis=0)
            if complete.sum() < MIN_GROUPS:
                return None
            weights = group_weights(int(complete.sum()), settings.bootstrap, settings.seed)
            means = weights @ groups[:, complete].T / complete.sum()
            total += stats.rankdata(_better_first(means, ranking.metric), axis=1)
    return total


def _position(means: Floats) -> Floats:
    """Position of each model by mean rank, ties sharing the better one; (resamples, models)."""
    # Equal mean ranks may differ in their last bits, which must not break the tie.
    return stats.rankdata(np.round(means, 9), axis=1, method="min").astype(np.float64)


def _stability(means: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
    positions = _position(means)
    best = positions == 1
    tail = (1 - confidence) / 2
    # inverted_cdf: an end of the interval is a position that occurs, never one between two.
    low, high = np.quantile(positions, (tail, 1 - tail), axis=0, method="inverted_cdf")
    return (best / best.sum(axis=1, keepdims=True)).mean(axis=0), low, high
