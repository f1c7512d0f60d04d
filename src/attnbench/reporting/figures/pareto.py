"""Score against cost: which models are worth their parameters, operations and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import FuncFormatter

from attnbench.reporting.figures.drawing import Drawn, grid, legend_mm, message_figure, model_legend, say
from attnbench.reporting.format import scaled
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.names import display_name, main_metrics
from attnbench.reporting.style import NEUTRAL, ModelStyle, model_styles, page_of
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study import Study

_COSTS = {"parameters": "Parameters", "flops": "FLOPs per patch", "train_seconds": "Training time"}
_TIMES = ((2 * 3600.0, "h", 3600.0), (120.0, "min", 60.0))


def pareto(study: Study) -> Drawn:
    """One row per dataset, one column per cost; the line joins the models that none beats in both score and cost."""
    metric = main_metrics(study.metrics)[0]
    means = read_frame(study, "means")
    means = means[(means["metric"] == metric) & (means["class"] == "all")]
    columns = ["dataset", "model", "metric", "mean", "low", "high"]
    frame = means[columns].merge(read_frame(study, "cost")[["dataset", "model", *_COSTS]], on=["dataset", "model"])
    if frame.empty:
        return message_figure(page_of(study), "No model has both a score and a cost yet.", frame)
    unit, seconds = _time_unit(frame["train_seconds"].max())
    shown = frame.assign(train_seconds=frame["train_seconds"] / seconds)
    labels = {**_COSTS, "train_seconds": f"Training time ({unit})"}
    styles = model_styles(study)
    names = [part.name for part in study.datasets]
    height = 48 if len(names) <= 3 else 34
    page = page_of(study)
    figure, panels = grid(page, len(names) * 3, height, extra_mm=legend_mm(len(styles), page.double), columns=3)
    for position, axes in enumerate(panels):
        name, cost = names[position // 3], list(_COSTS)[position % 3]
        rows = shown[shown["dataset"] == name].dropna(subset=["mean", cost])
        axes.set_title(display_name(name) if position % 3 == 0 else " ")
        if rows.empty:
            say(axes, "no score or no cost yet")
            continue
        _panel(axes, rows, cost, METRICS[metric].higher_is_better, styles)
        axes.set_xlabel(labels[cost] if position // 3 == len(names) - 1 else "")
        axes.set_ylabel(METRICS[metric].label if position % 3 == 0 else "")
    figure.align_ylabels()
    model_legend(figure, styles.values(), lines=False)
    return Drawn(figure, frame)


def _panel(axes: Axes, rows: pd.DataFrame, cost: str, higher_is_better: bool, styles: dict[str, ModelStyle]) -> None:
    axes.grid()
    front = front_of(rows, cost, higher_is_better)
    axes.plot(front[cost], front["mean"], color=NEUTRAL, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
    for row in records(rows):
        style, place = styles[row["model"]], row[cost]
        axes.plot([place] * 2, [row["low"], row["high"]], color=style.colour, linewidth=0.7, alpha=0.6, zorder=2)
        axes.plot(place, row["mean"], marker=style.marker, color=style.colour, markersize=4.5, zorder=3)
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=4)
    if cost != "train_seconds":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scaled(value)))


def _time_unit(longest: float) -> tuple[str, float]:
    """The unit in which training times are shown, and its seconds."""
    return next(((unit, size) for least, unit, size in _TIMES if longest >= least), ("s", 1.0))


def front_of(rows: pd.DataFrame, cost: str, higher_is_better: bool) -> pd.DataFrame:
    """The rows whose `mean` no cheaper or equally cheap row reaches, cheapest first."""
    goodness = rows["mean"] if higher_is_better else -rows["mean"]
    ordered = rows.assign(goodness=goodness).sort_values([cost, "goodness"], ascending=[True, False], kind="stable")
    before = ordered["goodness"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["goodness"] > before].drop(columns="goodness")
