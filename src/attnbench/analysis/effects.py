"""Paired difference of every model from every baseline: interval, tests, correction, verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attnbench.analysis.averages import (
    group_means,
    mean_defined,
    mean_over_groups,
    sd_defined,
    support,
    with_all_classes,
)
from attnbench.analysis.blocks import (
    ALL_CLASSES,
    STATUSES,
    DatasetScores,
    Floats,
    diverged_models,
)
from attnbench.analysis.effect_size import minimum_effect, standardised, superiority
from attnbench.analysis.frames import joined
from attnbench.analysis.means import ClassNames, row_labels
from attnbench.analysis.resample import student_interval
from attnbench.analysis.retraining import MIN_TRAININGS, retrained, standard_effects
from attnbench.analysis.significance import (
    holm_by_family,
    sign_flip_p,
    signed_rank_p,
    smallest_p,
)
from attnbench.analysis.verdicts import (
    DIVERGED,
    FAILURES_DIFFER,
    FLOOR,
    GROUPS_CROSS,
    MADE_ELSEWHERE,
    NEAR_ZERO,
    ONE_SPLIT,
    SAME_NETWORK,
    TOO_FEW_GROUPS,
    TOO_FEW_TRAININGS,
    directions,
    first_reason,
    judge,
)
from attnbench.scoring.definitions import METRICS
from attnbench.study.groups import AnalysisSettings

Pair = tuple[str, str]
"""A model and the baseline that it is compared with."""


# Whether it would come out again, and how far it may move, if both models were trained again.
_OF_RETRAINING = frozenset(
    {
        "retrained_low", "retrained_high", "retrained_error", "free", "p_retrained",
        "probability_better", "probability_equal", "probability_worse", "p_equivalence",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Paired:
    """Differences of each pair, model minus baseline, and how they came to be undefined.

    All arrays are (metrics, classes and `all`, pairs, ...): `differences` and `present` (the same,
    where the reference has the class) (cases, trainings), NaN where either value is missing or
    undefined; `scored`: both have a score row. Counts of score rows, one per pair: `failures` and
    `false_alarms` of the model and of its baseline (2 on the last axis), `lost`: undefined for one
    of the two, `uneven`: undefined for one and not for the other.
    """

    differences: Floats
    present: Floats
    scored: NDArray[np.bool_]
    failures: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    lost: NDArray[np.int64]
    uneven: NDArray[np.int64]


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
    elsewhere: Collection[str] = (),
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and pair of models; columns: docs/files.md.

    A difference is model minus baseline of the same case, class and training, where both are
    defined; then averaged over classes (for `all`), trainings, the cases of a group, and groups, in
    this order: every group counts alike in estimate, interval, test and verdict. A model of which a
    run diverged on a dataset has no difference there.

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence, resamples, seed and margin.
        class_names: name of each class by dataset and class.
        controls: pairs (variant, control) that are compared as well, as `Study.control_pairs`.
        elsewhere: models whose predictions were made elsewhere: a family of tests of their own, so
            that they change nothing for the others, and no word about training again.
    """
    frames = [
        _effects_of(block, pairs, baseline, settings, class_names.get(block.dataset, {}))
        for block in scores
        if (pairs := comparisons(block.models, baseline, controls))
    ]
    if not frames:
        return joined("effects", [])
    frame = pd.concat(frames, ignore_index=True)
    frame = _as_trained_only(frame.assign(elsewhere=frame["model"].isin(elsewhere)))
    frame = _corrected(frame, baseline, 1 - settings.confidence)
    return joined("effects", [_judged(frame, 1 - settings.confidence)])


def _as_trained_only(frame: pd.DataFrame) -> pd.DataFrame:
    """Take from rows of predictions made elsewhere what only a recipe can say."""
    columns = [name for name in frame if name in _OF_RETRAINING]
    return frame.assign(**{name: frame[name].mask(frame["elsewhere"]) for name in columns})


