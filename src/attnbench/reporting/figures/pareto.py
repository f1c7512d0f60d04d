"""Score against cost: which models are worth their parameters, operations, time, memory and
energy.
"""

from __future__ import annotations

import math
from itertools import chain, product
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from attnbench.reporting.figures.drawing import (
    Drawn,
    blocks,
    coloured,
    head,
    leads_row,
    legend_mm,
    message_figure,
    model_legend,
    say,
)
from attnbench.reporting.format import scaled
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.style import NEUTRAL, OTHERS, ModelStyle, model_styles, page_of
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

_COSTS = {
    "parameters": ("Parameters", ""),
    "flops": ("FLOPs per patch", ""),
    "latency_seconds": ("Latency", "s"),
    "train_seconds": ("Training time", "s"),
    "peak_memory_bytes": ("Peak memory", "B"),
    "energy_j": ("Energy", "J"),
}
_UNITS = {
    "": ((0.0, "", 1.0),),
    "s": ((7200.0, "h", 3600.0), (120.0, "min", 60.0), (1.0, "s", 1.0), (0.0, "ms", 1e-3)),
    "B": ((1e9, "GB", 1e9), (0.0, "MB", 1e6)),
    "J": ((1e4, "kJ", 1e3), (0.0, "J", 1.0)),
}
_LEAST_MM = 29.0
_LOG_FROM = 4.0


def pareto(study: Study) -> Drawn:
    """One row per dataset, one column per cost; the line joins the models that none beats in both
    score and cost.

    Of more than nine models, the baseline and those on such a line are coloured. Costs that
    nobody measured are named.
    """
    page, metric = page_of(study), main_metrics(study.metrics)[0]
    means = read_frame(study, "means")
    means = means[(means["metric"] == metric) & (means["class"] == "all")]
    columns = ["dataset", "model", "metric", "mean", "low", "high"]
    frame = means[columns].merge(
        read_frame(study, "cost")[["dataset", "model", *_COSTS]], on=["dataset", "model"]
    )
    costs = [cost for cost in _COSTS if frame[cost].notna().any()]
    if not costs:
        return message_figure(page, "No model has both a score and a cost yet.", frame)
    higher, names = METRICS[metric].higher_is_better, [part.name for part in study.datasets]
    styles = _in_colour(study, frame, costs, higher)
    legend = legend_mm(len(styles) + 1, page.double)
    figure, panels = blocks(page, len(names), len(costs), 42, legend + 4, [_LEAST_MM])
    for axes, (name, cost) in zip(chain(*panels), product(names, costs), strict=True):
        rows = frame[frame["dataset"] == name].dropna(subset=["mean", cost])
        axes.set_title(display_name(name) if cost == costs[0] else " ")
        if rows.empty:
            say(axes, "no score or\nno cost yet")
            continue
        _panel(axes, rows, cost, higher, styles)
        axes.set_ylabel(METRICS[metric].label if leads_row(axes) else "")
        axes.tick_params(labelleft=leads_row(axes))
    figure.align_ylabels()
    model_legend(figure, styles.values(), lines=False, others=len(study.models) - len(styles))
    lacking = [label.lower() for cost, (label, _) in _COSTS.items() if cost not in costs]
    if lacking:
        head(figure, f"Not measured: {', '.join(lacking)}")
    return Drawn(figure, frame)


def _in_colour(
    study: Study, frame: pd.DataFrame, costs: list[str], higher: bool
) -> dict[str, ModelStyle]:
    styles = coloured(study)
    if len(styles) == len(study.models):
        return styles
    fronts = [
        front_of(rows.dropna(subset=["mean", cost]), cost, higher)["model"]
        for _, rows in frame.groupby("dataset")
        for cost in costs
    ]
    kept = {study.baseline, *pd.concat(fronts)}
    return {name: style for name, style in model_styles(study).items() if name in kept}


def _panel(
    axes: Axes, rows: pd.DataFrame, cost: str, higher: bool, styles: dict[str, ModelStyle]
) -> None:
    label, kind = _COSTS[cost]
    unit, size = next(
        (unit, size) for least, unit, size in _UNITS[kind] if rows[cost].max() >= least
    )
    shown = rows.assign(cost=rows[cost].astype(float) / size)
    axes.grid()
    front = front_of(shown, "cost", higher)
    axes.plot(
        front["cost"], front["mean"], color=NEUTRAL, linewidth=0.7, linestyle=(0, (3, 2)), zorder=2
    )
    for row in records(shown):
        style, place = styles.get(row["model"]), row["cost"]
        if style is None:
            axes.plot(place, row["mean"], marker="o", color=OTHERS, markersize=2.5, zorder=1)
            continue
        axes.plot(
            [place] * 2,
            [row["low"], row["high"]],
            color=style.colour,
            linewidth=0.7,
            alpha=0.6,
            zorder=3,
        )
        axes.plot(
            place, row["mean"], marker=style.marker, color=style.colour, markersize=4.5, zorder=4
        )
    if shown["cost"].min() > 0 and shown["cost"].max() > _LOG_FROM * shown["cost"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(
            FixedLocator(_log_ticks(shown["cost"].min(), shown["cost"].max()))
        )
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if kind else scaled(value))
    )
    axes.set_xlabel(f"{label} ({unit})" if unit else label)


def _log_ticks(low: float, high: float) -> list[float]:
    """Two or a few round numbers in a range, for an axis with logarithmic scale."""
    for steps in ((1,), (1, 3), (1, 2, 5)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 2:
            return ticks
    return [low, high]


def front_of(rows: pd.DataFrame, cost: str, higher_is_better: bool) -> pd.DataFrame:
    """The rows whose `mean` no cheaper or equally cheap row reaches, cheapest first."""
    goodness = rows["mean"] if higher_is_better else -rows["mean"]
    ordered = rows.assign(goodness=goodness).sort_values(
        [cost, "goodness"], ascending=[True, False], kind="stable"
    )
    before = ordered["goodness"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["goodness"] > before].drop(columns="goodness")
