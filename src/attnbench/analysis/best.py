"""Models that the scores cannot distinguish from the best, and every pair of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.averages import group_means, mean_defined, sd_defined, with_all_classes
from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores, Floats
from attnbench.analysis.frames import joined
from attnbench.analysis.retraining import MIN_TRAININGS, retrained
from attnbench.analysis.significance import sign_patterns, smallest_p
from attnbench.analysis.verdicts import directions, is_significant
from attnbench.study.groups import AnalysisSettings


def compute_best(
    scores: Sequence[DatasetScores], averages: pd.DataFrame, settings: AnalysisSettings
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and model: paired difference from the best.

    The best has the best mean in `averages`, the table of means, and was chosen by the scores that
    test it: `p_adjusted` is corrected for all pairs of models, any of which could have been asked.
    `as_good` where it is above the level, and for the best itself; empty where so few groups cannot
    distinguish any model from the best. `best` is empty where models failed on different cases:
    their means are of different cases then. A model alone has no row.
    """
    level = 1 - settings.confidence
    frames = [
        _against_best(block, str(class_), str(metric), rows, level, settings)
        for block in scores
        for (class_, metric), rows in averages[
            (averages["dataset"] == block.dataset) & averages["model"].isin(block.models)
        ]
        .dropna(subset="mean")
        .groupby(["class", "metric"], sort=False)
        if len(rows) > 1
    ]
    return joined("best", frames)


def _against_best(
    block: DatasetScores,
    class_: str,
    metric: str,
    rows: pd.DataFrame,
    level: float,
    settings: AnalysisSettings,
) -> pd.DataFrame:
    models = rows["model"].tolist()
    goodness = rows["mean"].to_numpy() * directions([metric])[0]
    best = int(goodness.argmax())
    values = _values(block, class_, metric, models)
    groups = _group_means(block, mean_defined(values, 2))
    first, second = np.triu_indices(len(models), 1)
    adjusted = max_statistic_p(groups[first] - groups[second], settings)
    p = np.full(len(models), np.nan)
    own = (first == best) | (second == best)
    p[np.where(first == best, second, first)[own]] = adjusted[own]
    difference = groups - groups[best]
    behind = (~np.isnan(difference)).sum(axis=1)
    is_best = np.arange(len(models)) == best
    told = pd.Series((smallest_p(behind) <= level) | is_best)
    as_good = (~is_significant(pd.Series(p), level) | is_best).astype("boolean").where(told)
    comparable = not _fails_apart(block, class_, metric, models)
    return pd.DataFrame(
        {
            "dataset": block.dataset,
            "class": class_,
            "metric": metric,
            "model": models,
            "best": models[best] if comparable else "",
            "difference": mean_defined(difference, 1),
            "p_adjusted": p if comparable else np.nan,
            "groups": behind,
            "as_good": as_good if comparable else as_good.mask(told.notna()),
        }
    )


def compute_pairs(scores: Sequence[DatasetScores], settings: AnalysisSettings) -> pd.DataFrame:
    """One row per dataset, metric and pair of models, mean over classes, the better one first.

    `probability_false`: of the claim that `model_a` is better, were it made: the posterior
    probability, given these groups, that it is not (a flat prior on the mean difference; empty
    where the two failed on different cases; as
    trained, and for models trained again). Christodoulou et al., False promises in medical imaging
    AI? Assessing validity of outperformance claims, arXiv:2505.04720, 2025.
    """
    return joined(
        "pairs",
        [frame for block in scores if len(block.models) > 1 for frame in _pairs(block, settings)],
    )


