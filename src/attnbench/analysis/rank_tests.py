"""Tests of ranks, of pairs of models, and of the agreement of metrics on the order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.across import MIN_DATASETS_RANKED
from attnbench.analysis.blocks import ALL_CLASSES, Floats
from attnbench.analysis.frames import joined, of_rows
from attnbench.analysis.ranks import ALL, Ranking
from attnbench.analysis.verdicts import directions, is_significant

MIN_MODELS = 5
"""Of four models only a complete agreement of orders reaches p = 0.08; of three 0.33."""


def compute_rank_tests(ranked: Sequence[Ranking], level: float) -> pd.DataFrame:
    """One row per ranking: Friedman's test with its F form, and Nemenyi's critical difference.

    Corrected for ties. Friedman, JASA 32, 1937; Iman and Davenport, Communications in Statistics A
    9, 1980. The critical difference is empty where no ranks of so few blocks could exceed it. Empty
    with fewer than three models, two groups or five datasets; p is 1 where every block is one tie.
    """
    rows = []
    for ranking in ranked:
        blocks, models = ranking.ranks.shape
        chi2, p, f, p_f = (np.nan,) * 4 if _too_few(ranking) else friedman(ranking.ranks)
        difference = _critical_difference(ranking, level)
        sizes = {"models": models, "blocks": blocks, "dropped": ranking.dropped}
        tests = {"chi2": chi2, "p": p, "f": f, "p_f": p_f, "critical_difference": difference}
        rows.append({**ranking.labels, **sizes, **tests})
    return of_rows("rank_tests", rows)


def _too_few(ranking: Ranking) -> bool:
    """True for a ranking over datasets whose number tells nothing."""
    return ranking.dataset == ALL and len(ranking.ranks) < MIN_DATASETS_RANKED


def _critical_difference(ranking: Ranking, level: float) -> float:
    blocks, models = ranking.ranks.shape
    difference = critical_difference(models, blocks, level)
    # Mean ranks cannot lie further apart than the first from the last.
    return np.nan if _too_few(ranking) or difference > models - 1 else difference


def friedman(ranks: Floats) -> tuple[float, float, float, float]:
    """Chi-square and its p, F and its p, of (blocks, models) ranks."""
    blocks, models = ranks.shape
    if models < 3 or blocks < 2:
        return (np.nan,) * 4
    centred = ranks - (models + 1) / 2
    # The spread that the ranks have, smaller with ties: dividing by it corrects for them.
    spread = (centred**2).sum() / (models - 1)
    if spread == 0:
        return 0.0, 1.0, 0.0, 1.0
    chi2 = float((centred.sum(axis=0) ** 2).sum() / spread)
    left = blocks * (models - 1) - chi2
    # Where all blocks agree nothing but rounding is left, and F is infinite.
    f = (blocks - 1) * chi2 / left if left > 1e-9 else np.inf
    free = models - 1
    return (
        chi2,
        float(stats.chi2.sf(chi2, free)),
        float(f),
        float(stats.f.sf(f, free, free * (blocks - 1))),
    )


def critical_difference(models: int, blocks: int, level: float) -> float:
    """Mean ranks further apart than this differ at `level` (Nemenyi, 1963)."""
    return float(stats.studentized_range.isf(level, models, np.inf) * _rank_error(models, blocks))


def _rank_error(models: int, blocks: int) -> float:
    # Nemenyi's q / sqrt(2) * sqrt(k (k + 1) / (6 n)), with the sqrt(2) drawn into the root.
    return float(np.sqrt(models * (models + 1) / (12 * blocks)))


def compute_rank_pairs(ranked: Sequence[Ranking], level: float) -> pd.DataFrame:
    """One row per ranking over `all` classes and pair of models, with Nemenyi's p."""
    frames = [_pairs(ranking, level) for ranking in ranked if ranking.class_ == ALL_CLASSES]
    return joined("rank_pairs", frames)


def _pairs(ranking: Ranking, level: float) -> pd.DataFrame:
    blocks, models = ranking.ranks.shape
    mean = ranking.ranks.mean(axis=0)
    first, second = np.triu_indices(models, 1)
    difference = mean[first] - mean[second]
    distance = np.abs(difference) / _rank_error(models, blocks)
    names = np.array(ranking.models, dtype=object)
    return pd.DataFrame(
        {**ranking.labels, "model_a": names[first], "model_b": names[second]}
    ).assign(
        rank_difference=difference,
        # The numerical integral may leave 0 to 1 by its error.
        p=np.nan
        if _too_few(ranking)
        else np.clip(stats.studentized_range.sf(distance, models, np.inf), 0, 1),
        critical_difference=_critical_difference(ranking, level),
        significant=lambda pairs: is_significant(pairs["p"], level),
    )


def compute_agreement(means: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and pair of metrics: Kendall's tau-b of their orders, and the winners.

    `means` is the table of means; `all` classes are compared, models that both metrics have a
    mean for. Several winners are joined by `+`. p is empty below five models, where the orders are
    too few to tell anything. Kendall, Biometrika 30, 1938.
    """
    rows = []
    for dataset, averages in means[means["class"] == ALL_CLASSES].groupby("dataset", sort=False):
        wide = averages.pivot_table(index="model", columns="metric", values="mean", sort=False)
        for a, b in combinations(wide.columns, 2):
            both = wide[[a, b]].dropna()
            if len(both) > 1:
                rows.append({"dataset": dataset, "metric_a": a, "metric_b": b, **_agreement(both)})
    return of_rows("agreement", rows)


def _agreement(both: pd.DataFrame) -> dict[str, object]:
    good = both * directions(both.columns)
    first, second = good.iloc[:, 0], good.iloc[:, 1]
    tau = stats.kendalltau(first, second)
    winners = ["+".join(good.index[column == column.max()]) for column in (first, second)]
    return {
        "models": len(both),
        "tau": tau.statistic,
        "p": tau.pvalue if len(both) >= MIN_MODELS else np.nan,
        "winner_a": winners[0],
        "winner_b": winners[1],
        "same_winner": winners[0] == winners[1],
    }
