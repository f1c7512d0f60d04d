"""Score against cost: which models are worth their parameters, operations and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator

from attnbench.reporting.figures.drawing import Drawn, grid, legend_mm, message_figure, model_legend, say
from attnbench.reporting.format import duration, scaled
from attnbench.reporting.frames import read_frame
from attnbench.reporting.names import display_name, main_metrics
from attnbench.reporting.style import NEUTRAL, ModelStyle, model_styles
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study import Study

_COSTS = {"parameters": "Parameters", "flops": "FLOPs per patch", "train_seconds": "Training time"}


def pareto(study: Study) -> Drawn:
    """One row per dataset, one column per cost; the line joins the models that none beats in both score and cost."""
    metric = main_metrics(study.metrics)[0]
    means = read_frame(study, "means")
    means = means[(means["metric"] == metric) & (means["class"] == "all")]
    columns = ["dataset", "model", "metric", "mean", "low", "high"]
    frame = means[columns].merge(read_frame(study, "cost")[["dataset", "model", *_COSTS]], on=["dataset", "model"])
    if frame.empty:
        return message_figure("No model has both a score and a cost yet.", frame)
    styles = model_styles(study)
    names = [part.name for part in study.datasets]
    height = 48 if len(names) <= 3 else 34
    figure, panels = grid(len(names) * 3, height, extra_mm=legend_mm(len(styles)))
    for position, axes in enumerate(panels):
        name, cost = names[position // 3], list(_COSTS)[position % 3]
        rows = frame[frame["dataset"] == name].dropna(subset=["mean", cost])
        axes.set_title(display_name(name) if position % 3 == 0 else " ")
        if rows.empty:
            say(axes, "no score or no cost yet")
            continue
        _panel(axes, rows, cost, METRICS[metric].higher_is_better, styles)
        axes.set_xlabel(_COSTS[cost] if position // 3 == len(names) - 1 else "")
        axes.set_ylabel(METRICS[metric].label if position % 3 == 0 else "")
    model_legend(figure, styles.values(), lines=False)
    return Drawn(figure, frame)


def _panel(
    axes: Axes, rows: pd.DataFrame, cost: str, higher_is_better: bool, styles: dict[str, ModelStyle]
) -> None:
    axes.grid()
    front = front_of(rows, cost, higher_is_better)
    axes.plot(front[cost], front["mean"], color=NEUTRAL, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
    for row in rows.itertuples():
        style, place = styles[row.model], getattr(row, cost)
        axes.plot([place, place], [row.low, row.high], color=style.colour, linewidth=0.7, alpha=0.6, zorder=2)
        axes.plot(place, row.mean, marker=style.marker, color=style.colour, markersize=4.5, zorder=3)
    words = duration if cost == "train_seconds" else scaled
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def front_of(rows: pd.DataFrame, cost: str, higher_is_better: bool) -> pd.DataFrame:
    """The rows whose `mean` no cheaper or equally cheap row reaches, cheapest first."""
    goodness = rows["mean"] if higher_is_better else -rows["mean"]
    ordered = rows.assign(goodness=goodness).sort_values([cost, "goodness"], ascending=[True, False], kind="stable")
    before = ordered["goodness"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["goodness"] > before].drop(columns="goodness")
