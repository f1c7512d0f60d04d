"""What the tables of scores share: marks, headings, cells, and the notes that explain them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.resample import MIN_GROUPS
from attnbench.reporting.format import NOTHING, decimals, interval, p_value
from attnbench.reporting.tables.render import Bold
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study.settings import Study

ALL = "all"
VERDICTS = {"better": "⁺", "worse": "⁻"}
AS_GOOD = "†"


def verdicts(study: Study, frame: pd.DataFrame) -> pd.Series:
    """What each row's `difference` and `p_holm` say against the baseline.

    `better` or `worse` where the Holm-corrected p is below 1 - confidence, `undecided` where it
    is not, `baseline`, or empty without a test.
    """
    sign = (
        frame["metric"]
        .map(lambda name: 1.0 if METRICS[name].higher_is_better else -1.0)
        .astype(float)
    )
    gain = frame["difference"].astype(float) * sign
    p = frame["p_holm"].astype(float)
    words = pd.Series("", index=frame.index, dtype="str")
    words[p.notna()] = "undecided"
    significant = p < 1 - study.analysis.confidence
    words[significant & (gain > 0)] = "better"
    words[significant & (gain < 0)] = "worse"
    words[frame["model"] == study.baseline] = "baseline"
    return words


def heading(metric: str) -> str:
    """A metric's label with an arrow in the direction in which it is better."""
    return f"{METRICS[metric].label} {'↑' if METRICS[metric].higher_is_better else '↓'}"


def unit_of(frame: pd.DataFrame, dataset: str, metric: str) -> str:
    """The unit of a metric on a dataset as it stands in `frame`; `1` where there is none."""
    units = frame.loc[(frame["dataset"] == dataset) & (frame["metric"] == metric), "unit"]
    return str(units.iloc[0]) if len(units) else "1"


def block_title(frame: pd.DataFrame, dataset: str, metric: str) -> str:
    """Dataset, metric and its unit, above the rows of a block."""
    unit = display_unit(unit_of(frame, dataset, metric))
    return f"{display_name(dataset)}: {heading(metric)}{f' in {unit}' if unit else ''}"


def marked_best(text: str, row: dict[str, Any]) -> str:
    """A mean in bold where it is the best, with a dagger where it is not told from the best."""
    if row["best"]:
        return Bold(text)
    return text + AS_GOOD if row["as_good"] else text


def compared(row: dict[str, Any]) -> tuple[str, str]:
    """Difference from the baseline with its interval, and the corrected p with its mark."""
    if row["against_baseline"] == "baseline":
        return "baseline", NOTHING
    difference = interval(
        row["difference"],
        row["difference_low"],
        row["difference_high"],
        decimals(row["unit"]),
        sign=True,
    )
    return difference, p_value(row["p_holm"]) + mark(row)


def mark(row: dict[str, Any]) -> str:
    """⁺ or ⁻ for a difference of the models as trained; doubled where it holds for retrained
    models too.
    """
    verdict = row["against_baseline"]
    return VERDICTS.get(verdict, "") * (2 if row.get("verdict_retrained") == verdict else 1)


def best_notes(study: Study) -> tuple[str, ...]:
    """What bold and daggers mean; nothing for a model alone."""
    if len(study.models) == 1:
        return ()
    return (
        f"Bold: best mean. {AS_GOOD}: not told from the best (signed-rank test over groups, "
        "corrected by Holm over the "
        f"models, p > {_level(study)}), which does not show that it is as good; none where the "
        "groups are too few to "
        "tell any.",
    )


def legend(study: Study) -> tuple[str, ...]:
    """How to read arrows, intervals and marks."""
    arrows = "↑ higher is better, ↓ lower is better."
    brackets = f"[ ]: {study.analysis.confidence:.0%} bootstrap interval over groups."
    if len(study.models) == 1:
        return arrows, brackets
    return (
        f"{arrows} Δ: paired difference from the baseline {display_name(study.baseline)}.",
        f"{brackets} p: Wilcoxon signed-rank test over groups, corrected by Holm; it asks how "
        "regularly groups differ, "
        "the interval how much on average: they can disagree where a few groups differ much.",
        "⁺ better, ⁻ worse than the baseline on new patients with the models as trained (p < "
        f"{_level(study)}); "
        "without a mark not distinguishable from the baseline.",
        "⁺⁺, ⁻⁻: also when the models are trained again. Only that is evidence about a mechanism; "
        "a single mark may be "
        "the luck of these trainings.",
    )


def _level(study: Study) -> str:
    return f"{1 - study.analysis.confidence:.2g}"


def few_groups(values: pd.Series, low: pd.Series) -> list[str]:
    """Why some of `values` have no interval, if any has none."""
    lacking = values.notna() & low.isna()
    return (
        [f"A value without interval rests on fewer than {MIN_GROUPS} groups."]
        if lacking.any()
        else []
    )
