"""The main result: every model's score on every dataset, and its difference from the baseline."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.human import HUMAN
from attnbench.analysis.resample import MIN_GROUPS
from attnbench.reporting.format import NOTHING, count, decimals, interval, p_value
from attnbench.reporting.frames import absent_runs, keyed, read_frame, records
from attnbench.reporting.names import display_name, display_unit, main_metrics
from attnbench.reporting.tables.render import Block, Bold, Table
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study import Study

ALL = "all"
_KEYS = ["dataset", "class", "class_name", "metric", "model"]
_EFFECT = [
    "difference", "difference_low", "difference_high", "p_holm", "retrained_low", "retrained_high", "p_retrained_holm",
    "verdict_retrained",
]  # fmt: skip
BOLD = "Bold: best mean."
HUMAN_NOTE = (
    "Second observer: another person's annotation scored as a model, on the cases that have one; "
    "`analysis/human.csv` has the models on the same cases."
)
VERDICTS = {"better": "⁺", "worse": "⁻"}


def comparison_frame(study: Study) -> pd.DataFrame:
    """Means of every dataset, class, metric and model beside the difference from the baseline.

    Columns: those of `means.csv`, then `difference, difference_low, difference_high, p_holm` and the columns of
    `effects.csv` about retrained models, `best` (the best mean of its dataset, class and metric) and
    `against_baseline`, for the models as trained: `better` or `worse` where the Holm-corrected p is below
    1 - confidence, `undecided` where it is not, `baseline`, or empty without an effect.
    """
    means = read_frame(study, "means")
    effects = read_frame(study, "effects").rename(columns={"low": "difference_low", "high": "difference_high"})
    frame = means.merge(effects[[*_KEYS, *_EFFECT]], on=_KEYS, how="left")
    frame["best"] = _is_best(frame)
    frame["against_baseline"] = verdicts(study, frame)
    return frame


def _is_best(frame: pd.DataFrame) -> pd.Series:
    """Whether a row has the best mean of its dataset, class and metric; with ties all, with one model none."""
    sign = frame["metric"].map(lambda name: 1.0 if METRICS[name].higher_is_better else -1.0).astype(float)
    signed = frame["mean"].astype(float) * sign
    keys = [frame[key] for key in ("dataset", "class", "metric")]
    several = frame["mean"].notna().groupby(keys).transform("sum") > 1
    return (signed == signed.groupby(keys).transform("max")) & several


def human_line(study: Study) -> pd.DataFrame:
    """Means of the second observer, as rows of `comparison_frame` that are never best; empty without one."""
    human = read_frame(study, "human")
    return human[human["model"] == HUMAN].assign(best=False, against_baseline="")


def verdicts(study: Study, frame: pd.DataFrame) -> pd.Series:
    """What each row's `difference` and `p_holm` say against the baseline, as in `comparison_frame`."""
    sign = frame["metric"].map(lambda name: 1.0 if METRICS[name].higher_is_better else -1.0).astype(float)
    gain = frame["difference"].astype(float) * sign
    p = frame["p_holm"].astype(float)
    words = pd.Series("", index=frame.index, dtype="str")
    words[p.notna()] = "undecided"
    significant = p < 1 - study.analysis.confidence
    words[significant & (gain > 0)] = "better"
    words[significant & (gain < 0)] = "worse"
    words[frame["model"] == study.baseline] = "baseline"
    return words


def comparison(study: Study) -> Table:
    """Mean and interval of the main metrics over all classes, with the difference from the baseline."""
    frame = comparison_frame(study)
    human = human_line(study)
    frame = pd.concat([frame, human]) if len(human) else frame
    frame = frame[frame["class"] == ALL].reset_index(drop=True)
    metrics = main_metrics(study.metrics)
    head = ["Model"]
    for metric in metrics:
        head += [heading(metric), f"Δ {METRICS[metric].label}", "p"]
    return Table(
        name="comparison",
        caption=(
            f"Comparison with {display_name(study.baseline)} by {_joined(metrics)}, mean over classes, with "
            f"{study.analysis.confidence:.0%} intervals"
        ),
        head=(*head, "Cases", "Groups"),
        align=("l", *("r",) * (3 * len(metrics) + 2)),
        blocks=tuple(
            Block(_title(frame, part.name, metrics), tuple(_rows(study, frame, part.name, metrics)))
            for part in study.datasets
        ),
        notes=(
            BOLD,
            *legend(study),
            *few_groups(frame["mean"], frame["low"]),
            *([HUMAN_NOTE] if len(human) else []),
            *_undefined(frame, metrics),
            *absent_runs(study),
        ),
        frame=frame,
    )


