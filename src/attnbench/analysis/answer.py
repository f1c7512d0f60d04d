"""The study's answer: whether each variant beats the baseline and every control of its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.blocks import DatasetScores
from attnbench.analysis.effects import same_networks, withheld_reasons
from attnbench.analysis.frames import joined, of_rows
from attnbench.analysis.retraining import MIN_TRAININGS, standard_effects
from attnbench.analysis.significance import holm
from attnbench.analysis.verdicts import (
    DIVERGED,
    FAILURES_DIFFER,
    GROUPS_CROSS,
    NEAR_ZERO,
    ONE_SPLIT,
    TOO_FEW_TRAININGS,
    is_significant,
    judge,
)
from attnbench.study.groups import AnalysisSettings
from attnbench.study.names import SIZES
from attnbench.study.settings import Study

HELPS, BIGGER = "helps", "not separated from size"


@dataclass(frozen=True)
class Asked:
    """A variant, its controls of equal size by kind, and the kinds that it lacks."""

    model: str
    controls: Mapping[str, str]

    @property
    def lacking(self) -> tuple[str, ...]:
        """Kinds of control without which a gain is not told from that of a larger network."""
        return tuple(kind for kind in SIZES if kind not in self.controls)


def never_helps(study: Study) -> list[str]:
    """Reasons why no variant of a study could be said to help, whatever its scores."""
    reasons = []
    unable = dict(_cannot_tell(study))
    if len(unable) == len(study.trained_datasets):
        reasons += [
            f"{', '.join(name for name in unable if unable[name] == reason)}: {reason}"
            if len(unable) > 1
            else reason
            for reason in dict.fromkeys(unable.values())
        ]
    variants = asked(study)
    lacking = sorted({kind for one in variants for kind in one.lacking})
    if variants and all(one.lacking for one in variants):
        reasons.append(f"every variant lacks controls ({', '.join(lacking)})")
    return reasons


def _cannot_tell(study: Study) -> Iterator[tuple[str, str]]:
    """Yield datasets on which no variant can be said to help, each with the reason."""
    for dataset, split in study.splits.items():
        folds = len(study.folds_to_run(dataset))
        if split.crossing:
            yield dataset, "groups cross the split"
        elif split.fixed:
            yield dataset, "one fixed split says nothing about models trained on other cases"
        elif folds < MIN_TRAININGS:
            yield dataset, f"{folds} folds (times repeats) are run, {MIN_TRAININGS} are needed"


def asked(study: Study) -> list[Asked]:
    """The variants of a study, each with its controls of equal size."""
    return [
        Asked(
            model.name,
            {
                str(control.control): control.name
                for control in study.trained_models
                if control.control_of == model.name and control.control in SIZES
            },
        )
        for model in study.trained_models
        if not model.control and model.name != study.baseline
    ]


def compute_answer(
    effects: pd.DataFrame,
    scores: Sequence[DatasetScores],
    baseline: str,
    asked: Sequence[Asked],
    settings: AnalysisSettings,
    primary: tuple[str, str],
) -> pd.DataFrame:
    """One row per dataset and variant, in the study's primary comparison; columns: docs/files.md.

    "Helps" is an intersection-union test: better than the baseline and than each control of its
    size, so that the largest p of these counts, as trained and for models trained again, after
    Holm's correction over variants and datasets. A variant that is better than the baseline alone,
    or lacks a control, is "not separated from size". Berger, Technometrics 24, 1982.

    Args:
        effects: the frame of that name.
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        asked: the study's variants with their controls.
        settings: confidence of the intervals, and level of the verdicts.
        primary: metric and class (or `all`) of the primary comparison.
    """
    metric, class_ = primary
    own = effects[(effects["metric"] == metric) & (effects["class"] == class_)]
    same = {
        block.dataset: same_networks(
            block, baseline, [(one.model, name) for one in asked for name in one.controls.values()]
        )
        for block in scores
    }
    rows = [
        row
        for dataset in dict.fromkeys(own["dataset"])
        for one in asked
        for row in _row(own[own["dataset"] == dataset], one, baseline, same.get(dataset, set()))
    ]
    if not rows:
        return of_rows("answer", [])
    fixed = {block.dataset for block in scores if block.fixed}
    frame = pd.DataFrame(rows)
    frame = frame.assign(fixed=frame["dataset"].isin(fixed))
    return _judged(_corrected(frame, settings), 1 - settings.confidence)


def _row(
    effects: pd.DataFrame, asked: Asked, baseline: str, same: set[str]
) -> Iterator[dict[str, Any]]:
    of_model = effects[effects["model"] == asked.model].set_index("baseline")
    if baseline not in of_model.index:
        return
    first = of_model.loc[baseline]
    coincide = [name for name in asked.controls.values() if name in same]
    rivals = [baseline, *(name for name in asked.controls.values() if name not in same)]
    scored = [name for name in rivals if name in of_model.index]
    # A control that is not scored yet rules out nothing.
    missing = [
        kind for kind, name in asked.controls.items() if name in rivals and name not in scored
    ]
    against = of_model.loc[scored]
    p, again = (
        against[name].where(against["benefit"] > 0, 1.0).where(against[name].notna()).to_numpy()
        for name in ("p", "p_retrained")
    )
    weakest = int(np.nan_to_num(np.where(np.isnan(again), p, again), nan=1.0).argmax())
    yield {
        "dataset": first["dataset"], "class": first["class"], "metric": first["metric"],
        "unit": first["unit"], "model": asked.model, "baseline": baseline,
        "rivals": " + ".join(scored[1:]),
        "same_as_baseline": " + ".join(coincide),
        "lacking": " + ".join([*asked.lacking, *missing]),
        "weakest": scored[weakest],
        "weakest_benefit": against["benefit"].iloc[weakest],
        # One rival without a p, and there is no largest.
        "p_all": p.max(), "p_all_retrained": again.max(),
        **{name: first[name] for name in (
            "difference", "low", "high",
            "difference_present", "benefit", "p", "retrained_low", "retrained_high",
            "p_retrained", "p_equivalence", "group_sd", "retrained_error", "free", "cases",
            "groups", "folds", "seeds", "trainings", "margin", "probability_better",
            "probability_equal", "probability_worse", "near_zero", "verdict",
        )},
    }  # fmt: skip


def _corrected(frame: pd.DataFrame, settings: AnalysisSettings) -> pd.DataFrame:
    """Add Holm's p over the rows, and intervals that hold for all of them at once (Bonferroni)."""
    level, size = 1 - settings.confidence, len(frame)
    number = frame["groups"].to_numpy(np.float64)
    error = frame["group_sd"].to_numpy(np.float64) / np.sqrt(np.maximum(number, 1))
    difference = frame["difference"].to_numpy(np.float64)
    limits: dict[str, np.ndarray] = {}
    for name, spread, free in (
        ("simultaneous", error, number - 1),
        ("simultaneous_retrained", frame["retrained_error"], frame["free"]),
    ):
        degrees = np.where(np.asarray(free, np.float64) >= 1, free, np.nan)
        half = stats.t.isf(level / size / 2, degrees) * np.asarray(spread, np.float64)
        limits |= {f"{name}_low": difference - half, f"{name}_high": difference + half}
    # Errors of few folds differ by chance: the smallest would promise too much.
    squares = frame["retrained_error"].astype(np.float64) ** 2
    pooled = squares.groupby(frame["dataset"]).transform("mean") ** 0.5
    names = ("p", "p_retrained", "p_all", "p_all_retrained", "p_equivalence")
    return frame.assign(
        family_size=size,
        minimum_effect_retrained=pooled.to_numpy(np.float64)
        * standard_effects(frame["free"].to_numpy(), np.full(size, level / size)),
        **limits,
        **{f"{name}_holm": holm(frame[name].to_numpy(np.float64)) for name in names},
    )


