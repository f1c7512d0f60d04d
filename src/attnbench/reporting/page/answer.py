"""The first screen: the study's answer in two sentences, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.format import decimals, interval
from attnbench.reporting.results import absent_runs, records
from attnbench.reporting.words import display_unit
from attnbench.scoring.definitions import METRICS
from attnbench.shift.kinds import requested_kinds

if TYPE_CHECKING:
    from attnbench.reporting.results import Results


@dataclass(frozen=True)
class Answer:
    """The answer in a few words (`verdict`), with the two claims that are kept apart.

    `trained`: on new patients with the models as trained; `retrained`: about the mechanisms, with
    models trained again.
    """

    verdict: str
    trained: str
    retrained: str
    limits: tuple[str, ...]


def answer_study(results: Results) -> Answer:
    """Answer by the first main metric, mean over classes; without effects, say what is missing.

    Controls are not asked: a larger U-Net that beats the baseline says nothing for attention.
    """
    effects = results.whole("effects")
    asked = [model.name for model in results.study.models if not model.control]
    rows = effects[effects["model"].isin(asked)]
    absent = absent_runs(results, requested_kinds(results.study))
    if rows.empty:
        needed = "A claim needs a baseline, a model beside it, and cases that both were scored on."
        return Answer("No answer yet", _nothing(results), needed, tuple(absent))
    limits = (*_limits(results, rows), *absent)
    return Answer(_verdict(rows), _trained(results, rows), _retrained(results, rows), limits)


def _verdict(rows: pd.DataFrame) -> str:
    """Return the answer in a few words; for a mechanism only retrained models count."""
    better, worse = (int((rows["verdict_retrained"] == name).sum()) for name in ("better", "worse"))
    comparisons = _several(len(rows), "comparison")
    if better:
        return f"Yes, in {better} of {comparisons}" + (f"; worse in {worse}" if worse else "")
    if worse:
        return f"No: worse in {worse} of {comparisons}, better in none"
    which = "the one comparison" if len(rows) == 1 else f"any of {len(rows)} comparisons"
    return f"Not shown in {which}"


def _nothing(results: Results) -> str:
    study = results.study
    if all(model.control for model in study.models if model.name != study.baseline):
        alone = "alone" if len(study.models) == 1 else "and controls alone"
        return f"No comparison: the study has {results.baseline_label} {alone}."
    return "No answer yet: no model and the baseline have been scored on the same cases."


def _trained(results: Results, rows: pd.DataFrame) -> str:
    verdicts = rows["verdict"].value_counts()
    counts = {
        name: verdicts.get(name, 0)
        for name in ("better", "worse", "equivalent", "undecided", "undefined")
    }
    stated = ", ".join(
        f"{number} {name}"
        for name, number in counts.items()
        if number or name in ("better", "worse")
    )
    models, datasets = (_several(rows[key].nunique(), key) for key in ("model", "dataset"))
    return (
        f"By {METRICS[results.metric].label}, on new patients and with the models as trained, "
        f"{_several(len(rows), 'comparison')} with {results.baseline_label} ({models} on "
        f"{datasets}) came out {stated}; {_extremes(results, rows)}."
    )


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(values: Iterable[int]) -> str:
    distinct = sorted(set(values))
    ends = distinct if len(distinct) == 1 else (distinct[0], distinct[-1])
    return " to ".join(map(str, ends))


def _extremes(results: Results, rows: pd.DataFrame) -> str:
    ordered = records(rows.dropna(subset="benefit").sort_values("benefit", kind="stable"))
    if not ordered:
        return "no difference is defined"
    text = f"the most favourable difference is {_one(results, ordered[-1])}"
    if len(ordered) == 1:
        return text
    return f"{text}, the least favourable {_one(results, ordered[0])}"


def _one(results: Results, row: dict[str, Any]) -> str:
    unit = display_unit(row["unit"])
    stated = interval(row["difference"], row["low"], row["high"], decimals(row["unit"]), sign=True)
    where = f"{results.label(row['model'])}, {results.dataset_label(row['dataset'])}"
    return f"{stated}{f' {unit}' if unit else ''} ({where})"


def _retrained(results: Results, rows: pd.DataFrame) -> str:
    decided = rows[rows["verdict_retrained"].isin(["better", "worse"])]
    if rows["p_retrained_holm"].isna().all():
        return (
            "Whether any of this would come out again if the models were trained again cannot be "
            "said: there is a single training of each. No claim about a mechanism follows."
        )
    if decided.empty:
        return (
            f"None of the {len(rows)} differences holds when the models are trained again as "
            f"well, so no claim about a mechanism follows; {_largest(results, rows)}."
        )
    named = ", ".join(
        f"{results.label(row['model'])} on {results.dataset_label(row['dataset'])} "
        f"({row['verdict_retrained']})"
        for row in records(decided)
    )
    return (
        f"{len(decided)} of {len(rows)} hold when the models are trained again as well, which a "
        f"claim about a mechanism needs: {named}; {_largest(results, decided)}."
    )


def _largest(results: Results, rows: pd.DataFrame) -> str:
    """Return the largest difference with its interval for retrained models."""
    largest = records(rows.loc[[rows["difference"].abs().idxmax()]])[0]
    again = {**largest, "low": largest["retrained_low"], "high": largest["retrained_high"]}
    return f"the largest, with its interval for retrained models, is {_one(results, again)}"


def _limits(results: Results, rows: pd.DataFrame) -> tuple[str, ...]:
    study = results.study
    groups = _range(rows["groups"].astype(int))
    steps = _range(dataset.steps or study.training.steps for dataset in study.datasets)
    trainings = _several(len(study.folds_to_run()) * len(study.seeds), "training")
    return (
        "Other data, other backbones, larger budgets: results hold for these datasets, this U-Net "
        f"and {steps} optimiser steps.",
        "Equality: a difference that is not distinguishable from zero is not shown to be zero; "
        f"only “equivalent” says so (within {study.analysis.margin:g}, for metrics without a "
        "unit).",
        f"Small effects: {groups} groups and {trainings} per model and dataset stand behind a "
        "difference.",
    )