def heading(metric: str) -> str:
    """A metric's label with an arrow in the direction in which it is better."""
    return f"{METRICS[metric].label} {'↑' if METRICS[metric].higher_is_better else '↓'}"


def _joined(metrics: tuple[str, ...]) -> str:
    return " and ".join(METRICS[metric].label for metric in metrics)


def unit_of(frame: pd.DataFrame, dataset: str, metric: str) -> str:
    """The unit of a metric on a dataset as it stands in `frame`; `1` where there is none."""
    units = frame.loc[(frame["dataset"] == dataset) & (frame["metric"] == metric), "unit"]
    return str(units.iloc[0]) if len(units) else "1"


def _title(frame: pd.DataFrame, dataset: str, metrics: tuple[str, ...]) -> str:
    units = {metric: display_unit(unit_of(frame, dataset, metric)) for metric in metrics}
    stated = ", ".join(f"{METRICS[metric].label} in {unit}" for metric, unit in units.items() if unit)
    return f"{display_name(dataset)} ({stated})" if stated else display_name(dataset)


def _rows(study: Study, frame: pd.DataFrame, dataset: str, metrics: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows = []
    human = [HUMAN] if ((frame["dataset"] == dataset) & (frame["model"] == HUMAN)).any() else []
    for model in (*(part.name for part in study.models), *human):
        cells: list[str] = [display_name(model)]
        found = keyed(frame[(frame["dataset"] == dataset) & (frame["model"] == model)], "metric")
        for metric in metrics:
            cells += _cells(study, found, metric)
        behind = max(found.values(), key=lambda row: row["cases"], default={"cases": nan, "groups": nan})
        rows.append((*cells, count(behind["cases"]), count(behind["groups"])))
    return rows


def _cells(study: Study, found: dict[str, dict[str, Any]], metric: str) -> tuple[str, str, str]:
    """Mean, difference and p of one model and metric; dashes where there is none."""
    if metric not in found:
        return NOTHING, NOTHING, NOTHING
    row = found[metric]
    digits = decimals(row["unit"])
    mean = interval(row["mean"], row["low"], row["high"], digits)
    value = Bold(mean) if row["best"] else mean
    if row["model"] == HUMAN:
        return mean, NOTHING, NOTHING
    if row["against_baseline"] == "baseline":
        return value, "baseline", NOTHING
    difference = interval(row["difference"], row["difference_low"], row["difference_high"], digits, sign=True)
    return value, difference, p_value(row["p_holm"]) + mark(row)


def mark(row: dict[str, Any]) -> str:
    """⁺ or ⁻ for a difference of the models as trained; doubled where it holds for retrained models too."""
    verdict = row["against_baseline"]
    return VERDICTS.get(verdict, "") * (2 if row["verdict_retrained"] == verdict else 1)


def legend(study: Study) -> tuple[str, ...]:
    """How to read arrows, intervals and marks."""
    arrows = "↑ higher is better, ↓ lower is better."
    brackets = f"[ ]: {study.analysis.confidence:.0%} bootstrap interval over groups."
    if len(study.models) == 1:
        return arrows, brackets
    return (
        f"{arrows} Δ: paired difference from the baseline {display_name(study.baseline)}.",
        f"{brackets} p: Wilcoxon signed-rank test over groups, corrected by Holm.",
        f"⁺ better, ⁻ worse than the baseline on new patients with the models as trained (p < "
        f"{1 - study.analysis.confidence:.2g}); without a mark not distinguishable from the baseline.",
        "⁺⁺, ⁻⁻: also when the models are trained again. Only that is evidence about a mechanism; a single mark may be "
        "the luck of these trainings.",
    )


def few_groups(values: pd.Series, low: pd.Series) -> list[str]:
    """Why some of `values` have no interval, if any has none."""
    lacking = values.notna() & low.isna()
    return [f"A value without interval rests on fewer than {MIN_GROUPS} groups."] if lacking.any() else []


def _undefined(frame: pd.DataFrame, metrics: tuple[str, ...]) -> list[str]:
    """One sentence per dataset, model and metric with values that are undefined and therefore not in the mean."""
    rows = frame[frame["metric"].isin(metrics) & (frame["undefined"] > 0)]
    return [
        f"{display_name(row['dataset'])}, {display_name(row['model'])}: {METRICS[row['metric']].label} undefined "
        f"{row['undefined']:.0f} times (an empty mask)"
        for row in records(rows)
    ]
