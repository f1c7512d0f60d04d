"""Cases that figures show: chosen by a rule, never by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from attnbench.analysis.blocks import DatasetScores
from attnbench.analysis.case_values import values_of
from attnbench.analysis.frames import of_rows
from attnbench.scoring.definitions import METRICS
from attnbench.study.settings import Study


@dataclass(frozen=True)
class Choice:
    """One chosen case, the rule that chose it and, for a gain or loss, the model it is about."""

    rule: str
    case: str
    model: str | None = None


def compute_cases(blocks: Sequence[DatasetScores], study: Study) -> pd.DataFrame:
    """One row per dataset and case that figures show, chosen by the runs of the first seed.

    The metric of the primary comparison decides. Columns `dataset, rule, case, group, fold, seed,
    of_model, metric`; `of_model` is the model that gains or loses.
    """
    metric, seed = study.primary[0], study.seeds[0]
    rows = []
    for block in blocks:
        values = values_of(block, metric, seed)
        about = values.drop_duplicates("case").set_index("case")
        for choice in choose_cases(values, study.baseline, METRICS[metric].higher_is_better):
            group, fold = about.loc[choice.case, ["group", "fold"]]
            rows.append(
                (block.dataset, choice.rule, choice.case, group, fold, seed, choice.model, metric)
            )
    return of_rows("cases", rows)


def choose_cases(values: pd.DataFrame, baseline: str, higher_is_better: bool) -> list[Choice]:
    """Choose up to four cases: the baseline's median and worst, any model's largest gain and loss.

    `values` has columns `model, case, value`. Without the baseline, the first model takes its
    place; with one model alone, the best case replaces gain and loss. A case that an earlier
    rule took goes to no later one: the next in that rule's order does.
    """
    table = values.pivot_table(index="case", columns="model", values="value", aggfunc="first")
    if table.empty:
        return []
    anchor = baseline if baseline in table else str(values["model"].iloc[0])
    goodness = table if higher_is_better else -table
    ranked = goodness[anchor].dropna().sort_values(kind="stable")
    middle = (len(ranked) - 1) // 2
    by_distance = sorted(range(len(ranked)), key=lambda rank: (abs(rank - middle), rank))
    orders = {"Median": [Choice("Median", str(ranked.index[rank])) for rank in by_distance]}
    gains = _gains(goodness, anchor)
    if gains:
        orders["Largest gain"] = [
            Choice("Largest gain", case, model) for gain, case, model in gains[::-1] if gain > 0
        ]
        orders["Largest loss"] = [
            Choice("Largest loss", case, model) for gain, case, model in gains if gain < 0
        ]
    else:
        orders["Best"] = [Choice("Best", str(case)) for case in ranked.index[::-1]]
    # Last, so that it yields: the worst case often is the largest loss or gain as well.
    orders["Worst"] = [Choice("Worst", str(case)) for case in ranked.index]
    return _all_different(list(orders.values()))


def _gains(goodness: pd.DataFrame, anchor: str) -> list[tuple[float, str, str]]:
    """Every defined difference from the anchor with its case and model, the largest loss first."""
    gains = goodness.drop(columns=anchor).sub(goodness[anchor], axis=0)
    differences = [
        (float(gain), str(case), str(model))
        for model in gains.columns
        for case, gain in gains[model].dropna().items()
    ]
    return sorted(differences)


def _all_different(orders: list[list[Choice]]) -> list[Choice]:
    chosen: list[Choice] = []
    for order in orders:
        free = (choice for choice in order if choice.case not in {taken.case for taken in chosen})
        chosen += [choice for choice in (next(free, None),) if choice]
    return chosen