def paired(block: DatasetScores, pairs: Sequence[Pair]) -> Paired:
    """Differences of each pair of models on one dataset."""
    # Paired before classes are averaged: `all` then rests on classes that both models have.
    sides = [[block.models.index(pair[side]) for pair in pairs] for side in (0, 1)]
    values = [block.values[:, :, side] for side in sides]
    status = [block.status[:, :, side] for side in sides]
    absent = [block.reference_absent[:, :, side] for side in sides]
    differences = values[0] - values[1]
    scored = (status[0] >= 0) & (status[1] >= 0)
    undefined = [scored & np.isnan(side) for side in values]
    return Paired(
        differences=with_all_classes(differences),
        present=with_all_classes(np.where(absent[0] | absent[1], np.nan, differences)),
        scored=np.concatenate([scored, scored.any(axis=1, keepdims=True)], axis=1),
        failures=_by_side(status, "prediction_empty"),
        false_alarms=_by_side(status, "reference_empty"),
        lost=_counted(undefined[0] | undefined[1]),
        uneven=_counted(undefined[0] ^ undefined[1]),
    )


def _of_whole(pair: Paired, lost: Sequence[bool]) -> Paired:
    """The differences, without a value of pairs of which one side `lost` a run: (pairs,)."""
    gone = np.array(lost)[:, None, None]
    return replace(
        pair,
        differences=np.where(gone, np.nan, pair.differences),
        present=np.where(gone, np.nan, pair.present),
    )


def _by_side(status: Sequence[np.ndarray], name: str) -> NDArray[np.int64]:
    return np.stack([_counted(side == STATUSES.index(name)) for side in status], axis=-1)


def _counted(marked: np.ndarray) -> NDArray[np.int64]:
    """Marked score rows of each metric, class (and, for `all`, of every class) and pair."""
    counts: NDArray[np.int64] = marked.sum(axis=(3, 4))
    return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)


def same_networks(block: DatasetScores, baseline: str, controls: Sequence[Pair]) -> set[str]:
    """Controls that have every score of the baseline: the search for their size found itself."""
    if baseline not in block.models:
        return set()
    own = block.values[:, :, block.models.index(baseline)]
    return {
        control
        for _, control in controls
        if control in block.models
        and np.array_equal(block.values[:, :, block.models.index(control)], own, equal_nan=True)
    }


def _near_zero(block: DatasetScores) -> NDArray[np.bool_]:
    """Where a model's mean is below `FLOOR`, (metrics, classes + 1, models).

    Over the cases whose reference has the class, since a model that finds nothing is right on all
    others; of metrics between 0 and 1, 1 being best. Never where values are changes of a score.
    """
    of_class = with_all_classes(np.where(block.reference_absent, np.nan, block.values))
    per_case = mean_defined(of_class, 4)
    rows = per_case.reshape(-1, len(block.cases))
    means = mean_over_groups(rows, block.case_group, len(block.groups)).reshape(per_case.shape[:3])
    known = [METRICS[name] for name in block.metrics]
    applies = np.array([metric.bounded and metric.higher_is_better for metric in known])
    low: NDArray[np.bool_] = (means < FLOOR) & applies[:, None, None] & (not block.changes)
    return low


def _effects_of(
    block: DatasetScores,
    pairs: Sequence[Pair],
    baseline: str,
    settings: AnalysisSettings,
    names: Mapping[str, str],
) -> pd.DataFrame:
    lost = diverged_models(block)
    pair = _of_whole(paired(block, pairs), [bool(lost.intersection(both)) for both in pairs])
    labels = row_labels(block, [model for model, _ in pairs], names)
    # Pairs vary fastest in the labels, so that the baselines repeat from start to end.
    labels["baseline"] = np.resize(
        np.array([other for _, other in pairs], dtype=object), len(labels)
    )
    scored_cases = pair.scored.any(axis=-1).reshape(len(labels), -1).sum(axis=1)
    kept = scored_cases > 0
    counts = {
        "failures": pair.failures[..., 0],
        "failures_baseline": pair.failures[..., 1],
        "false_alarms": pair.false_alarms[..., 0],
        "false_alarms_baseline": pair.false_alarms[..., 1],
        "lost_rows": pair.lost,
        "uneven": pair.uneven,
    }
    same = same_networks(block, baseline, [one for one in pairs if one[1] != baseline])
    low = _near_zero(block)
    near_zero = np.logical_and(
        *(low[:, :, [block.models.index(pair[side]) for pair in pairs]] for side in (0, 1))
    )
    labels = labels.assign(
        **{name: values.reshape(-1) for name, values in counts.items()},
        near_zero=near_zero.reshape(-1),
        same=labels["model"].isin(same) | labels["baseline"].isin(same),
        diverged=labels["model"].isin(lost) | labels["baseline"].isin(lost),
        fixed=block.fixed,
        crossing=block.crossing,
    )[kept]
    differences, present = (
        values.reshape(len(kept), len(block.cases), -1)[kept]
        for values in (pair.differences, pair.present)
    )
    return labels.assign(
        **_statistics(block, labels, differences, scored_cases[kept], settings),
        **_present(block, present, settings),
    )


