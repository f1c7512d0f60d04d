"""Score against cost: parameters, operations, time, memory and energy of every model."""

from __future__ import annotations

import math
from itertools import chain, product
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    draw_message,
    draw_model_legend,
    leads_row,
    legend_mm,
    make_blocks,
    write_heading,
    write_message,
)
from attnbench.reporting.format import scaled
from attnbench.reporting.results import records
from attnbench.reporting.style import NEUTRAL, OTHERS
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle

_COSTS = {
    "parameters": ("Parameters", ""),
    "flops": ("FLOPs per patch", ""),
    "latency_seconds": ("Latency", "s"),
    "train_seconds": ("Training time", "s"),
    "peak_memory_bytes": ("Peak memory", "B"),
    "energy_j": ("Energy", "J"),
}
# units by least value in base units: (from this value on, name, size); the first that fits counts
_UNITS = {
    "": ((0.0, "", 1.0),),
    "s": ((7200.0, "h", 3600.0), (120.0, "min", 60.0), (1.0, "s", 1.0), (0.0, "ms", 1e-3)),
    "B": ((1e9, "GB", 1e9), (0.0, "MB", 1e6)),
    "J": ((1e4, "kJ", 1e3), (0.0, "J", 1.0)),
}
_LEAST_MM = 29.0
_LOG_FROM = 4.0  # times the least cost: a narrower range is read more easily without logarithms


def draw_pareto(results: Results) -> Drawn:
    """Draw one row per dataset, one column per cost, and a line through undominated models.

    Of more than nine models, the baseline and those on such a line are coloured. Costs that
    were not measured are named.
    """
    page, higher = results.page, METRICS[results.metric].higher_is_better
    means = results.whole("means")[["dataset", "model", "metric", "mean", "low", "high"]]
    measured = results.frame("cost")[["dataset", "model", *_COSTS]]
    frame = means.merge(measured, on=["dataset", "model"])
    costs = [name for name in _COSTS if frame[name].notna().any()]
    if not costs:
        return draw_message(page, "No model has both a score and a cost yet.", frame)
    styles, names = _in_colour(results, frame, costs, higher), results.datasets
    # Predictions made elsewhere have no cost that is known here.
    for name in results.study.elsewhere:
        styles.pop(name, None)
    legend = legend_mm(len(styles) + 1, page.double)
    figure, panels = make_blocks(page, len(names), len(costs), 42, legend + 4, [_LEAST_MM])
    for axes, (name, cost) in zip(chain(*panels), product(names, costs), strict=True):
        rows = frame[frame["dataset"] == name].dropna(subset=["mean", cost])
        axes.set_title(results.dataset_label(name) if cost == costs[0] else " ")
        if rows.empty:
            write_message(axes, "no score or\nno cost yet")
            continue
        _panel(axes, rows, cost, higher, styles)
        axes.set_ylabel(METRICS[results.metric].label if leads_row(axes) else "")
        axes.tick_params(labelleft=leads_row(axes))
    figure.align_ylabels()
    others = len(results.study.trained_models) - len(styles)
    draw_model_legend(figure, styles.values(), lines=False, others=others)
    lacking = [label.lower() for name, (label, _) in _COSTS.items() if name not in costs]
    if lacking:
        write_heading(figure, f"Not measured: {', '.join(lacking)}")
    return Drawn(figure, frame)


def _in_colour(
    results: Results, frame: pd.DataFrame, costs: list[str], higher_is_better: bool
) -> dict[str, ModelStyle]:
    styles = coloured(results)
    if len(styles) == len(results.models):
        return dict(styles)
    fronts = [
        front_of(rows.dropna(subset=["mean", cost]), cost, higher_is_better)["model"]
        for _, rows in frame.groupby("dataset")
        for cost in costs
    ]
    kept = {results.baseline, *pd.concat(fronts)}
    return {name: style for name, style in results.styles.items() if name in kept}


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    cost: str,
    higher_is_better: bool,
    styles: Mapping[str, ModelStyle],
) -> None:
    label, kind = _COSTS[cost]
    most = rows[cost].max()
    unit, size = next((unit, size) for least, unit, size in _UNITS[kind] if most >= least)
    shown = rows.assign(cost=rows[cost].astype(float) / size)
    axes.grid()
    front = front_of(shown, "cost", higher_is_better)
    axes.plot(
        front["cost"], front["mean"], color=NEUTRAL, linewidth=0.7, linestyle=(0, (3, 2)), zorder=2
    )
    for row in records(shown):
        style, x, mean = styles.get(row["model"]), row["cost"], row["mean"]
        if style is None:
            axes.plot(x, mean, marker="o", color=OTHERS, markersize=2.5, zorder=1)
            continue
        interval = [row["low"], row["high"]]
        axes.plot([x] * 2, interval, color=style.colour, linewidth=0.7, alpha=0.6, zorder=3)
        axes.plot(x, mean, marker=style.marker, color=style.colour, markersize=4.5, zorder=4)
    low, high = shown["cost"].min(), shown["cost"].max()
    if low > 0 and _LOG_FROM * low < high:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_log_ticks(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if kind else scaled(value))
    )
    axes.set_xlabel(f"{label} ({unit})" if unit else label)


def _log_ticks(low: float, high: float) -> list[float]:
    """Two or more round numbers within a range, else its ends, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 2:
            return ticks
    return [low, high]


def front_of(rows: pd.DataFrame, cost: str, higher_is_better: bool) -> pd.DataFrame:
    """Rows whose `mean` no cheaper or equally cheap row reaches, cheapest first."""
    # of equally cheap rows the best comes first, so that the others do not exceed it
    ordered = rows.sort_values(
        [cost, "mean"], ascending=[True, not higher_is_better], kind="stable"
    )
    means = ordered["mean"]
    if higher_is_better:
        return ordered[means > means.cummax().shift(fill_value=-math.inf)]
    return ordered[means < means.cummin().shift(fill_value=math.inf)]
