"""Differences from the baseline at a glance: by class, and by metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import TwoSlopeNorm

from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    draw_message,
    fill_panels,
    leads_row,
    make_grid,
    row_mm,
    score_label,
    write_heading,
)
from attnbench.reporting.format import NOTHING, decimals, number
from attnbench.reporting.results import ALL, records
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from attnbench.reporting.results import Results


def draw_heatmap_classes(results: Results) -> Drawn:
    """Draw one panel per dataset: difference of the first metric by model and class."""
    frame = results.frame("effects")
    frame = frame[frame["metric"] == results.metric].reset_index(drop=True)
    # a dataset of one class has two rows of numbers that are equal: the class, and the mean
    single = frame.groupby("dataset")["class"].transform("nunique") == 2
    drawn = frame[~(single & (frame["class"] == ALL))]
    drawn = drawn.assign(column=drawn["class_name"].where(drawn["class"] != ALL, "all classes"))
    return _heatmap(results, frame, drawn, f"Δ {METRICS[results.metric].label}", least_mm=55)


def draw_heatmap_metrics(results: Results) -> Drawn:
    """Draw one panel per dataset: difference by model and metric, mean over classes."""
    metrics, frame = results.study.metrics, results.frame("effects")
    frame = frame[(frame["class"] == ALL) & frame["metric"].isin(metrics)]
    order = {name: position for position, name in enumerate(metrics)}
    frame = frame.sort_values("metric", kind="stable", key=lambda names: names.map(order))
    frame = frame.reset_index(drop=True)
    labels = list(map(score_label, frame["metric"], frame["unit"]))
    drawn = frame.assign(column=np.array(labels, dtype=object))
    least_mm = 85 if len(metrics) > 4 else 55
    return _heatmap(results, frame, drawn, "Δ of every metric", least_mm)


def _heatmap(
    results: Results, frame: pd.DataFrame, drawn: pd.DataFrame, title: str, least_mm: float
) -> Drawn:
    page, models = results.page, results.compared
    if frame.empty:
        message = "No effects to show: nothing to compare with the baseline yet."
        return draw_message(page, message, frame)
    titled = by_dataset(results, drawn.assign(strength=_strength(drawn)))
    height = len(models) * row_mm(len(models)) + 17
    columns = page.columns(least_mm)
    figure, panels = make_grid(page, len(titled), height, extra_mm=6, columns=columns)
    labels = [results.drawn_label(name) for name in models]
    for axes, rows in fill_panels(panels, titled, "no effect yet"):
        _panel(axes, rows, models)
        axes.set_yticks(range(len(models)), labels if leads_row(axes) else [""] * len(models))
    meaning = f"purple: better, orange: worse, bold: p ≤ {results.level:.2g}"
    write_heading(figure, f"{title} against {results.baseline_label} ({meaning})")
    return Drawn(figure, frame)


def _strength(effects: pd.DataFrame) -> pd.Series:
    """Benefits scaled to -1..1: 1 is the figure's largest difference in that metric and unit."""
    benefit = effects["benefit"].astype(float)
    largest = benefit.abs().groupby([effects["metric"], effects["unit"]]).transform("max")
    return benefit / largest.where(largest > 0, 1.0)


def _panel(axes: Axes, rows: pd.DataFrame, models: Sequence[str]) -> None:
    """Draw cells coloured by benefit, with the difference written in them."""
    headings = list(dict.fromkeys(rows["column"]))
    strength = np.full((len(models), len(headings)), np.nan)
    size = 6.0 if len(models) <= 20 and len(headings) <= 8 else 5.0
    for row in records(rows):
        line, column = models.index(row["model"]), headings.index(row["column"])
        strength[line, column] = row["strength"]
        text = number(row["difference"], decimals(row["unit"]), sign=True)
        write_number(axes, column, line, text, size, row["significant"])
    for line, column in zip(*np.nonzero(np.isnan(strength)), strict=True):
        write_number(axes, column, line, NOTHING, size)
    show_strength(axes, strength)
    # level names of columns would run into each other
    turned = max(map(len, headings)) * len(headings) > 36
    axes.set_xticks(
        range(len(headings)), headings, rotation=35 if turned else 0,
        ha="right" if turned else "center",
    )  # fmt: skip


def write_number(
    axes: Axes, x: float, y: float, text: str, size: float, bold: bool = False
) -> None:
    """Write a number in the middle of a cell.

    Args:
        axes: the panel.
        x: column of the cell.
        y: row of the cell, counted from the top.
        text: the number.
        size: of the font, in points.
        bold: as significant differences are.
    """
    weight = "bold" if bold else "normal"
    axes.text(x, y, text, ha="center", va="center", fontsize=size, fontweight=weight)


def show_strength(axes: Axes, strength: NDArray[np.float64]) -> None:
    """Colour cells (rows, columns) from -1, orange, to 1, purple; NaN shows the background."""
    # the scale ends beyond 1: numbers stay legible on the deepest colour that is used
    axes.imshow(
        np.ma.masked_invalid(strength), cmap="PuOr", norm=TwoSlopeNorm(0, -1.8, 1.8),
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    axes.set_ylim(len(strength) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
