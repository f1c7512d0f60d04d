"""Every case's score by model and dataset, cases paired by lines, with mean and interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attnbench.analysis.case_values import case_values
from attnbench.reporting.figures.drawing import Drawn, grid, leads_row, model_rows, row_mm, say
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.style import NEUTRAL, QUIET, ModelStyle, model_styles, page_of
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

_PAIRED_UP_TO = 6
_GOLDEN = 0.6180339887


def scores(study: Study) -> Drawn:
    """One panel per dataset, one row per model: a point per case; below it the mean and its
    interval.
    """
    metric = main_metrics(study.metrics)[0]
    values, means = case_values(study, metric), read_frame(study, "means")
    means = means[(means["metric"] == metric) & (means["class"] == "all")]
    styles = model_styles(study)
    names = [part.name for part in study.datasets]
    height = len(styles) * row_mm(len(styles)) + 15
    figure, panels = grid(page_of(study), len(names), height)
    for position, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.set_title(display_name(name))
        rows = values[values["dataset"] == name]
        if rows.empty:
            say(axes, "no score: no finished run, or undefined")
            continue
        model_rows(
            axes, list(styles.values()), labelled=leads_row(axes) or not panels[position - 1].axison
        )
        _panel(axes, rows, means[means["dataset"] == name], styles, study.baseline)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(_label(metric, means[means["dataset"] == name], rows))
    return Drawn(figure, _frame(values, means, metric))


def _label(metric: str, means: pd.DataFrame, rows: pd.DataFrame) -> str:
    units = means["unit"].unique()
    unit = display_unit(str(units[0])) if len(units) else ""
    counts = f"{rows['case'].nunique()} cases, {rows['group'].nunique()} groups"
    return f"{METRICS[metric].label}{f' ({unit})' if unit else ''} of each case; {counts}"


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    means: pd.DataFrame,
    styles: dict[str, ModelStyle],
    baseline: str,
) -> None:
    table = rows.pivot_table(index="case", columns="model", values="value", aggfunc="first")
    by_case = table.reindex(columns=list(styles))
    heights = -0.3 + 0.4 * ((np.arange(len(by_case)) * _GOLDEN) % 1)
    if len(styles) <= _PAIRED_UP_TO:
        across = heights[:, None] + np.arange(len(styles))[None]
        axes.plot(
            by_case.to_numpy().T,
            across.T,
            color=QUIET,
            linewidth=0.3,
            alpha=0.35,
            rasterized=len(by_case) > 300,
        )
    for place, (name, style) in enumerate(styles.items()):
        found = by_case[name].to_numpy()
        if np.isnan(found).all():
            axes.text(
                0.02,
                place,
                "no score",
                transform=axes.get_yaxis_transform(),
                va="center",
                color=QUIET,
            )
            continue
        axes.scatter(
            found, place + heights, s=5, marker=style.marker, color=style.colour, alpha=0.5, linewidth=0,
            rasterized=len(by_case) > 300,
        )  # fmt: skip
        for row in records(means[means["model"] == name]):
            _mean(axes, row, place + 0.3, style)
    for row in records(means[means["model"] == baseline]):
        axes.axvline(row["mean"], color=NEUTRAL, linewidth=0.6, linestyle=(0, (3, 2)), zorder=1)


def _mean(axes: Axes, row: dict[str, Any], height: float, style: ModelStyle) -> None:
    """A mean as a marker with a black edge on its interval."""
    axes.plot(
        [row["low"], row["high"]], [height, height], color="black", solid_capstyle="butt", zorder=4
    )
    axes.plot(
        row["mean"],
        height,
        marker=style.marker,
        color=style.colour,
        markeredgecolor="black",
        markersize=4,
        zorder=5,
    )


def _frame(values: pd.DataFrame, means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The points (`shown` is `case`) and the means with their intervals (`shown` is `mean`)."""
    cases = values.assign(shown="case")
    averages = means.rename(columns={"mean": "value"}).assign(shown="mean")
    columns = [
        "dataset",
        "model",
        "metric",
        "shown",
        "case",
        "group",
        "fold",
        "value",
        "low",
        "high",
    ]
    joined = [frame for frame in (cases, averages) if len(frame)]
    frame = pd.concat(joined, ignore_index=True) if joined else cases
    return frame.assign(metric=metric).reindex(columns=columns)
