"""Plans of a study: which designs would find a difference, and what would decide a finished one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import isnan, nan
from statistics import mean
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.answer import BIGGER, HELPS
from attnbench.analysis.blocks import DatasetScores
from attnbench.analysis.effects import Pair
from attnbench.analysis.gathered import gathered_blocks
from attnbench.analysis.power import Design, detectable_effect, groups_needed
from attnbench.analysis.runs import read_object
from attnbench.analysis.spread import ASSUMED, Spread, estimate_spread
from attnbench.analysis.tables import FRAMES, TEXTS
from attnbench.analysis.verdicts import (
    DIVERGED,
    FAILURES_DIFFER,
    GROUPS_CROSS,
    NEAR_ZERO,
    ONE_SPLIT,
)
from attnbench.catalog import load_entry
from attnbench.errors import StudyError
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study.settings import Study

DEFAULT_EFFECT = 0.02
FIELDS = ("group", "fold", "run", "rest")
MOST_MORE = 50
"""So many more seeds or repeats are tried before none is said to decide."""
_LARGEST = 100


@dataclass(frozen=True)
class Question:
    """What is asked of a plan; None is the study's own, or the default.

    Args:
        effect: wanted difference in the primary metric's unit.
        groups: groups of every dataset.
        folds: numbers of outer folds to try.
        seeds: numbers of seeds to try.
        repeats: numbers of repeats of the split to try.
        spread: standard deviations by the names of `Spread`, instead of estimates or assumptions.
        seconds: of one training.
    """

    effect: float | None = None
    groups: int | None = None
    folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    repeats: tuple[int, ...] | None = None
    spread: tuple[tuple[str, float], ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Option:
    """A design, the smallest true difference it finds, and its seconds of training (NaN: unknown).

    Seconds are those of all models of the study on the dataset, one run after another, and of the
    trials of its sweep.
    """

    design: Design
    detectable: float
    seconds: float


@dataclass(frozen=True)
class Decision:
    """What would decide a comparison, were its observed difference the true one.

    `verdict` is the answer's; `rival` the baseline, or the control that is still to be beaten.
    `seeds`, `repeats`: how many more of these; `groups`: how many in all; each alone, and None
    where no number does. `decided`: none is needed, `lacking`: but controls of these kinds are.
    Then, and where the scores do not tell, `detectable` is NaN.
    """

    model: str
    rival: str
    difference: float
    verdict: str
    decided: bool
    lacking: str = ""
    detectable: float = nan
    seeds: int | None = None
    repeats: int | None = None
    groups: int | None = None


@dataclass(frozen=True)
class Plan:
    """What designs could find on one dataset.

    `spread` is `assumed`, `estimated` from the study's scores or `given`, as `source` says.
    `seeds_told`: the effect of more seeds is known. `comparisons` share the level. `trials` of a
    sweep precede the trainings of each model and fold.
    """

    dataset: str
    metric: str
    effect: float
    spread: Spread
    source: str
    seeds_told: bool
    design: Design
    comparisons: int
    level: float
    trials: int
    options: tuple[Option, ...]
    decisions: tuple[Decision, ...]

    @property
    def cheapest(self) -> Option | None:
        """The option of the fewest trainings that finds the wanted effect."""
        found = [option for option in self.options if option.detectable <= self.effect]
        return min(found, key=lambda one: (one.design.runs, one.detectable), default=None)

    @property
    def enough_groups(self) -> tuple[Design, int] | None:
        """The study's design, else the largest option, with the groups it takes; None: neither."""
        largest = max((option.design for option in self.options), key=lambda one: one.runs)
        for design in (self.design, largest):
            groups = groups_needed(self.spread, design, self.level, self.effect)
            if groups is not None:
                return design, groups
        return None


def numbers(option: str, text: str | None, least: int = 1) -> tuple[int, ...] | None:
    """Return the whole numbers in `1-3,5`; None for None.

    Raises:
        StudyError: `text` is no such list, or a number is below `least` or above 100.
    """
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.partition("-")
        ends = [end.strip() for end in (low, high if dash else low)]
        if not all(end.isdecimal() and least <= int(end) <= _LARGEST for end in ends):
            raise StudyError(
                f"{option}: {text!r} is no list of whole numbers from {least} to {_LARGEST}; "
                "write 5, 1,2,5 or 1-3,5"
            )
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    if not found:
        raise StudyError(f"{option}: {text!r} names no number; write the smaller one first")
    return tuple(sorted(found))