def _pairs(block: DatasetScores, settings: AnalysisSettings) -> Iterator[pd.DataFrame]:
    first, second = np.triu_indices(len(block.models), 1)
    names = np.array(block.models, dtype=object)
    for metric, unit in zip(block.metrics, block.units, strict=True):
        values = _values(block, ALL_CLASSES, metric, block.models)
        benefits = (values[first] - values[second]) * directions([metric])[0]
        groups = _group_means(block, mean_defined(benefits, 2))
        again = retrained(block, benefits)
        benefit = mean_defined(groups, 1)
        behind = (~np.isnan(groups)).sum(axis=1)
        ahead = benefit >= 0
        told = again.trainings >= MIN_TRAININGS
        apart = np.array(
            [
                _fails_apart(block, ALL_CLASSES, metric, [block.models[a], block.models[b]])
                for a, b in zip(first, second, strict=True)
            ]
        )
        yield pd.DataFrame(
            {
                "dataset": block.dataset,
                "metric": metric,
                "unit": unit,
                "model_a": np.where(ahead, names[first], names[second]),
                "model_b": np.where(ahead, names[second], names[first]),
                "benefit": np.abs(benefit),
                "p_adjusted": np.where(apart, np.nan, max_statistic_p(groups, settings)),
                "probability_false": np.where(
                    apart,
                    np.nan,
                    _wrong(
                        benefit, sd_defined(groups) / np.sqrt(np.maximum(behind, 1)), behind - 1
                    ),
                ),
                "probability_false_retrained": np.where(
                    told & ~apart, _wrong(benefit, again.error, again.free), np.nan
                ),
                "groups": behind,
                "trainings": again.trainings,
            }
        )[np.isfinite(benefit)]


def _wrong(benefit: Floats, error: Floats, free: Floats) -> Floats:
    """Posterior probability that the sign of `benefit` is wrong; half where nothing differs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where((benefit == 0) & (error == 0), 0.0, np.abs(benefit) / error)
    return stats.t.sf(t, np.where(np.asarray(free) >= 1, free, np.nan))


def max_statistic_p(groups: Floats, settings: AnalysisSettings) -> Floats:
    """p of each row's mean over groups, corrected for all rows by the largest of them: (rows,).

    Signs of whole groups are flipped in all rows at once, and every row is in units of its root
    mean square: p is the share of the sign patterns in which any row is as far from 0. It holds
    whichever row the scores made one look at. Westfall and Young, Resampling-based multiple
    testing, 1993.

    Args:
        groups: differences (rows, groups), NaN where undefined.
        settings: number of sign patterns and their seed.
    """
    known = np.where(np.isnan(groups), 0.0, groups)
    scale = np.sqrt((known**2).sum(axis=1))
    standard = np.divide(known, scale[:, None], out=np.zeros(known.shape), where=scale[:, None] > 0)
    kept = np.flatnonzero(standard.any(axis=0))
    observed = np.abs(standard.sum(axis=1))
    if not kept.size:
        return np.where(np.isnan(groups).all(axis=1), np.nan, 1.0)
    signs = sign_patterns(kept.size, settings.bootstrap, settings.seed)
    largest = np.sort(np.abs(signs @ standard[:, kept].T).max(axis=1))
    # Equal sums added up in another order differ by rounding and have to count as extreme.
    reached = largest.size - np.searchsorted(largest, observed - 1e-9)
    return np.where(np.isnan(groups).all(axis=1), np.nan, reached / largest.size)


def _values(block: DatasetScores, class_: str, metric: str, models: Sequence[str]) -> Floats:
    """Values (models, cases, trainings) of one metric and class, or of the mean over classes."""
    rows = [block.models.index(name) for name in models]
    values = block.values[[block.metrics.index(metric)]][:, :, rows]
    return with_all_classes(values)[0, block.class_words.index(class_)]


def _group_means(block: DatasetScores, per_case: Floats) -> Floats:
    return group_means(per_case, block.case_group, len(block.groups))


def _fails_apart(block: DatasetScores, class_: str, metric: str, models: Sequence[str]) -> bool:
    """True where some models have a value of a case, class and training that others lack."""
    rows = [block.models.index(name) for name in models]
    chosen = block.classes if class_ == ALL_CLASSES else (int(class_),)
    classes = [block.classes.index(number) for number in chosen]
    undefined = np.isnan(block.values[block.metrics.index(metric)][np.ix_(classes, rows)])
    return bool((undefined != undefined[:, :1]).any())
