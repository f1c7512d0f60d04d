"""Differences from the baseline at a glance: by class, and by metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm

from attnbench.reporting.figures.drawing import (
    Drawn,
    grid,
    head,
    leads_row,
    message_figure,
    row_mm,
    say,
)
from attnbench.reporting.format import NOTHING, decimals, number
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.style import model_styles, page_of
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

_COLOURS = "PuOr"


def heatmap_classes(study: Study) -> Drawn:
    """One panel per dataset: difference of the first metric by model and class; bold where
    significant.
    """
    metric = main_metrics(study.metrics)[0]
    frame = read_frame(study, "effects")
    frame = frame[frame["metric"] == metric].reset_index(drop=True)
    single = frame.groupby("dataset")["class"].transform("nunique") == 2
    drawn = frame[~(single & (frame["class"] == "all"))]
    drawn = drawn.assign(column=drawn["class_name"].where(drawn["class"] != "all", "all classes"))
    return _heatmap(study, frame, drawn, f"Δ {METRICS[metric].label}", least_mm=55)


def heatmap_metrics(study: Study) -> Drawn:
    """One panel per dataset: difference by model and metric, mean over classes; bold where
    significant.
    """
    frame = read_frame(study, "effects")
    frame = frame[(frame["class"] == "all") & frame["metric"].isin(study.metrics)].reset_index(
        drop=True
    )
    order = frame["metric"].map({name: place for place, name in enumerate(study.metrics)})
    frame = frame.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True)
    units = [display_unit(unit) for unit in frame["unit"]]
    labels = [METRICS[name].label for name in frame["metric"]]
    words = [
        f"{label} ({unit})" if unit else label for label, unit in zip(labels, units, strict=True)
    ]
    drawn = frame.assign(column=np.array(words, dtype=object))
    return _heatmap(
        study, frame, drawn, "Δ of every metric", least_mm=85 if len(study.metrics) > 4 else 55
    )


def _heatmap(
    study: Study, frame: pd.DataFrame, drawn: pd.DataFrame, title: str, least_mm: float
) -> Drawn:
    if frame.empty:
        return message_figure(
            page_of(study), "No effects to show: nothing to compare with the baseline yet.", frame
        )
    drawn = drawn.assign(strength=_strength(drawn))
    models = [part.name for part in study.models if part.name != study.baseline]
    names = [part.name for part in study.datasets]
    page, height = page_of(study), len(models) * row_mm(len(models)) + 17
    figure, panels = grid(page, len(names), height, extra_mm=6, columns=page.columns(least_mm))
    for position, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.set_title(display_name(name))
        rows = drawn[drawn["dataset"] == name]
        if rows.empty:
            say(axes, "no effect yet")
            continue
        _panel(axes, rows, models, 1 - study.analysis.confidence)
        first = leads_row(axes) or not panels[position - 1].axison
        styles = model_styles(study)
        axes.set_yticks(
            range(len(models)), [styles[model].label if first else "" for model in models]
        )
    level = 1 - study.analysis.confidence
    heading = f"{title} against {display_name(study.baseline)} (purple: better, orange: worse, bold: p < {level:.2g})"
    head(figure, heading)
    return Drawn(figure, frame)


def _strength(effects: pd.DataFrame) -> pd.Series:
    """Benefit of every row from -1 to 1: 1 is the figure's largest difference in that metric and
    unit.
    """
    higher = effects["metric"].map(lambda name: METRICS[name].higher_is_better)
    benefit = effects["difference"].astype(float).where(higher, -effects["difference"])
    largest = benefit.abs().groupby([effects["metric"], effects["unit"]]).transform("max")
    return benefit / largest.where(largest > 0, 1.0)


def _panel(axes: Axes, rows: pd.DataFrame, models: Sequence[str], level: float) -> None:
    """Cells coloured by benefit, with the difference in words."""
    headings = list(dict.fromkeys(rows["column"]))
    colours = np.full((len(models), len(headings)), np.nan)
    size = 6.0 if len(models) <= 20 and len(headings) <= 8 else 5.0
    for row in records(rows):
        place = models.index(row["model"]), headings.index(row["column"])
        colours[place] = row["strength"]
        text = number(row["difference"], decimals(row["unit"]), sign=True)
        weight = "bold" if row["p_holm"] < level else "normal"
        axes.text(
            place[1], place[0], text, ha="center", va="center", fontsize=size, fontweight=weight
        )
    for model, column in zip(*np.nonzero(np.isnan(colours)), strict=True):
        axes.text(column, model, NOTHING, ha="center", va="center", fontsize=size)
    axes.imshow(
        np.ma.masked_invalid(colours),
        cmap=_COLOURS,
        norm=TwoSlopeNorm(0, -1.8, 1.8),
        aspect="auto",
        interpolation="nearest",
    )
    turned = max(len(word) for word in headings) * len(headings) > 36
    axes.set_xticks(
        range(len(headings)),
        headings,
        rotation=35 if turned else 0,
        ha="right" if turned else "center",
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(len(models) - 0.5, -0.5)
