"""Paired difference of every model from every baseline: interval, tests, correction, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from attnbench.analysis.frames import joined
from attnbench.analysis.means import ClassNames, row_labels
from attnbench.analysis.resample import bootstrap_interval
from attnbench.analysis.retraining import retrained
from attnbench.analysis.significance import holm_by_family, sign_flip_p, signed_rank_p
from attnbench.analysis.verdicts import directions, judge
from attnbench.scoring.definitions import METRICS
from attnbench.study.groups import AnalysisSettings

Pair = tuple[str, str]
"""A model and the baseline that it is compared with."""


def comparisons(models: Sequence[str], baseline: str, controls: Sequence[Pair] = ()) -> list[Pair]:
    """Return what is compared: every model with the baseline, then every variant with its controls.

    Only `models` are compared, and no pair of `controls` that the baseline is part of: it stands
    there already.
    """
    others = [name for name in models if name != baseline] if baseline in models else []
    kept = (pair for pair in controls if set(pair) <= set(models) and baseline not in pair)
    return [*((name, baseline) for name in others), *kept]


def compute_effects(
    scores: Sequence[DatasetScores],
    baseline: str,
    settings: AnalysisSettings,
    class_names: ClassNames,
    controls: Sequence[Pair] = (),
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and pair of models; columns: docs/files.md.

    A difference is model minus baseline of the same case, class and seed, where both are
    defined; then averaged over classes (for `all`), seeds and cases, in this order.

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence, resamples, seed and margin.
        class_names: name of each class by dataset and class.
        controls: pairs (variant, control) that are compared as well, as `Study.control_pairs`.
    """
    frames = [
        _effects_of(block, pairs, settings, class_names.get(block.dataset, {}))
        for block in scores
        if (pairs := comparisons(block.models, baseline, controls))
    ]
    if not frames:
        return joined("effects", [])
    frame = _corrected(pd.concat(frames, ignore_index=True), baseline)
    return joined("effects", [_judged(frame, 1 - settings.confidence)])


def paired(block: DatasetScores, pairs: Sequence[Pair]) -> tuple[Floats, np.ndarray]:
    """Differences of each pair, model minus baseline, and where both have a score row.

    Both arrays are (metrics, classes and `all`, pairs, cases, seeds); a difference is NaN where
    either value is missing or undefined.
    """
    # Paired before classes are averaged: `all` then rests on classes that both models have.
    model, other = ([block.models.index(pair[side]) for pair in pairs] for side in (0, 1))
    differences = block.values[:, :, model] - block.values[:, :, other]
    scored = (block.status[:, :, model] >= 0) & (block.status[:, :, other] >= 0)
    return with_all_classes(differences), np.concatenate(
        [scored, scored.any(axis=1, keepdims=True)], axis=1
    )


def _effects_of(
    block: DatasetScores,
    pairs: Sequence[Pair],
    settings: AnalysisSettings,
    names: Mapping[str, str],
) -> pd.DataFrame:
    differences, both_scored = paired(block, pairs)
    per_seed = differences.reshape(-1, len(block.cases), len(block.seeds))
    labels = row_labels(block, [model for model, _ in pairs], names)
    # Pairs vary fastest in the labels, so that the baselines repeat from start to end.
    labels["baseline"] = np.resize(
        np.array([other for _, other in pairs], dtype=object), len(labels)
    )
    scored_cases = both_scored.any(axis=-1).reshape(len(labels), -1).sum(axis=1)
    kept = scored_cases > 0
    return labels[kept].assign(
        **_statistics(block, labels[kept], per_seed[kept], scored_cases[kept], settings)
    )


def _statistics(
    block: DatasetScores,
    labels: pd.DataFrame,
    per_seed: Floats,
    scored_cases: np.ndarray,
    settings: AnalysisSettings,
) -> dict[str, np.ndarray]:
    """Columns of one dataset's rows.

    Args:
        block: the dataset's scores.
        labels: the names of each row.
        per_seed: paired differences (rows, cases, seeds), NaN where undefined.
        scored_cases: cases that both models of a row were scored on, (rows,).
        settings: confidence, resamples, seed and margin.
    """
    per_case = mean_defined(per_seed, 2)
    sums, counts = group_totals(per_case, block.case_group, len(block.groups))
    groups = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    low, high = bootstrap_interval(
        per_case,
        block.case_group,
        len(block.groups),
        settings.confidence,
        settings.bootstrap,
        settings.seed,
    )
    behind = support(~np.isnan(per_seed), block.case_group, block.case_fold)
    # A margin has no unit: it says nothing about millimetres.
    unitless = labels["metric"].map(lambda name: METRICS[name].unit) == "1"
    margin = np.where(unitless, settings.margin, np.nan)
    sign = directions(labels["metric"])
    retrained_low, retrained_high, p_retrained = retrained(
        per_seed, block.case_group, block.case_fold, settings.confidence
    )
    difference = mean_defined(per_case, 1)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "higher_is_better": sign > 0,
        "benefit": sign * difference,
        "p": signed_rank_p(groups),
        "p_permutation": sign_flip_p(sums, counts, settings.bootstrap, settings.seed),
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
    """Add Holm's p over the comparisons of a metric, single classes and their mean apart."""
    level = np.where(frame["class"] == ALL_CLASSES, "mean over classes", "single classes")
    families = frame.groupby([frame["metric"], level], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    corrected, size = holm_by_family(frame["p"].to_numpy(), code)
    titles = [
        f"{metric}, {which}: {compared(rows, baseline)} x {rows['dataset'].nunique()} datasets"
        for (metric, which), rows in families
    ]
    return frame.assign(
        p_holm=corrected,
        family=np.array(titles, dtype=object)[code],
        family_size=size,
        p_retrained_holm=holm_by_family(frame["p_retrained"].to_numpy(), code)[0],
        p_equivalence_holm=holm_by_family(frame["p_equivalence"].to_numpy(), code)[0],
    )


def compared(rows: pd.DataFrame, baseline: str) -> str:
    """Numbers of models and of comparisons with controls, in words."""
    to_controls = rows.loc[rows["baseline"] != baseline, ["model", "baseline"]].drop_duplicates()
    models = f"{rows.loc[rows['baseline'] == baseline, 'model'].nunique()} models"
    return (
        f"({models} + {len(to_controls)} variants with a control)" if len(to_controls) else models
    )


def _judged(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Add the verdicts at `level`, and the smallest effects that could have been found."""
    sd, groups = frame["group_sd"].to_numpy(), frame["groups"].to_numpy()
    equivalent = frame["p_equivalence_holm"] <= level
    as_trained = judge(frame["benefit"], frame["p_holm"], level, equivalent)
    again = judge(frame["benefit"], frame["p_retrained_holm"], level)
    return frame.assign(
        equivalent=equivalent,
        minimum_effect=minimum_effect(sd, groups, np.full(len(frame), level)),
        # Bonferroni's level: the strictest step of Holm's correction.
        minimum_effect_holm=minimum_effect(
            sd, groups, level / np.maximum(frame["family_size"].to_numpy(), 1)
        ),
        **as_trained[["significant", "verdict"]],
        **again[["significant", "verdict"]].add_suffix("_retrained"),
    )
