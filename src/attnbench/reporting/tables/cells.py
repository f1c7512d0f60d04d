"""Marks, headings and cells that the tables of scores share, and the notes that explain them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.resample import MIN_GROUPS
from attnbench.analysis.verdicts import (
    DIVERGED,
    FAILURES_DIFFER,
    GROUPS_CROSS,
    MADE_ELSEWHERE,
    SAME_NETWORK,
    TOO_FEW_GROUPS,
)
from attnbench.reporting.diverged import LOST
from attnbench.reporting.format import NOTHING, decimals, interval, number, p_value
from attnbench.reporting.tables.render import Cell, Column
from attnbench.reporting.units import new_units
from attnbench.reporting.words import display_unit
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Collection

    from attnbench.reporting.results import Results

DASH = Cell(NOTHING)
AS_GOOD = "†"
_MARKS = {"better": "⁺", "worse": "⁻"}
_WITHHELD = (
    GROUPS_CROSS, DIVERGED, FAILURES_DIFFER, TOO_FEW_GROUPS, SAME_NETWORK, MADE_ELSEWHERE,
)  # fmt: skip


def against_baseline(results: Results, frame: pd.DataFrame) -> pd.Series:
    """Return the frame's `verdict`; `baseline` for the baseline, empty without a comparison."""
    verdict = frame["verdict"].astype("str").where(frame["verdict"].notna(), "")
    return verdict.mask(frame["model"] == results.baseline, "baseline")


def heading(metric: str) -> str:
    """Return a metric's label with an arrow in the direction in which it is better."""
    return f"{METRICS[metric].label} {'↑' if METRICS[metric].higher_is_better else '↓'}"


def score_columns(results: Results) -> tuple[Column, ...]:
    """Return the columns of a table with every main metric and its difference from the baseline."""
    columns = [Column("Model", "l")]
    for metric in results.metrics:
        columns += [
            Column(heading(metric)),
            Column(f"Δ {METRICS[metric].label}"),
            Column("p", wide=True),
        ]
    return (*columns, Column("Cases", wide=True), Column("Groups", wide=True))


def unit_of(frame: pd.DataFrame, dataset: str, metric: str) -> str:
    """Return the unit of a metric on a dataset as it is printed, empty where there is none."""
    units = frame.loc[(frame["dataset"] == dataset) & (frame["metric"] == metric), "unit"]
    return display_unit(str(units.iloc[0])) if len(units) else ""


def block_title(results: Results, frame: pd.DataFrame, dataset: str, metric: str) -> str:
    """Return dataset, metric and its unit, as they stand above the rows of a block.

    Args:
        results: the study's results, which have the dataset's label.
        frame: rows with `dataset`, `metric` and `unit`.
        dataset: name of the dataset.
        metric: name of the metric.
    """
    unit = unit_of(frame, dataset, metric)
    return f"{results.dataset_label(dataset)}: {heading(metric)}{f' in {unit}' if unit else ''}"


def distances_in(units: Collection[str]) -> str:
    """Return the printed units of distances in brackets, empty without any."""
    stated = sorted({unit for unit in units if unit})
    return f" (distances in {', '.join(stated)})" if stated else ""


def mean_interval(row: dict[str, Any], sign: bool = False) -> str:
    """Return a row's mean with its interval."""
    return interval(row["mean"], row["low"], row["high"], decimals(row["unit"]), sign=sign)


def best_cell(text: str, row: dict[str, Any]) -> Cell:
    """Return a mean: bold for the best, a dagger where it is not distinguishable from the best.

    A mean without the runs that diverged has a mark of its own, and is never the best.
    """
    best = bool(row["best"])
    if row["diverged"] > 0:
        return Cell(text, mark=LOST)
    return Cell(text, mark=AS_GOOD if row["as_good"] and not best else "", strong=best)