def _statistics(
    block: DatasetScores,
    labels: pd.DataFrame,
    per_training: Floats,
    scored_cases: np.ndarray,
    settings: AnalysisSettings,
) -> dict[str, np.ndarray]:
    """Columns of one dataset's rows.

    Args:
        block: the dataset's scores.
        labels: the names of each row.
        per_training: paired differences (rows, cases, trainings), NaN where undefined.
        scored_cases: cases that both models of a row were scored on, (rows,).
        settings: confidence, resamples, seed and margin.
    """
    per_case = mean_defined(per_training, 2)
    groups = group_means(per_case, block.case_group, len(block.groups))
    low, high = student_interval(groups, settings.confidence)
    behind = support(block, ~np.isnan(per_training))
    # A margin has no unit: it says nothing about millimetres.
    unitless = labels["metric"].map(lambda name: METRICS[name].has_margin).astype(bool)
    margin = np.where(unitless, settings.margin, np.nan)
    sign = directions(labels["metric"])
    again = retrained(block, per_training)
    retrained_low, retrained_high = again.interval(settings.confidence)
    better, equal, worse = again.probabilities(sign, np.where(unitless, settings.margin, 0.0))
    difference = mean_defined(groups, 1)
    told = (again.trainings >= MIN_TRAININGS) & (not block.crossing)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "higher_is_better": sign > 0,
        "benefit": sign * difference,
        "p": sign_flip_p(groups, settings.bootstrap, settings.seed),
        "p_wilcoxon": signed_rank_p(groups),
        "cases": behind.cases,
        "groups": behind.groups,
        "folds": behind.folds,
        "seeds": behind.seeds,
        "dropped": scored_cases - behind.cases,
        "better": (sign[:, None] * per_case > 0).sum(axis=1),
        "worse": (sign[:, None] * per_case < 0).sum(axis=1),
        "seed_sd": sd_defined(_by_training(block, per_training)),
        "group_sd": sd_defined(groups),
        "retrained_low": retrained_low,
        "retrained_high": retrained_high,
        "retrained_error": again.error,
        "free": again.free,
        "trainings": again.trainings,
        "p_retrained": np.where(told, again.p(), np.nan),
        "probability_better": np.where(told, better, np.nan),
        "probability_equal": np.where(told, equal, np.nan),
        "probability_worse": np.where(told, worse, np.nan),
        "dz": sign * standardised(groups),
        "superiority": superiority(sign[:, None] * groups),
        "margin": margin,
        "p_equivalence": again.equivalence_p(margin),
    }


def _by_training(block: DatasetScores, per_training: Floats) -> Floats:
    """Mean over groups in each training alone, (rows, trainings)."""
    return np.stack(
        [
            mean_over_groups(per_training[:, :, training], block.case_group, len(block.groups))
            for training in range(per_training.shape[2])
        ],
        axis=1,
    )


def _present(
    block: DatasetScores, per_training: Floats, settings: AnalysisSettings
) -> dict[str, np.ndarray]:
    """Columns of the same differences over the cases whose reference has the class."""
    groups = group_means(mean_defined(per_training, 2), block.case_group, len(block.groups))
    low, high = student_interval(groups, settings.confidence)
    behind = support(block, ~np.isnan(per_training))
    return {
        "difference_present": mean_defined(groups, 1),
        "low_present": low,
        "high_present": high,
        "cases_present": behind.cases,
        "groups_present": behind.groups,
    }