def _judged(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Add the answer of each row, in one of the words that docs/files.md explains."""

    def passed(*names: str) -> pd.Series:
        return is_significant(
            frame[[f"{name}_holm" for name in names]].max(axis=1, skipna=False), level
        )

    # Of this family's tests: that groups are too few for all comparisons of the effects is no
    # reason here.
    withheld = frame["verdict"].where(
        frame["verdict"].isin(["undefined", DIVERGED, FAILURES_DIFFER, GROUPS_CROSS]), ""
    )
    few_groups = withheld_reasons(
        frame["p"].to_numpy(np.float64),
        frame["groups"].to_numpy(),
        np.zeros(len(frame), np.int64),
        level,
        {},
    )
    withheld = withheld.where(withheld != "", few_groups)
    trained = judge(frame["benefit"], frame["p_holm"], level, withheld=withheld.to_numpy())
    told = (withheld == "") & (frame["trainings"] >= MIN_TRAININGS)
    baseline = told & passed("p", "p_retrained")
    cases = {
        HELPS: baseline & passed("p_all", "p_all_retrained") & (frame["lacking"] == ""),
        BIGGER: baseline & (frame["benefit"] > 0),
        "worse": baseline & (frame["benefit"] < 0),
        NEAR_ZERO: told & passed("p_equivalence") & frame["near_zero"].eq(True),
        "equivalent": told & passed("p_equivalence"),
        ONE_SPLIT: (withheld == "") & ~told & frame["fixed"],
        TOO_FEW_TRAININGS: (withheld == "") & ~told,
        "undecided": told,
    }
    verdict = np.select(list(cases.values()), list(cases), withheld).astype(object)
    return joined("answer", [frame.assign(verdict_trained=trained["verdict"], verdict=verdict)])