def difference_cells(row: dict[str, Any]) -> tuple[Cell, Cell]:
    """Return the difference from the baseline with its interval, and the corrected p with its mark.

    Where there is no room for p, its mark stands behind the difference.
    """
    if row["against_baseline"] == "baseline":
        return Cell("baseline"), DASH
    limits = row["difference_low"], row["difference_high"]
    if row["against_baseline"] in (DIVERGED, FAILURES_DIFFER):
        return Cell(row["against_baseline"]), DASH
    # In the terminal the column of p is left out: the difference takes over its mark.
    text = interval(row["difference"], *limits, decimals(row["unit"]), sign=True)
    mark = verdict_mark(row["against_baseline"], row.get("verdict_retrained"))
    if row["against_baseline"] == GROUPS_CROSS:
        return Cell(text), Cell(GROUPS_CROSS)
    return Cell(text, narrow=Cell(text, mark)), Cell(p_value(row["p_holm"]), mark)


def p_cell(p: float, verdict: str) -> Cell:
    """Return a p value with the mark of what it says, or why there is none."""
    return Cell(withheld(verdict) or p_value(p), verdict_mark(verdict))


def verdict_mark(verdict: str, retrained: str | None = None) -> str:
    """Return ⁺ or ⁻ for the models as trained; doubled where it holds for retrained models too."""
    return _MARKS.get(verdict, "") * (2 if retrained == verdict else 1)


def best_notes(results: Results) -> tuple[str, ...]:
    """Return what bold and daggers mean; nothing for a model alone."""
    if len(results.models) == 1:
        return ()
    of = " of those trained here" if results.study.elsewhere else ""
    return (
        f"Bold: best mean{of}. {AS_GOOD}: not distinguishable from the best as trained "
        "(sign-flip test over groups, corrected for all pairs of models, since the best was chosen "
        f"by these very scores, p > {results.level:.2g}), which does not show that it is as good; "
        "none where the groups are too few to tell any. Neither where models failed on different "
        "cases: their means are of different cases then.",
    )


def legend(results: Results) -> tuple[str, ...]:
    """Return how to read arrows, intervals and marks."""
    arrows = "↑ higher is better, ↓ lower is better."
    brackets = (
        f"[ ]: {results.study.analysis.confidence:.0%} interval over groups, each of which counts "
        "alike, not adjusted for the number of comparisons; of scores near their ceiling it "
        "covers about 90 %."
    )
    if len(results.models) == 1:
        return arrows, brackets
    new = new_units(results.study, results.datasets)
    return (
        f"{arrows} Δ: paired difference from the baseline {results.baseline_label}.",
        f"{brackets} p: sign-flip permutation test of the same mean over groups, corrected by "
        "Holm.",
        f"⁺ better, ⁻ worse than the baseline on new {new} with the models as trained "
        f"(p ≤ {results.level:.2g}); without a mark not distinguishable from the baseline.",
        "⁺⁺, ⁻⁻: also when the models are trained again (corrected resampled t test). Only that is "
        "evidence about a mechanism or network; a single mark may be the luck of these trainings.",
    )


def exploratory(results: Results) -> str:
    """Return which comparison is primary, and that these are not."""
    metric, class_ = results.study.primary
    whole = "mean over classes" if class_ == "all" else f"class {class_}"
    return (
        f"Primary is {METRICS[metric].label}, {whole}, of every variant against the baseline and "
        "its controls (table answer); all else is exploratory."
    )


def withheld(verdict: str) -> str:
    """Return why a comparison has no test, empty where it has one."""
    return verdict if verdict in _WITHHELD else ""


def shares(row: dict[str, Any]) -> str:
    """Return a row's probabilities of better, equal and worse; a dash without them."""
    texts = [number(row[f"probability_{name}"], 2) for name in ("better", "equal", "worse")]
    return NOTHING if NOTHING in texts else " / ".join(texts)


def few_groups(values: pd.Series, low: pd.Series) -> list[str]:
    """Return why some of `values` have no interval, if any has none."""
    lacking = values.notna() & low.isna()
    return (
        [f"A value without interval rests on fewer than {MIN_GROUPS} groups."]
        if lacking.any()
        else []
    )
