"""Paired difference of every model from every baseline, with interval, tests, correction and
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import (
    group_totals,
    mean_defined,
    sd_defined,
    support,
    with_all_classes,
)
from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores, Floats
from attnbench.analysis.effect_size import equivalence_p, minimum_effect, standardised, superiority
from attnbench.analysis.means import ClassNames, row_labels
from attnbench.analysis.resample import bootstrap_interval
from attnbench.analysis.retraining import retrained
from attnbench.analysis.significance import holm_by_family, sign_flip_p, signed_rank_p
from attnbench.scoring.definitions import METRICS
from attnbench.study.settings import AnalysisSettings

Pair = tuple[str, str]
"""A model and the baseline that it is compared with."""

COLUMNS = (
    "dataset", "class", "class_name", "metric", "unit", "model", "baseline",
    "difference", "low", "high", "higher_is_better", "benefit",
    "p", "p_holm", "p_permutation", "family", "family_size",
    "cases", "groups", "folds", "seeds", "dropped", "better", "worse", "seed_sd", "group_sd",
    "retrained_low", "retrained_high", "p_retrained", "p_retrained_holm",
    "dz", "superiority", "margin", "p_equivalence", "p_equivalence_holm", "equivalent",
    "minimum_effect", "minimum_effect_holm", "significant", "verdict", "significant_retrained",
    "verdict_retrained",
)  # fmt: skip


def comparisons(models: Sequence[str], baseline: str) -> list[Pair]:
    """What is compared: every model with the study's baseline, then every variant with each of its
    controls.

    The controls of a variant are the models `<variant>-<control>`. Only `models` are compared,
    and no pair twice.
    """
    controls = [
        (variant, control)
        for variant in models
        for control in models
        if control.startswith(f"{variant}-") and baseline not in (variant, control)
    ]
    return [*with_baseline(models, baseline), *controls]


def with_baseline(models: Sequence[str], baseline: str) -> list[Pair]:
    """Every other model with the study's baseline; nothing where the baseline is not among the
    models.
    """
    return [(name, baseline) for name in models if name != baseline] if baseline in models else []


def effects(
    scores: Sequence[DatasetScores],
    baseline: str,
    part: AnalysisSettings,
    class_names: ClassNames,
    pairs_of: Callable[[Sequence[str], str], list[Pair]] = comparisons,
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and pair that `pairs_of` names; columns as in
    docs/files.md.

    A difference is model minus baseline of the same case, class and seed, where both are
    defined; then averaged over classes (for `all`), seeds and cases, in this order.
    """
    frames = [
        _effects_of(block, pairs, part, class_names.get(block.dataset, {}))
        for block in scores
        if (pairs := pairs_of(block.models, baseline))
    ]
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    frame = _corrected(pd.concat(frames, ignore_index=True), baseline)
    return _judged(frame, 1 - part.confidence).loc[:, list(COLUMNS)]


def paired(block: DatasetScores, pairs: Sequence[Pair]) -> tuple[Floats, np.ndarray]:
    """Differences of each pair, model minus baseline, and where both have a score row.

    Both arrays are (metrics, classes and `all`, pairs, cases, seeds); a difference is NaN where
    either value is missing or undefined.
    """
    model, other = ([block.models.index(pair[side]) for pair in pairs] for side in (0, 1))
    differences = block.values[:, :, model] - block.values[:, :, other]
    scored = (block.status[:, :, model] >= 0) & (block.status[:, :, other] >= 0)
    return with_all_classes(differences), np.concatenate(
        [scored, scored.any(axis=1, keepdims=True)], axis=1
    )


def _effects_of(
    block: DatasetScores, pairs: Sequence[Pair], part: AnalysisSettings, names: Mapping[str, str]
) -> pd.DataFrame:
    differences, both_scored = paired(block, pairs)
    per_seed = differences.reshape(-1, len(block.cases), len(block.seeds))
    labels = row_labels(block, [model for model, _ in pairs], names)
    labels["baseline"] = np.resize(
        np.array([other for _, other in pairs], dtype=object), len(labels)
    )
    scored_cases = both_scored.any(axis=-1).reshape(len(labels), -1).sum(axis=1)
    kept = scored_cases > 0
    return labels[kept].assign(
        **_statistics(block, labels[kept], per_seed[kept], scored_cases[kept], part)
    )


def _statistics(
    block: DatasetScores,
    labels: pd.DataFrame,
    per_seed: Floats,
    scored_cases: np.ndarray,
    part: AnalysisSettings,
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
    margin = np.where(
        labels["metric"].map(lambda word: METRICS[word].unit) == "1", part.margin, np.nan
    )
    sign = np.where(higher, 1.0, -1.0)
    retrained_low, retrained_high, p_retrained = retrained(
        per_seed, block.case_group, block.case_fold, part.confidence
    )
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


def _corrected(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Add Holm's p over all comparisons and datasets of one metric, single classes and their
    mean apart.
    """
    level = np.where(frame["class"] == ALL_CLASSES, "mean over classes", "single classes")
    families = frame.groupby([frame["metric"], level], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    corrected, size = holm_by_family(frame["p"].to_numpy(), code)
    words = [
        f"{metric}, {which}: {compared(rows, baseline)} x {rows['dataset'].nunique()} datasets"
        for (metric, which), rows in families
    ]
    return frame.assign(
        p_holm=corrected,
        family=np.array(words, dtype=object)[code],
        family_size=size,
        p_retrained_holm=holm_by_family(frame["p_retrained"].to_numpy(), code)[0],
        p_equivalence_holm=holm_by_family(frame["p_equivalence"].to_numpy(), code)[0],
    )


def compared(rows: pd.DataFrame, baseline: str) -> str:
    """How many models, and how many comparisons with controls, in words."""
    to_controls = rows.loc[rows["baseline"] != baseline, ["model", "baseline"]].drop_duplicates()
    models = f"{rows.loc[rows['baseline'] == baseline, 'model'].nunique()} models"
    return (
        f"({models} + {len(to_controls)} variants with a control)" if len(to_controls) else models
    )


def _judged(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Add what the corrected tests say at `level` in one word, and the smallest effect they
    could have found.
    """
    sd, groups = frame["group_sd"].to_numpy(), frame["groups"].to_numpy()
    equivalent = frame["p_equivalence_holm"] <= level
    return frame.assign(
        equivalent=equivalent,
        minimum_effect=minimum_effect(sd, groups, np.full(len(frame), level)),
        minimum_effect_holm=minimum_effect(
            sd, groups, level / np.maximum(frame["family_size"].to_numpy(), 1)
        ),
        significant=frame["p_holm"] <= level,
        significant_retrained=frame["p_retrained_holm"] <= level,
        verdict=_verdict(frame["p_holm"], frame["benefit"], level, equivalent),
        verdict_retrained=_verdict(frame["p_retrained_holm"], frame["benefit"], level),
    )


def _verdict(
    p: pd.Series, benefit: pd.Series, level: float, equivalent: pd.Series | bool = False
) -> np.ndarray:
    found = p <= level
    conditions = [p.isna(), found & (benefit > 0), found & (benefit < 0), equivalent & p.notna()]
    return np.select(
        conditions, ["undefined", "better", "worse", "equivalent"], "undecided"
    ).astype(object)
