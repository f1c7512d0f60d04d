"""Which cases a figure shows: a rule, never a hand."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Choice:
    """One chosen case, the rule that chose it and, for a gain or loss, the model it is about."""

    rule: str
    case: str
    model: str | None = None


def choose_cases(values: pd.DataFrame, baseline: str, higher_is_better: bool) -> list[Choice]:
    """Up to four different cases: the baseline's median and worst, and the largest gain and loss of any model.

    `values` has columns `model, case, value`. Without the baseline, the first model takes its place; with one model
    alone, the best case replaces gain and loss. A case that an earlier rule took goes to no later one: the next in
    that rule's order does.
    """
    table = values.pivot(index="case", columns="model", values="value").sort_index()
    if table.empty:
        return []
    anchor = baseline if baseline in table else str(values["model"].iloc[0])
    goodness = table if higher_is_better else -table
    ranked = goodness[anchor].dropna().sort_values(kind="stable")
    middle = (len(ranked) - 1) // 2
    by_distance = sorted(range(len(ranked)), key=lambda place: (abs(place - middle), place))
    orders = {"Median": [Choice("Median", str(ranked.index[place])) for place in by_distance]}
    gains = goodness.drop(columns=anchor).sub(goodness[anchor], axis=0).stack().dropna().sort_values(kind="stable")
    if len(gains):
        orders["Largest gain"] = _with_models("Largest gain", gains[gains > 0].iloc[::-1])
        orders["Largest loss"] = _with_models("Largest loss", gains[gains < 0])
    else:
        orders["Best"] = [Choice("Best", str(case)) for case in ranked.index[::-1]]
    orders["Worst"] = [Choice("Worst", str(case)) for case in ranked.index]
    return _all_different(list(orders.values()))


def _with_models(rule: str, gains: pd.Series) -> list[Choice]:
    return [Choice(rule, str(case), str(model)) for case, model in gains.index]


def _all_different(orders: list[list[Choice]]) -> list[Choice]:
    chosen: list[Choice] = []
    for order in orders:
        free = (choice for choice in order if choice.case not in {taken.case for taken in chosen})
        chosen += [choice for choice in (next(free, None),) if choice]
    return chosen
