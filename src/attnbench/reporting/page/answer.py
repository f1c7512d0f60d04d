"""The first screen: the study's answer in a few sentences, and what it does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.answer import BIGGER, HELPS
from attnbench.analysis.retraining import MIN_TRAININGS
from attnbench.analysis.verdicts import (
    DIVERGED,
    GROUPS_CROSS,
    ONE_SPLIT,
    TOO_FEW_GROUPS,
    TOO_FEW_TRAININGS,
)
from attnbench.reporting.diverged import diverged_counts
from attnbench.reporting.format import decimals, interval, number
from attnbench.reporting.machines import machine_notes
from attnbench.reporting.recipes import recipe_notes, undertrained_in_short
from attnbench.reporting.results import absent_runs, records
from attnbench.reporting.splits import split_notes
from attnbench.reporting.units import new_units, unit_of_evidence
from attnbench.reporting.words import display_unit, whole_networks
from attnbench.scoring.definitions import METRICS
from attnbench.shift.kinds import requested_kinds

if TYPE_CHECKING:
    from attnbench.reporting.results import Results


@dataclass(frozen=True)
class Answer:
    """The answer in a few words (`verdict`), with the claims that are kept apart.

    `trained`: on new patients with the models as trained; `retrained`: about mechanisms and
    networks, with models trained again; `size`: beside controls of equal size, empty where nothing
    is to be said.
    """

    verdict: str
    trained: str
    retrained: str
    size: str
    limits: tuple[str, ...]


def answer_study(results: Results) -> Answer:
    """Answer by the study's primary comparison; without any, say what is missing."""
    rows = results.frame("answer").fillna({"rivals": "", "lacking": "", "weakest": ""})
    absent = absent_runs(results, requested_kinds(results.study))
    if rows.empty:
        needed = "A claim needs a baseline, a model beside it, and cases that both were scored on."
        return Answer("No answer yet", _nothing(results), needed, "", tuple(absent))
    said, again = _verdict(results, rows), _retrained(results, rows)
    hardly = rows[rows["near_zero"].eq(True)]
    told = rows["verdict"].isin([HELPS, BIGGER, "worse", GROUPS_CROSS])
    if len(hardly) == len(rows) and not told.any():
        # The headline says it of all.
        hardly = hardly.iloc[:0]
        said = f"Cannot be told: the models have learned next to nothing ({_scores(results, rows)})"
        again = (
            "Networks that segment nothing are alike whatever they are made of: no claim follows, "
            "not even that they are equal. More steps or another learning rate come first."
        )
    recipes = (*split_notes(results), *recipe_notes(results), *undertrained_in_short(results))
    recipes = (*recipes, *machine_notes(results))
    return Answer(
        said,
        _trained(results, rows),
        again,
        _size(results, rows),
        (
            *_whole(results),
            *_limits(results, rows),
            *_hardly_trained(results, hardly),
            *recipes,
            *(f"Diverged: {text}." for text in diverged_counts(results)),
            *absent,
        ),
    )


def _verdict(results: Results, rows: pd.DataFrame) -> str:
    """Return the answer in a few words, each of which the analysis decided."""
    said = rows["verdict"].value_counts()
    comparisons = _several(len(rows), "comparison")
    worse = f"; worse in {said['worse']}" if "worse" in said else ""
    if HELPS in said:
        return f"Yes, in {said[HELPS]} of {comparisons}{worse}"
    if BIGGER in said:
        return f"Better in {said[BIGGER]} of {comparisons}, but {BIGGER}{worse}"
    if "worse" in said:
        return f"No: worse in {said['worse']} of {comparisons}, better in none"
    if "equivalent" in said:
        return (
            f"No difference that matters in {said['equivalent']} of {comparisons}; better in none"
        )
    if set(said.index) == {DIVERGED}:
        return f"Cannot be told: {DIVERGED}"
    if set(said.index) <= {GROUPS_CROSS, ONE_SPLIT, TOO_FEW_TRAININGS, TOO_FEW_GROUPS}:
        if GROUPS_CROSS in said:
            return f"Cannot be told: {GROUPS_CROSS}"
        if ONE_SPLIT in said:
            return f"Cannot be told with {ONE_SPLIT}"
        unit = unit_of_evidence(results.study, rows["dataset"].unique())
        few = _trainings(rows) if TOO_FEW_TRAININGS in said else _several_of(rows["groups"], unit)
        return f"Cannot be told with {few}"
    which = "the one comparison" if len(rows) == 1 else f"any of {len(rows)} comparisons"
    return f"Not shown in {which}"


