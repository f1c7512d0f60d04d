"""The plan of a study in the terminal: what its designs could find, and what would decide it."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isnan
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from attnbench.analysis.planning import MOST_MORE, never_planned, plan_study
from attnbench.analysis.retraining import MIN_TRAININGS
from attnbench.reporting.format import decimals, duration, number
from attnbench.reporting.terminal import WIDTH
from attnbench.reporting.units import unit_of_evidence
from attnbench.reporting.words import dataset_label
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.analysis.planning import Decision, Option, Plan, Question
    from attnbench.analysis.power import Design
    from attnbench.study.settings import Study

FOUND = "*"
"""Marks what finds the wanted difference."""


def show_plan(study: Study, question: Question) -> None:
    """Print the plan of every dataset, at most 100 columns wide; plain text in a file or pipe."""
    console = Console(highlight=False)
    console = Console(
        highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH
    )
    for plan in plan_study(study, question):
        label = dataset_label(plan.dataset, study.catalog)
        unit = unit_of_evidence(study, [plan.dataset])
        for line in heading(plan, label, len(study.trained_models), unit):
            console.print(line, markup=False)
        console.print(caption(plan), markup=False)
        console.print(_grid(plan))
        console.print(conclusion(plan), markup=False)
        for decision in plan.decisions:
            console.print(f"{decision.model}: {sentence(decision, plan)}", markup=False)
        console.print()
    for name, reason in never_planned(study):
        label = dataset_label(name, study.catalog)
        console.print(f"{label}: {reason}; no more folds, seeds or groups would decide anything")
    console.print(Text(_NOTE, style="dim"))


_NOTE = (
    "Each comparison alone, at Bonferroni's level; that a variant helps also takes its controls."
)


def heading(plan: Plan, dataset: str, models: int, unit: str) -> Iterator[str]:
    """Yield what the plan rests on, line by line; `unit`: group, or case where none is known."""
    digits, design = decimals(METRICS[plan.metric].unit), plan.design
    yield (
        f"{dataset}: {_count(design.groups, unit)}, "
        f"{_count(models, 'model')}; the study has {_design(design)}"
    )
    parts = {
        "groups": plan.spread.group,
        "folds": plan.spread.fold,
        "runs": plan.spread.run,
        "rest": plan.spread.rest,
    }
    shown = ", ".join(f"{name} {number(value, digits)}" for name, value in parts.items())
    yield f"sd of a difference in {METRICS[plan.metric].label} ({plan.source}): {shown}"
    if plan.trials:
        yield f"The sweep adds {plan.trials} trainings per model and fold, counted in the times"
    if not plan.seeds_told:
        yield "One seed: runs and rest are part of folds and groups, and what seeds gain is unknown"


def caption(plan: Plan) -> str:
    """Say what the table shows."""
    timed = "" if isnan(plan.options[0].seconds) else ", and training time"
    none = any(option.detectable == inf for option in plan.options)
    few = f"; none: below {MIN_TRAININGS} folds x repeats, or too few groups" if none else ""
    return (
        f"Smallest difference found with 80 % power at level {plan.level:.3g} "
        f"({_count(plan.comparisons, 'comparison')}){timed}\n"
        f"{FOUND} finds {_value(plan.effect, plan)}{few}"
    )


def _grid(plan: Plan) -> Grid:
    """Smallest difference and training time by folds and repeats (rows) and seeds (columns)."""
    grid = Grid(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    seeds = sorted({option.design.seeds for option in plan.options})
    for name in ("folds", "repeats", *(_count(number_of, "seed") for number_of in seeds)):
        grid.add_column(name, justify="right", no_wrap=True)
    by_row: dict[tuple[int, int], list[Option]] = {}
    for option in plan.options:
        by_row.setdefault((option.design.folds, option.design.repeats), []).append(option)
    for (folds, repeats), options in by_row.items():
        ordered = sorted(options, key=lambda option: option.design.seeds)
        grid.add_row(str(folds), str(repeats), *(_cell(option, plan) for option in ordered))
    return grid


def _cell(option: Option, plan: Plan) -> Text:
    found = option.detectable <= plan.effect
    time = "" if isnan(option.seconds) else f" {duration(option.seconds):>8}"
    value = f"{_value(option.detectable, plan)}{FOUND if found else ' '}{time}"
    return Text(value, style="green" if found else "")


def conclusion(plan: Plan) -> str:
    """Say which option is the cheapest that finds the wanted difference, or what it takes."""
    wanted, best, enough = _value(plan.effect, plan), plan.cheapest, plan.enough_groups
    if best:
        time = "" if isnan(best.seconds) else f", {duration(best.seconds)} of training"
        return (
            f"Cheapest that finds {wanted}: {_design(best.design)}; "
            f"{_count(best.design.runs, 'run')} per model{time}"
        )
    if enough is None:
        return f"Nothing here finds {wanted}, with any number of groups; more folds may"
    design, groups = enough
    return (
        f"Nothing here finds {wanted}; {_design(design)} would with about {_count(groups, 'group')}"
    )


def _design(design: Design) -> str:
    return (
        f"{_count(design.folds, 'fold')}, {_count(design.repeats, 'repeat')}, "
        f"{_count(design.seeds, 'seed')}"
    )


def sentence(decision: Decision, plan: Plan) -> str:
    """Say what would decide a comparison if its observed difference is the true one."""
    digits = decimals(METRICS[plan.metric].unit)
    said = f"{number(decision.difference, digits, sign=True)} from {decision.rival}, "
    said += decision.verdict
    if decision.lacking:
        return f"{said}: add a control of equal {decision.lacking}"
    if decision.decided:
        return f"{said}: decided"
    if isnan(decision.detectable):
        return f"{said}: the scores do not tell what would decide it"
    ways = [
        f"{more} more {word if more == 1 else f'{word}s'}"
        for more, word in ((decision.seeds, "seed"), (decision.repeats, "repeat"))
        if more
    ]
    if ways:
        return f"{said}: {' or '.join(ways)} would decide it"
    none = "no number of seeds or repeats" if plan.seeds_told else "no number of repeats"
    if decision.groups:
        return f"{said}: {none}; about {decision.groups} groups would decide it"
    return f"{said}: {none} up to {MOST_MORE} more, nor of groups would decide it; more folds may"


def _value(value: float, plan: Plan) -> str:
    return "none" if value == inf else number(value, decimals(METRICS[plan.metric].unit))


def _count(count: int, word: str) -> str:
    return f"{count} {word if count == 1 else f'{word}s'}"
