"""How `trust.py` reads from the analysis whether a claim of the page was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attnbench.analysis.answer import BIGGER, HELPS
from attnbench.analysis.verdicts import TOO_FEW_TRAININGS
from benchmarks.trust_study import BASELINE, LEVEL, VARIANT, Analysis, Design, true_mean
from benchmarks.unkind import (
    World,
)

Outcome = bool | float | str | None
"""A claim was made or not; a word that the tool says instead; None where there is no such case."""
Read = Callable[[Analysis], list[Outcome]]

PAIR = (BASELINE, VARIANT)
CLAIMS = ("better", "worse", "equivalent", "undecided")


@dataclass(frozen=True)
class Claim:
    """What is counted, and how often at most (None: shown); `note` is an excuse or a reason."""

    name: str
    read: Read
    promise: float | None = LEVEL
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A world and a design, with the claims that are counted in the same studies.

    `together` datasets go through one call: verdicts are corrected for all of them, single p and
    intervals are not, and those are then had at a tenth of the time. `share` of the studies are
    simulated, of `datasets` each; `draw` gives the world of one study. `extra`: only in full runs.
    """

    world_name: str
    draw: Callable[[np.random.Generator], World]
    design: Design
    claims: tuple[Claim, ...]
    together: int = 1
    share: float = 1.0
    datasets: int = 1
    metrics: tuple[str, ...] = ("dice",)
    external: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the table, as text, and how many of how many studies it counts."""

    claim: str
    world: str
    groups: str
    trainings: str
    promise: str
    found: str
    verdict: str
    limit: float | None = None
    counted: float = 0.0
    studies: int = 0


def below(values: pd.Series, instead: str = TOO_FEW_TRAININGS) -> list[Outcome]:
    """Whether each p is significant; without one the tool says something instead."""
    return [instead if np.isnan(p) else bool(p <= LEVEL) for p in values]


def small(column: str, frame: str = "effects", metric: str = "dice") -> Read:
    """A single p of the variant against the baseline."""
    return lambda analysis: below(analysis.first(getattr(analysis, frame), metric)[column])


def misses(low: str, high: str, truth: float, frame: str = "effects") -> Read:
    """The interval of the variant against the baseline leaves out the truth."""

    def read(analysis: Analysis) -> list[Outcome]:
        rows = analysis.first(getattr(analysis, frame))
        return [outside(*ends, truth) for ends in zip(rows[low], rows[high], strict=True)]

    return read


def outside(low: float, high: float, truth: float) -> Outcome:
    return "no interval" if np.isnan(low) else bool(not low <= truth <= high)


def verdict(
    column: str = "verdict", frame: str = "effects", words: Sequence[str] = ("better", "worse")
) -> Read:
    """Any row in Dice has one of the words, after the correction for all of them."""

    def read(analysis: Analysis) -> list[Outcome]:
        rows = getattr(analysis, frame)
        said = rows.loc[rows["metric"] == "dice", column]
        if not said.isin(CLAIMS).any():
            return [str(said.iloc[0])]
        return [bool(said.isin(words).any())]

    return read


def answer(*words: str) -> Read:
    """Any variant's answer is one of the words."""

    def read(analysis: Analysis) -> list[Outcome]:
        said = analysis.answer["verdict"]
        if not said.isin([HELPS, BIGGER, *CLAIMS]).any():
            return [str(said.iloc[0])]
        return [bool(said.isin(words).any())]

    return read


def family_misses(low: str, high: str) -> Read:
    """Any of the simultaneous intervals leaves out the true difference, which is 0."""

    def read(analysis: Analysis) -> list[Outcome]:
        ends = analysis.answer[[low, high]].to_numpy(np.float64)
        return [
            "no interval" if np.isnan(ends).any() else bool((ends[:, 0] * ends[:, 1] > 0).any())
        ]

    return read


def mean_misses(world: World) -> Read:
    """The interval of the baseline's mean leaves out the mean over very many new groups."""

    def read(analysis: Analysis) -> list[Outcome]:
        rows = analysis.means[analysis.means["model"] == BASELINE]
        truth = true_mean(world)
        return [outside(*ends, truth) for ends in zip(rows["low"], rows["high"], strict=True)]

    return read


def contradicted(analysis: Analysis) -> list[Outcome]:
    """A significant verdict or answer has another sign than the difference of the means."""
    means = analysis.means.set_index("model")["mean"]
    rows = analysis.effects
    shown = rows["model"].map(means) - rows["baseline"].map(means)
    said = rows[["verdict", "verdict_retrained"]].apply(
        lambda words: words.map({"better": 1, "worse": -1}).fillna(0)
    )
    answered = analysis.answer.set_index("model")["verdict"]
    wrong = said.mul(np.sign(shown), axis=0).lt(0).any(axis=None)
    positive = answered.isin([HELPS, BIGGER])
    return [bool(wrong or (means[answered.index[positive]] <= means[BASELINE]).any())]


def bold(analysis: Analysis) -> list[Outcome]:
    """The model that loses more cases is the best in HD95."""
    rows = analysis.best[analysis.best["metric"] == "hd95"]
    return [bool((rows["best"] == VARIANT).any())]


def verdict_in(metric: str, *words: str) -> Read:
    """The variant has one of the words against the baseline in a metric."""
    return lambda analysis: [
        bool(word in words) for word in analysis.first(analysis.effects, metric)["verdict"]
    ]


def dagger(metric: str) -> Read:
    """Any of the equal models is told from the best."""

    def read(analysis: Analysis) -> list[Outcome]:
        told = analysis.best.loc[analysis.best["metric"] == metric, "as_good"]
        return [bool((~told.dropna().astype(bool)).any())]

    return read


def false_claim(column: str, value: Callable[[bool, float], Outcome]) -> Read:
    """`value` of whether "the better one is better" is false, and of the probability shown."""

    def read(analysis: Analysis) -> list[Outcome]:
        rows = analysis.pairs
        rows = rows[rows["model_a"].isin(PAIR) & rows["model_b"].isin(PAIR)]
        found: list[Outcome] = []
        for gains, winner, p in zip(
            (world.gains for world in analysis.worlds), rows["model_a"], rows[column], strict=True
        ):
            false = (gains.get(VARIANT, 0.0) > 0) is not (winner == VARIANT)
            found.append(TOO_FEW_TRAININGS if np.isnan(p) else value(false, float(p)))
        return found

    return read


def slope_misses(interaction: float, scale: str = "_logit", again: str = "") -> Read:
    """The interval of a slope leaves out the planted one, per sd of the study's own cases."""

    def read(analysis: Analysis) -> list[Outcome]:
        rows = analysis.first(analysis.difficulty)
        low, high = f"{again}low{scale}", f"{again}high{scale}"
        return [
            outside(ends[0], ends[1], interaction * ends[2])
            for ends in zip(rows[low], rows[high], rows["measure_sd"], strict=True)
        ]

    return read


def over_datasets(method: str, column: str = "p") -> Read:
    """A claim of the rows `all` of across.csv, or of single datasets."""

    def read(analysis: Analysis) -> list[Outcome]:
        several = len(analysis.blocks) > 1
        rows = analysis.first(analysis.across.assign(metric="dice"))
        rows = rows[(rows["method"] == method) & ((rows["dataset"] == "all") == several)]
        if column == "p":
            return below(rows["p"], "not fitted")
        most = rows[["probability_better", "probability_worse"]].max(axis=1)
        return [bool(p > 0.95) for p in most]

    return read


def friedman(analysis: Analysis) -> list[Outcome]:
    rows = analysis.friedman
    return below(rows.loc[rows["metric"] == "dice", "p_f"], "no test")