def plan_study(study: Study, question: Question) -> list[Plan]:
    """Plan every dataset of a study, from its scores where there are any, else from assumptions.

    Raises:
        StudyError: the study has no variant or no dataset that can be planned, or the question
            cannot be answered as it is put.
    """
    variants = [
        model.name
        for model in study.trained_models
        if not model.control and model.name != study.baseline
    ]
    if not variants:
        raise StudyError(
            f"nothing to plan: {study.name} has no model beside its baseline {study.baseline} and "
            "controls; add a variant to `models`"
        )
    unplanned = dict(never_planned(study))
    if len(unplanned) == len(study.splits):
        said = "; ".join(f"{name}: {reason}" for name, reason in unplanned.items())
        raise StudyError(f"nothing to plan: {said}")
    blocks = {block.dataset: block for block in gathered_blocks(study, [study.primary[0]])}
    answer = _answer(study)
    return [
        _plan(
            study,
            question,
            dataset.name,
            variants,
            blocks.get(dataset.name),
            answer[answer["dataset"] == dataset.name],
        )
        for dataset in study.trained_datasets
        if dataset.name not in unplanned
    ]


def never_planned(study: Study) -> Iterator[tuple[str, str]]:
    """Yield datasets on which more folds, seeds or groups would decide nothing, with the reason."""
    for name, split in study.splits.items():
        if split.fixed or split.crossing:
            yield name, GROUPS_CROSS if split.crossing else ONE_SPLIT


def _answer(study: Study) -> pd.DataFrame:
    """The study's answer so far; empty before it was analysed."""
    path = study.layout.analysis / "answer.csv"
    if not path.exists():
        return pd.DataFrame(columns=list(FRAMES["answer"]))
    texts = dict.fromkeys(TEXTS.intersection(FRAMES["answer"]), "str")
    frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    return frame.fillna({"lacking": ""})


def _plan(
    study: Study,
    question: Question,
    dataset: str,
    variants: Sequence[str],
    block: DatasetScores | None,
    answer: pd.DataFrame,
) -> Plan:
    pairs = [(name, study.baseline) for name in variants]
    estimated = _estimates(block, study.primary, pairs)
    spread, source = _spread(dataset, study.primary[0], estimated, dict(question.spread))
    split = study.split_of(dataset)
    counted = split.groups or load_entry(dataset, study.catalog).count_groups()
    own = len(block.groups) if block else counted
    has = Design(own, split.outer, len(study.seeds), split.repeats)
    if split.kind != "cross_validation":
        # Folds that are given cannot be more or fewer.
        question = replace(question, folds=(split.outer,), repeats=(1,))
    design = replace(has, groups=question.groups or own)
    # With one seed, what a run and the rest add is hidden in the other two.
    one_seed = bool(estimated) and block is not None and len(block.seeds) == 1
    told = not one_seed or {"run", "rest"} <= dict(question.spread).keys()
    comparisons = len(variants) * len(study.trained_datasets)
    level = (1 - study.analysis.confidence) / comparisons
    seconds = _seconds(study, dataset) if question.seconds is None else question.seconds
    trials = len(study.training.trials())
    options = tuple(
        Option(
            one,
            detectable_effect(spread, one, level),
            (one.runs + one.folds * one.repeats * trials) * len(study.trained_models) * seconds,
        )
        for one in _designs(question, design, told)
    )
    if not options:
        raise StudyError(
            f"{dataset}: {design.groups} groups cannot be split into "
            f"{' or '.join(map(str, question.folds or (design.folds,)))} folds; ask for fewer "
            "--folds"
        )
    return Plan(
        dataset=dataset,
        metric=study.primary[0],
        effect=_wanted(study.primary[0]) if question.effect is None else question.effect,
        spread=spread,
        source=source,
        seeds_told=told,
        design=design,
        comparisons=comparisons,
        level=level,
        trials=trials,
        options=options,
        decisions=tuple(
            _decision(block, study.primary, row, has, told, 1 - study.analysis.confidence)
            for row in answer.to_dict("records")
            if block and row["model"] in variants
        ),
    )


def _wanted(metric: str) -> float:
    if not METRICS[metric].has_margin:
        raise StudyError(f"{metric} has no usual difference; give the wanted one with --effect")
    return DEFAULT_EFFECT