def question_of(results: Results) -> str:
    """Return the question that the study's models can answer."""
    study = results.study
    external = [model.is_external for model in study.trained_models if model.name != study.baseline]
    if not any(external):
        return "Does attention make a U\N{NON-BREAKING HYPHEN}Net segment this data better?"
    controls = [
        model.control is not None for model in study.trained_models if model.name != study.baseline
    ]
    if all(one or other for one, other in zip(external, controls, strict=True)):
        one = external.count(True) == 1
        does = "Does this network segment" if one else "Do these networks segment"
        return f"{does} this data better than {results.baseline_label}?"
    return (
        "Does attention in a U\N{NON-BREAKING HYPHEN}Net, or another network, segment this data "
        "better?"
    )


def _whole(results: Results) -> Iterator[str]:
    """Yield what is not shown of external networks."""
    for note in whole_networks(results.study.models):
        yield f"Attention: {note}."


def _claim(results: Results, rows: pd.DataFrame) -> str:
    """Return what a claim would be about: `a mechanism`, or whole networks."""
    settings = [results.study.model(name) for name in rows["model"].unique()]
    external = [model.is_external for model in settings]
    if all(external):
        return "a network"
    return "a mechanism or a network" if any(external) else "a mechanism"


def _scores(results: Results, rows: pd.DataFrame) -> str:
    """Return the means behind some rows, and after how many steps: `Dice 0.004 to 0.01`."""
    metric, class_ = results.study.primary
    means = results.frame("means")
    means = means[(means["metric"] == metric) & (means["class"] == class_)]
    models = {*rows["model"], results.baseline}
    own = means[means["dataset"].isin(rows["dataset"]) & means["model"].isin(models)]
    ends = [number(value, 3) for value in (own["mean"].min(), own["mean"].max())]
    steps = _range(
        results.study.training_of(dataset, model).steps
        for dataset in rows["dataset"]
        for model in models
    )
    return f"{METRICS[metric].label} {' to '.join(dict.fromkeys(ends))} after {steps} steps"


