"""Paired difference of every model from the baseline, with interval, test and correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import group_means, mean_defined, sd_defined, support, with_all_classes
from attnbench.analysis.means import ClassNames, row_labels
from attnbench.analysis.resample import bootstrap_interval
from attnbench.analysis.significance import holm_by_family, signed_rank_p
from attnbench.analysis.table import ALL_CLASSES, DatasetScores, Floats
from attnbench.scoring.definitions import METRICS
from attnbench.study import AnalysisPart

COLUMNS = (
    "dataset", "class", "class_name", "metric", "unit", "model", "baseline",
    "difference", "low", "high", "higher_is_better", "benefit",
    "p", "p_holm", "family", "family_size",
    "cases", "groups", "folds", "seeds", "dropped", "better", "worse", "seed_sd",
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
    frame = pd.concat(frames, ignore_index=True)
    return _corrected(frame).loc[:, list(COLUMNS)]


def _effects_of(block: DatasetScores, baseline: str, part: AnalysisPart, names: Mapping[str, str]) -> pd.DataFrame:
    models = [name for name in block.models if name != baseline]
    differences, both_scored = paired(block, baseline)
    per_seed = differences.reshape(-1, len(block.cases), len(block.seeds))
    per_case = mean_defined(per_seed, 2)
    low, high = bootstrap_interval(
        per_case, block.case_group, len(block.groups), part.confidence, part.bootstrap, part.seed
    )
    behind = support(~np.isnan(per_seed), block.case_group, block.case_fold)
    frame = row_labels(block, models, names)
    higher = frame["metric"].map(lambda word: METRICS[word].higher_is_better).to_numpy(dtype=bool)
    benefit = np.where(higher[:, None], per_case, -per_case)
    difference = mean_defined(per_case, 1)
    scored_cases = both_scored.any(axis=-1).reshape(len(frame), -1).sum(axis=1)
    frame = frame.assign(
        baseline=baseline,
        difference=difference,
        low=low,
        high=high,
        higher_is_better=higher,
        benefit=np.where(higher, difference, -difference),
        p=signed_rank_p(group_means(per_case, block.case_group, len(block.groups))),
        cases=behind.cases,
        groups=behind.groups,
        folds=behind.folds,
        seeds=behind.seeds,
        dropped=scored_cases - behind.cases,
        better=(benefit > 0).sum(axis=1),
        worse=(benefit < 0).sum(axis=1),
        seed_sd=sd_defined(mean_defined(per_seed, 1)),
    )
    return frame[scored_cases > 0]


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
    return frame.assign(p_holm=corrected, family=np.array(words, dtype=object)[code], family_size=size)