def _spread(
    dataset: str, metric: str, estimated: Sequence[Spread], given: Mapping[str, float]
) -> tuple[Spread, str]:
    """Spread to plan with, mean over the variants, and where it comes from in words."""
    spread, source = ASSUMED, "assumed"
    if estimated:
        spread, source = estimated[0].pooled(estimated[1:]), "estimated"
    elif not METRICS[metric].has_margin and len(given) < len(FIELDS):
        raise StudyError(
            f"{dataset}: the study has no scores yet, and standard deviations are assumed for "
            f"metrics from 0 to 1 alone, not for {metric}; give --sd-group, --sd-fold, --sd-run "
            "and --sd-rest"
        )
    if not given:
        return spread, source
    said = "given" if len(given) == len(FIELDS) else f"{source}, {' and '.join(given)} given"
    return replace(spread, **given), said


def _estimates(
    block: DatasetScores | None, primary: tuple[str, str], pairs: Sequence[Pair]
) -> list[Spread]:
    """Spreads of the pairs that have scores enough for an estimate."""
    metric, class_ = primary
    if block is None or metric not in block.metrics or class_ not in block.class_words:
        return []
    scored = [pair for pair in pairs if set(pair) <= set(block.models)]
    found = (estimate_spread(block, metric, class_, pair) for pair in scored)
    return [spread for spread in found if spread]


def _designs(question: Question, design: Design, told: bool) -> Iterator[Design]:
    """Combinations asked for, by default some around the study's own."""
    folds = question.folds or tuple(sorted({design.folds, 5, 10}))
    repeats = question.repeats or tuple(sorted({design.repeats, 1, 2, 3}))
    seeds = question.seeds or tuple(sorted({design.seeds, 1, 2, 3, 5}))
    if not told:
        seeds = (design.seeds,)
    for fold, repeat, seed in product(folds, repeats, seeds):
        if fold <= design.groups:
            yield Design(design.groups, fold, seed, repeat)


def _seconds(study: Study, dataset: str) -> float:
    """Mean seconds of the trainings of a dataset that are done; NaN without any."""
    runs = (run for run in study.trainings() if run.dataset == dataset)
    facts = (read_object(study.layout.run(run) / "run.json") for run in runs)
    whole = (one for one in facts if "train_seconds" in one and "diverged" not in one)
    return mean([float(one["train_seconds"]) for one in whole] or [nan])


def _decision(
    block: DatasetScores,
    primary: tuple[str, str],
    row: Mapping[Hashable, Any],
    design: Design,
    told: bool,
    level: float,
) -> Decision:
    verdict, rival, benefit = str(row["verdict"]), str(row["baseline"]), float(row["benefit"])
    lacking = str(row["lacking"]) if verdict == BIGGER else ""
    if verdict == BIGGER and not lacking:
        rival, benefit = str(row["weakest"]), float(row["weakest_benefit"])
    decided = verdict in (HELPS, "worse", "equivalent") or (
        verdict == BIGGER and (benefit <= 0 or bool(lacking))
    )
    sign = 1 if METRICS[primary[0]].higher_is_better else -1
    decision = Decision(str(row["model"]), rival, sign * benefit, verdict, decided, lacking)
    spreads = _estimates(block, primary, [(decision.model, rival)])
    # Models that diverged, failed on different cases, or hardly learned, are not told apart by more
    # of the same.
    hopeless = verdict in (DIVERGED, FAILURES_DIFFER, NEAR_ZERO)
    if decided or not spreads or isnan(benefit) or hopeless:
        return decision
    return decide(decision, spreads[0], design, level / int(row["family_size"]), told)


def decide(
    decision: Decision, spread: Spread, design: Design, level: float, told: bool = True
) -> Decision:
    """`decision` with the fewest more seeds or repeats, or the groups, that find its difference.

    Args:
        decision: the comparison.
        spread: of its differences.
        design: the study's.
        level: of its test, corrected for the family.
        told: the effect of more seeds is known.
    """
    wanted = abs(decision.difference)

    def finds(**more: int) -> bool:
        return detectable_effect(spread, replace(design, **more), level) <= wanted

    more = range(1, MOST_MORE + 1)
    return replace(
        decision,
        detectable=detectable_effect(spread, design, level),
        seeds=next((n for n in more if told and finds(seeds=design.seeds + n)), None),
        repeats=next((n for n in more if finds(repeats=design.repeats + n)), None),
        groups=groups_needed(spread, design, level, wanted) if wanted else None,
    )