def _hardly_trained(results: Results, rows: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence on the rows whose networks segment next to nothing, if there are any."""
    if len(rows):
        named = ", ".join(_where(results, row) for row in records(rows))
        yield (
            f"Trained models: next to nothing is segmented by {results.baseline_label} and "
            f"{named} ({_scores(results, rows)})."
        )


def _nothing(results: Results) -> str:
    study = results.study
    trained = study.trained_models
    if all(model.control for model in trained if model.name != study.baseline):
        alone = "alone" if len(trained) == 1 else "and controls alone"
        beside = " beside predictions made elsewhere" if study.elsewhere else ""
        return f"No comparison: the study has {results.baseline_label} {alone}{beside}."
    return "No answer yet: no model and the baseline have been scored on the same cases."


def _trained(results: Results, rows: pd.DataFrame) -> str:
    counts = rows["verdict_trained"].value_counts()
    names = [*(name for name in ("better", "worse") if name not in counts), *counts.index]
    order = sorted(names, key=lambda name: ({"better": 0, "worse": 1}.get(name, 2), name))
    stated = ", ".join(f"{counts.get(name, 0)} {name}" for name in order)
    models, datasets = (_several(rows[key].nunique(), key) for key in ("model", "dataset"))
    metric, class_ = results.study.primary
    whose = rows["dataset"].unique()
    # Where groups cross, the tested ones are not new to the models.
    crossing = rows["verdict"].eq(GROUPS_CROSS).all()
    on = "on these cases" if crossing else f"on new {new_units(results.study, whose)}"
    of_class = "" if class_ == "all" else f" of class {class_}"
    return (
        f"By {METRICS[metric].label}{of_class}, {on} and with the models as trained, "
        f"{_several(len(rows), 'comparison')} with {results.baseline_label} ({models} on "
        f"{datasets}) came out {stated}; {_extremes(results, rows)}."
    )


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(values: Iterable[int]) -> str:
    distinct = sorted(set(values))
    ends = distinct if len(distinct) == 1 else (distinct[0], distinct[-1])
    return " to ".join(map(str, ends))


def _several_of(values: pd.Series, noun: str) -> str:
    numbers = values.astype(int)
    return f"{_range(numbers)} {noun}{'' if (numbers == 1).all() else 's'}"


def _trainings(rows: pd.DataFrame) -> str:
    number = _several_of(rows["folds"] * rows["seeds"], "training")
    return f"{number} in {_several_of(rows['folds'], 'fold')}"


def _extremes(results: Results, rows: pd.DataFrame) -> str:
    ordered = records(rows.dropna(subset="benefit").sort_values("benefit", kind="stable"))
    if not ordered:
        return "no difference is defined"
    text = f"the most favourable difference is {_one(results, ordered[-1], 'simultaneous_')}"
    if len(ordered) > 1:
        text += f", the least favourable {_one(results, ordered[0], 'simultaneous_')}"
    return f"{text}{_present(rows)}"


def _present(rows: pd.DataFrame) -> str:
    """Return the differences over cases that have the class, where others change them."""
    digits = decimals(rows["unit"].iloc[0])
    own, present = (
        [number(value, digits, sign=True) for value in rows[name]]
        for name in ("difference", "difference_present")
    )
    if own == present:
        return ""
    values = rows["difference_present"].dropna()
    ends = dict.fromkeys(number(value, digits, sign=True) for value in (values.min(), values.max()))
    return (
        f"; over the cases that have the class alone {' to '.join(ends)}, the rest being false "
        "alarms where it is absent"
    )


def _one(results: Results, row: dict[str, Any], ends: str) -> str:
    unit, digits = display_unit(row["unit"]), decimals(row["unit"])
    low, high = row[f"{ends}low"], row[f"{ends}high"]
    stated = interval(row["difference"], low, high, digits, sign=True)
    return f"{stated}{f' {unit}' if unit else ''} ({_where(results, row)})"


def _where(results: Results, row: dict[str, Any]) -> str:
    return f"{results.label(row['model'])}, {results.dataset_label(row['dataset'])}"


def _retrained(results: Results, rows: pd.DataFrame) -> str:
    if rows["verdict"].eq(GROUPS_CROSS).all():
        return (
            "Groups cross the split, so that models are tested on what they were trained on: "
            "nothing is claimed, of these models or of others."
        )
    if rows["verdict"].isin([ONE_SPLIT, GROUPS_CROSS]).all():
        return (
            "With one fixed split there is one training set, and nothing is claimed of models "
            "trained on others, however often these are trained; cross-validation is needed. No "
            f"claim about {_claim(results, rows)} follows."
        )
    few = rows["verdict"].isin([TOO_FEW_TRAININGS, ONE_SPLIT, GROUPS_CROSS])
    if few.all():
        return (
            f"With {_trainings(rows)} per model nothing is claimed about models trained again, "
            f"which takes {MIN_TRAININGS} folds (times repeats); {_detectable(rows)}. No claim "
            f"about {_claim(results, rows)} follows."
        )
    held = rows[rows["verdict"].isin([HELPS, BIGGER, "worse"])]
    equal = rows[rows["verdict"] == "equivalent"]
    within = (
        f" {_listed(results, equal)} came out equivalent, within {equal['margin'].iloc[0]:g}."
        if len(equal)
        else ""
    )
    if held.empty:
        none = "The one difference is not" if len(rows) == 1 else f"None of the {len(rows)} is"
        return (
            f"{none} shown to come out again when the "
            f"models are trained again, so no claim about {_claim(results, rows)} follows; "
            f"{_detectable(rows)}.{within}"
        )
    largest = records(held.loc[[held["difference"].abs().idxmax()]])[0]
    return (
        f"{len(held)} of {len(rows)} also hold for models trained again, which a claim about "
        f"{_claim(results, rows)} needs: {_listed(results, held)}; the largest, with its interval "
        f"for retrained models, is {_one(results, largest, 'retrained_')}.{within}"
    )


def _listed(results: Results, rows: pd.DataFrame) -> str:
    def direction(row: dict[str, Any]) -> str:
        return "better" if row["benefit"] > 0 else "worse"

    return ", ".join(
        f"{results.label(row['model'])} on {results.dataset_label(row['dataset'])}"
        + ("" if row["verdict"] == "equivalent" else f" ({direction(row)})")
        for row in records(rows)
    )


def _detectable(rows: pd.DataFrame) -> str:
    """Return the smallest effects that the datasets could have shown for retrained models."""
    known = rows.dropna(subset="minimum_effect_retrained")
    if known.empty:
        return "a single training says nothing of the luck of training"
    ends = [known["minimum_effect_retrained"].min(), known["minimum_effect_retrained"].max()]
    unit = known["unit"].iloc[0]
    stated = " to ".join(dict.fromkeys(number(end, decimals(unit)) for end in ends))
    printed = f" {display_unit(unit)}" if display_unit(unit) else ""
    return f"only differences above {stated}{printed} would stand out from the luck of training"


def _size(results: Results, rows: pd.DataFrame) -> str:
    """Return what the controls of equal size say of the variants that beat the baseline."""
    sentences = []
    for row in records(rows[rows["verdict"].isin([HELPS, BIGGER])]):
        who, gain = (
            _where(results, row),
            number(row["weakest_benefit"], decimals(row["unit"]), True),
        )
        if row["verdict"] == HELPS:
            sentences.append(
                f"{who}: also better than each control of equal size (weakest: {gain} against "
                f"{results.label(row['weakest'])})"
                if row["rivals"]
                else f"{who}: the baseline is of equal size itself"
            )
        elif row["lacking"]:
            lacking = row["lacking"].replace(" + ", " and ")
            sentences.append(
                f"{who}: {BIGGER}, for want of a control of equal {lacking}; a larger U-Net may "
                "gain as much"
            )
        else:
            sentences.append(
                f"{who}: {BIGGER}: the difference from {results.label(row['weakest'])} is {gain}, "
                "which is not shown to be a gain"
            )
    return f"{'. '.join(sentences)}." if sentences else ""


def _limits(results: Results, rows: pd.DataFrame) -> tuple[str, ...]:
    study = results.study
    unit = unit_of_evidence(study, rows["dataset"].unique())
    groups = _several_of(rows["groups"], unit)
    steps = _range(
        study.training_of(dataset, model).steps
        for dataset in results.datasets
        for model in (one.name for one in study.trained_models)
    )
    counts = [len(study.folds_to_run(name)) * len(study.seeds) for name in results.datasets]
    trainings = f"{_range(counts)} training{'' if set(counts) == {1} else 's'}"
    return (
        "Other data, other backbones, larger budgets: results hold for these datasets, this U-Net "
        f"and {steps} optimiser steps.",
        "Equality: a difference that is not distinguishable from zero is not shown to be zero; "
        f"only “equivalent” says so (within {study.analysis.margin:g}, for metrics without a "
        "unit).",
        f"Small effects: {groups} and {trainings} per model and dataset stand behind a difference.",
        "Anything else on this page: only the primary comparison (table below) answers; "
        "other metrics, classes, cases and conditions are exploratory, each family of tests "
        "corrected for itself alone.",
    )
