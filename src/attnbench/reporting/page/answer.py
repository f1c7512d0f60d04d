"""The first screen: what the study found in two sentences, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.format import decimals, interval
from attnbench.reporting.frames import absent_runs, read_frame, records
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics
from attnbench.shift.kinds import requested_kinds

if TYPE_CHECKING:
    from attnbench.study.settings import Study


@dataclass(frozen=True)
class Answer:
    """`verdict`: the answer in a few words; `found`: on new patients with the models as trained;
    `holds`: about the mechanisms, with models trained again.
    """

    verdict: str
    found: str
    holds: str
    limits: tuple[str, ...]


def answer(study: Study) -> Answer:
    """The answer by the first main metric, mean over classes; without effects, what is missing for
    one.

    Controls are not asked: a larger U-Net that beats the baseline says nothing for attention.
    """
    metric = main_metrics(study.metrics)[0]
    effects = read_frame(study, "effects")
    asked = [part.name for part in study.models if not part.control]
    shown = (
        (effects["class"] == "all") & (effects["metric"] == metric) & effects["model"].isin(asked)
    )
    rows = effects[shown]
    if rows.empty:
        needed = "A claim needs a baseline, a model beside it, and cases that both were scored on."
        return Answer(
            "No answer yet",
            _nothing(study),
            needed,
            tuple(absent_runs(study, *requested_kinds(study))),
        )
    limits = (*_limits(study, rows), *absent_runs(study, *requested_kinds(study)))
    return Answer(_verdict(rows), _found(study, rows, metric), _holds(rows), limits)


def _verdict(rows: pd.DataFrame) -> str:
    """Only what holds when models are trained again counts for a mechanism."""
    better, worse = (int((rows["verdict_retrained"] == word).sum()) for word in ("better", "worse"))
    if better:
        return f"Yes, in {better} of {_several(len(rows), 'comparison')}" + (
            f"; worse in {worse}" if worse else ""
        )
    if worse:
        return f"No: worse in {worse} of {_several(len(rows), 'comparison')}, better in none"
    return f"Not shown in {'the one comparison' if len(rows) == 1 else f'any of {len(rows)} comparisons'}"


def _nothing(study: Study) -> str:
    if all(part.control for part in study.models if part.name != study.baseline):
        alone = "alone" if len(study.models) == 1 else "and controls alone"
        return f"No comparison: the study has {display_name(study.baseline)} {alone}."
    return "No answer yet: no model and the baseline have been scored on the same cases."


def _found(study: Study, rows: pd.DataFrame, metric: str) -> str:
    known = METRICS[metric]
    verdicts = rows["verdict"].value_counts()
    counts = {
        word: verdicts.get(word, 0)
        for word in ("better", "worse", "equivalent", "undecided", "undefined")
    }
    told = ", ".join(
        f"{number} {word}"
        for word, number in counts.items()
        if number or word in ("better", "worse")
    )
    models, datasets = (_several(rows[key].nunique(), key) for key in ("model", "dataset"))
    return (
        f"By {known.label}, on new patients and with the models as trained, "
        f"{_several(len(rows), 'comparison')} with "
        f"{display_name(study.baseline)} ({models} on {datasets}) came out {told}; "
        f"{_extremes(rows, known.higher_is_better)}."
    )


def _several(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return " to ".join(str(value) for value in (found[0], found[-1])[: len(found)])


def _extremes(rows: pd.DataFrame, higher_is_better: bool) -> str:
    ordered = rows.assign(gain=rows["difference"] * (1 if higher_is_better else -1)).dropna(
        subset="gain"
    )
    if ordered.empty:
        return "no difference is defined"
    ordered = ordered.sort_values("gain", kind="stable")
    most, least = records(ordered.tail(1))[0], records(ordered.head(1))[0]
    text = f"the most favourable difference is {_one(most)}"
    return text if len(ordered) == 1 else f"{text}, the least favourable {_one(least)}"


def _one(row: dict[str, Any]) -> str:
    unit = display_unit(row["unit"])
    stated = interval(row["difference"], row["low"], row["high"], decimals(row["unit"]), sign=True)
    return f"{stated}{f' {unit}' if unit else ''} ({display_name(row['model'])}, {display_name(row['dataset'])})"


def _holds(rows: pd.DataFrame) -> str:
    told = rows[rows["verdict_retrained"].isin(["better", "worse"])]
    if rows["p_retrained_holm"].isna().all():
        return (
            "Whether any of this would come out again if the models were trained again cannot be "
            "said: there is a "
            "single training of each. No claim about a mechanism follows."
        )
    if told.empty:
        return (
            f"None of the {len(rows)} differences holds when the models are trained again as "
            "well, so no claim about a "
            f"mechanism follows; {_again(rows)}."
        )
    named = ", ".join(
        f"{display_name(row['model'])} on {display_name(row['dataset'])} "
        f"({row['verdict_retrained']})"
        for row in records(told)
    )
    return (
        f"{len(told)} of {len(rows)} hold when the models are trained again as well, which a "
        "claim about a mechanism "
        f"needs: {named}; {_again(told)}."
    )


def _again(rows: pd.DataFrame) -> str:
    """The largest difference with its interval for retrained models."""
    largest = records(rows.loc[[rows["difference"].abs().idxmax()]])[0]
    again = {**largest, "low": largest["retrained_low"], "high": largest["retrained_high"]}
    return f"the largest, with its interval for retrained models, is {_one(again)}"


def _limits(study: Study, rows: pd.DataFrame) -> tuple[str, ...]:
    groups = _range(rows["groups"].astype(int))
    trainings = len(study.folds_to_run()) * len(study.seeds)
    return (
        "Other data, other backbones, larger budgets: results hold for these datasets, this U-Net "
        "and "
        f"{_range([part.steps or study.training.steps for part in study.datasets])} optimiser "
        "steps.",
        "Equality: a difference that is not told from zero is not shown to be zero; only "
        "“equivalent” says so "
        f"(within {study.analysis.margin:g}, for metrics without a unit).",
        f"Small effects: {groups} groups and {_several(trainings, 'training')} per model and "
        "dataset stand behind a "
        "difference.",
    )
