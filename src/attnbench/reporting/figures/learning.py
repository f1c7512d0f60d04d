"""Learning curves: loss and inner-validation Dice over the optimiser steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnbench.reporting.figures.curves import draw_curves
from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    coloured,
    draw_model_legend,
    legend_mm,
    write_message,
)
from attnbench.reporting.style import new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle

_CURVES = {"loss": "Training loss", "validation_dice": "Validation Dice"}
_MARKERS = 6


def draw_learning(results: Results) -> Drawn:
    """Draw per dataset loss above inner-validation Dice: mean and range over folds and seeds."""
    curves, styles, page = curve_frame(results.frame("learning")), coloured(results), results.page
    titled = by_dataset(results, curves)
    columns = min(page.columns(), len(titled))
    rows = math.ceil(len(titled) / columns)
    width = page.single if len(titled) == 1 else page.double
    legend = legend_mm(len(styles) + 1, width)
    figure = new_figure(width, min(page.tallest, rows * 75 + legend))
    panels = figure.subplots(2 * rows, columns, squeeze=False)
    # (row, loss or Dice, column) becomes a list of pairs (loss, Dice), one for each dataset
    pairs = panels.reshape(rows, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    for pair, (title, shown) in zip(pairs, titled, strict=False):
        pair[0].set_title(title)
        if shown.empty:
            write_message(pair[0], "no finished run")
            pair[1].set_axis_off()
        else:
            _pair(pair.tolist(), shown, styles)
    for first in pairs[: len(titled) : columns]:
        for axes, label in zip(first, _CURVES.values(), strict=True):
            axes.set_ylabel(label)
    for unused in pairs[len(titled) :].ravel():
        unused.remove()
    figure.align_ylabels()
    draw_model_legend(figure, styles.values(), lines=True, others=len(results.models) - len(styles))
    return Drawn(figure, curves)


def curve_frame(history: pd.DataFrame) -> pd.DataFrame:
    """Mean, lowest and highest run by `dataset, model, curve, step`, and the number of `runs`."""
    keys = ["dataset", "model", "curve", "step"]
    long = history.melt(["dataset", "model", "step"], list(_CURVES), "curve").dropna(subset="value")
    long["value"] = long["value"].astype(float)
    grouped = long.groupby(keys, sort=False)["value"]
    return grouped.agg(mean="mean", low="min", high="max", runs="count").reset_index()


def _pair(pair: Sequence[Axes], curves: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> None:
    for axes, curve in zip(pair, _CURVES, strict=True):
        axes.grid(axis="y")
        axes.locator_params(axis="x", nbins=5)
        shown = curves[curves["curve"] == curve]
        markers = max(1, shown["step"].nunique() // _MARKERS)
        draw_curves(axes, shown, "step", "mean", styles, markers)
    pair[0].sharex(pair[1])
    pair[0].tick_params(labelbottom=False)
    pair[1].set_xlabel("Optimiser step")
