"""Learning curves: loss and inner-validation Dice over the optimiser steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.figures.curves import draw_curves
from attnbench.reporting.figures.drawing import Drawn, coloured, legend_mm, model_legend, say
from attnbench.reporting.frames import read_frame
from attnbench.reporting.style import ModelStyle, new_figure, page_of
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

_CURVES = {"loss": "Training loss", "validation_dice": "Validation Dice"}
_MARKERS = 6


def learning(study: Study) -> Drawn:
    """Per dataset loss above inner-validation Dice: mean over folds and seeds, band from lowest
    to highest run.
    """
    curves = curve_frame(read_frame(study, "learning"))
    styles = coloured(study)
    names = [part.name for part in study.datasets]
    page = page_of(study)
    columns = min(page.columns(), len(names))
    rows = math.ceil(len(names) / columns)
    width = page.single if len(names) == 1 else page.double
    legend = legend_mm(len(styles) + 1, width)
    figure = new_figure(width, min(page.tallest, rows * 75 + legend))
    panels = figure.subplots(2 * rows, columns, squeeze=False)
    for position in range(rows * columns):
        pair = [panels[2 * (position // columns) + half, position % columns] for half in (0, 1)]
        if position >= len(names):
            for axes in pair:
                axes.remove()
            continue
        _pair(
            pair,
            names[position],
            curves[curves["dataset"] == names[position]],
            styles,
            position % columns == 0,
        )
    figure.align_ylabels()
    model_legend(figure, styles.values(), lines=True, others=len(study.models) - len(styles))
    return Drawn(figure, curves)


def curve_frame(history: pd.DataFrame) -> pd.DataFrame:
    """Mean, lowest and highest run at every step, long: `dataset, model, curve, step, mean, low,
    high, runs`.
    """
    keys = ["dataset", "model", "curve", "step"]
    long = history.melt(["dataset", "model", "step"], list(_CURVES), "curve").dropna(subset="value")
    long["value"] = long["value"].astype(float)
    grouped = long.groupby(keys, sort=False)["value"]
    return grouped.agg(mean="mean", low="min", high="max", runs="count").reset_index()


def _pair(
    pair: list[Axes],
    dataset: str,
    curves: pd.DataFrame,
    styles: dict[str, ModelStyle],
    labelled: bool,
) -> None:
    pair[0].set_title(display_name(dataset))
    if curves.empty:
        say(pair[0], "no finished run")
        pair[1].set_axis_off()
        return
    for axes, (curve, label) in zip(pair, _CURVES.items(), strict=True):
        axes.grid(axis="y")
        axes.locator_params(axis="x", nbins=5)
        shown = curves[curves["curve"] == curve]
        draw_curves(
            axes, shown, "step", "mean", styles, markers=max(1, shown["step"].nunique() // _MARKERS)
        )
        if labelled:
            axes.set_ylabel(label)
    pair[0].sharex(pair[1])
    pair[0].tick_params(labelbottom=False)
    pair[1].set_xlabel("Optimiser step")