def _corrected(frame: pd.DataFrame, baseline: str, level: float) -> pd.DataFrame:
    """Add Holm's p over the comparisons of a metric, single classes and their mean apart.

    Those with predictions made elsewhere are apart too.
    """
    kind = np.where(frame["class"] == ALL_CLASSES, "mean over classes", "single classes")
    kind = kind.astype(object) + np.where(frame["elsewhere"], f", {MADE_ELSEWHERE}", "")
    families = frame.groupby([frame["metric"], kind], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    titles = [
        f"{metric}, {which}: {compared(rows, baseline)} x {rows['dataset'].nunique()} datasets"
        for (metric, which), rows in families
    ]
    withheld = withheld_reasons(
        frame["p"].to_numpy(),
        frame["groups"].to_numpy(),
        code,
        level,
        {
            GROUPS_CROSS: frame["crossing"].to_numpy(),
            DIVERGED: frame["diverged"].to_numpy(),
            SAME_NETWORK: frame["same"].to_numpy(),
            FAILURES_DIFFER: frame["uneven"].to_numpy() > 0,
        },
    )
    # A p of models that failed or diverged apart is no p; one of few groups is, and cannot pass.
    valid = ~np.isin(withheld, [GROUPS_CROSS, DIVERGED, SAME_NETWORK, FAILURES_DIFFER])
    columns = ("p", "p_wilcoxon", "p_retrained", "p_equivalence")
    frame = frame.assign(**{name: frame[name].where(valid) for name in columns})
    corrected = {
        f"{name}_holm": holm_by_family(frame[name].where(withheld == "").to_numpy(), code)
        for name in ("p", "p_retrained", "p_equivalence")
    }
    return frame.assign(
        **{name: values for name, (values, _) in corrected.items()},
        family=np.array(titles, dtype=object)[code],
        family_size=corrected["p_holm"][1],
        withheld=withheld,
    )


def withheld_reasons(
    p: Floats,
    groups: np.ndarray,
    family: NDArray[np.int64],
    level: float,
    reasons: dict[str, np.ndarray],
) -> np.ndarray:
    """Why a row is not tested, empty where it is: one of `reasons`, or too few groups.

    Groups are too few where the row would not pass even if every test of its family gave the
    smallest p that its groups allow: known before any score, so that these rows take nothing from
    the family's level (Tarone, Biometrics 46, 1990).

    Args:
        p: of each row, NaN where there is none.
        groups: behind each row.
        family: an integer per row.
        level: the study's level.
        reasons: masks (rows,) by the word that is said; the first that holds counts.
    """
    other = first_reason(reasons, len(p))
    best = np.where(np.isnan(p) | (other != ""), np.nan, smallest_p(groups))
    hopeless = holm_by_family(best, family)[0] > level * (1 + 1e-9)
    return np.where(hopeless, TOO_FEW_GROUPS, other)


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
    size = np.maximum(frame["family_size"].to_numpy(), 1)
    strict = level / size  # Bonferroni's level: the strictest step of Holm's correction.
    withheld = frame["withheld"].to_numpy()
    as_trained = judge(frame["benefit"], frame["p_holm"], level, withheld=withheld)
    within = frame["p_equivalence_holm"] <= level
    near_zero = frame["near_zero"].astype(bool)
    equivalent = within & ~near_zero
    few = (withheld == "") & (frame["trainings"] < MIN_TRAININGS)
    again = judge(
        frame["benefit"],
        # What does not hold for the networks as trained is no claim about their mechanism either.
        frame[["p_holm", "p_retrained_holm"]].max(axis=1, skipna=False),
        level,
        equivalent,
        np.where(
            frame["elsewhere"] & frame["p"].notna(),
            MADE_ELSEWHERE,
            np.where(
                few & frame["p"].notna(),
                np.where(frame["fixed"], ONE_SPLIT, TOO_FEW_TRAININGS),
                withheld,
            ),
        ),
    )
    said = again["verdict"].mask(again["verdict"].eq("undecided") & within & near_zero, NEAR_ZERO)
    again = again.assign(verdict=said)
    error = frame["retrained_error"].to_numpy()
    return frame.assign(
        equivalent=equivalent,
        minimum_effect=minimum_effect(sd, groups, np.full(len(frame), level)),
        minimum_effect_holm=minimum_effect(sd, groups, strict),
        minimum_effect_retrained=error * standard_effects(frame["free"].to_numpy(), strict),
        **as_trained[["significant", "verdict"]],
        **again[["significant", "verdict"]].add_suffix("_retrained"),
    )
