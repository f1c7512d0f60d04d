"""Paired difference of every model from the baseline, with interval, tests, correction and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import group_totals, mean_defined, sd_defined, support, with_all_classes
from attnbench.analysis.effect_size import equivalence_p, minimum_effect, standardised, superiority
from attnbench.analysis.means import ClassNames, row_labels
from attnbench.analysis.resample import bootstrap_interval
from attnbench.analysis.retraining import retrained
from attnbench.analysis.significance import holm_by_family, sign_flip_p, signed_rank_p
from attnbench.analysis.table import ALL_CLASSES, DatasetScores, Floats
from attnbench.scoring.definitions import METRICS
from attnbench.study import AnalysisPart

COLUMNS = (
    "dataset", "class", "class_name", "metric", "unit", "model", "baseline",
    "difference", "low", "high", "higher_is_better", "benefit",
    "p", "p_holm", "p_permutation", "family", "family_size",
    "cases", "groups", "folds", "seeds", "dropped", "better", "worse", "seed_sd", "group_sd",
    "retrained_low", "retrained_high", "p_retrained", "p_retrained_holm",
    "dz", "superiority", "margin", "p_equivalence", "p_equivalence_holm", "equivalent",
    "minimum_effect", "minimum_effect_holm", "verdict", "verdict_retrained",
)  # fmt: skip


def effects(
    scores: Sequence[DatasetScores], baseline: str, part: AnalysisPart, class_names: ClassNames
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and model other than the baseline; columns as in docs/files.md.

    A difference is model minus baseline of the same case, class and seed, where both are defined; then averaged over
    classes (for `all`), seeds and cases, in this order.
    """
    frames = [
        _effects_of(block, baseline, part, class_names.get(block.dataset, {}))
        for block in scores
        if baseline in block.models and len(block.models) > 1
    ]
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    return _judged(_corrected(pd.concat(frames, ignore_index=True)), 1 - part.confidence).loc[:, list(COLUMNS)]


def paired(block: DatasetScores, baseline: str) -> tuple[Floats, np.ndarray]:
    """Differences from the baseline and where both models have a score row.

    Both arrays are (metrics, classes and `all`, models other than the baseline, cases, seeds); a difference is NaN
    where either value is missing or undefined.
    """
    index = block.models.index(baseline)
    others = [i for i in range(len(block.models)) if i != index]
    differences = block.values[:, :, others] - block.values[:, :, [index]]
    scored = (block.status[:, :, others] >= 0) & (block.status[:, :, [index]] >= 0)
    return with_all_classes(differences), np.concatenate([scored, scored.any(axis=1, keepdims=True)], axis=1)


def _effects_of(block: DatasetScores, baseline: str, part: AnalysisPart, names: Mapping[str, str]) -> pd.DataFrame:
    differences, both_scored = paired(block, baseline)
    per_seed = differences.reshape(-1, len(block.cases), len(block.seeds))
    labels = row_labels(block, [name for name in block.models if name != baseline], names).assign(baseline=baseline)
    scored_cases = both_scored.any(axis=-1).reshape(len(labels), -1).sum(axis=1)
    kept = scored_cases > 0
    return labels[kept].assign(**_statistics(block, labels[kept], per_seed[kept], scored_cases[kept], part))


def _statistics(
    block: DatasetScores, labels: pd.DataFrame, per_seed: Floats, scored_cases: np.ndarray, part: AnalysisPart
) -> dict[str, np.ndarray]:
    """Columns of one dataset's rows; `per_seed` is (rows, cases, seeds)."""
    per_case = mean_defined(per_seed, 2)
    sums, counts = group_totals(per_case, block.case_group, len(block.groups))
    groups = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    low, high = bootstrap_interval(
        per_case, block.case_group, len(block.groups), part.confidence, part.bootstrap, part.seed
    )
    behind = support(~np.isnan(per_seed), block.case_group, block.case_fold)
    higher = labels["metric"].map(lambda word: METRICS[word].higher_is_better).to_numpy(dtype=bool)
    margin = np.where(labels["metric"].map(lambda word: METRICS[word].unit) == "1", part.margin, np.nan)
    sign = np.where(higher, 1.0, -1.0)
    retrained_low, retrained_high, p_retrained = retrained(per_seed, block.case_group, block.case_fold, part.confidence)
    difference = mean_defined(per_case, 1)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "higher_is_better": higher,
        "benefit": sign * difference,
        "p": signed_rank_p(groups),
        "p_permutation": sign_flip_p(sums, counts, part.bootstrap, part.seed),
        "cases": behind.cases,
        "groups": behind.groups,
        "folds": behind.folds,
        "seeds": behind.seeds,
        "dropped": scored_cases - behind.cases,
        "better": (sign[:, None] * per_case > 0).sum(axis=1),
        "worse": (sign[:, None] * per_case < 0).sum(axis=1),
        "seed_sd": sd_defined(mean_defined(per_seed, 1)),
        "group_sd": sd_defined(groups),
        "retrained_low": retrained_low,
        "retrained_high": retrained_high,
        "p_retrained": p_retrained,
        "dz": sign * standardised(groups),
        "superiority": superiority(sign[:, None] * groups),
        "margin": margin,
        "p_equivalence": equivalence_p(groups, margin),
    }


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Add Holm's p over all models and datasets of one metric, single classes and their mean apart."""
    level = np.where(frame["class"] == ALL_CLASSES, "mean over classes", "single classes")
    families = frame.groupby([frame["metric"], level], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    corrected, size = holm_by_family(frame["p"].to_numpy(), code)
    words = [
        f"{metric}, {which}: {rows['model'].nunique()} models x {rows['dataset'].nunique()} datasets"
        for (metric, which), rows in families
    ]
    return frame.assign(
        p_holm=corrected,
        family=np.array(words, dtype=object)[code],
        family_size=size,
        p_retrained_holm=holm_by_family(frame["p_retrained"].to_numpy(), code)[0],
        p_equivalence_holm=holm_by_family(frame["p_equivalence"].to_numpy(), code)[0],
    )


def _judged(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Add what the corrected tests say at `level` in one word, and the smallest effect they could have found."""
    sd, groups = frame["group_sd"].to_numpy(), frame["groups"].to_numpy()
    equivalent = frame["p_equivalence_holm"] <= level
    return frame.assign(
        equivalent=equivalent,
        minimum_effect=minimum_effect(sd, groups, np.full(len(frame), level)),
        minimum_effect_holm=minimum_effect(sd, groups, level / np.maximum(frame["family_size"].to_numpy(), 1)),
        verdict=_verdict(frame["p_holm"], frame["benefit"], level, equivalent),
        verdict_retrained=_verdict(frame["p_retrained_holm"], frame["benefit"], level),
    )


def _verdict(p: pd.Series, benefit: pd.Series, level: float, equivalent: pd.Series | bool = False) -> np.ndarray:
    found = p <= level
    conditions = [p.isna(), found & (benefit > 0), found & (benefit < 0), equivalent & p.notna()]
    return np.select(conditions, ["undefined", "better", "worse", "equivalent"], "undecided").astype(object)
