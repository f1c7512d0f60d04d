"""External test sets: a matrix of training set by test set for every model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    draw_message,
    ends_column,
    leads_row,
    make_grid,
    write_heading,
)
from attnbench.reporting.figures.heatmaps import show_strength, write_number
from attnbench.reporting.format import NOTHING, decimals, number
from attnbench.reporting.results import records
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results

_LEVEL_NAMES = 3  # names of more datasets run into each other unless they are turned


def draw_transfer(results: Results) -> Drawn:
    """Draw one matrix per model, training set by test set: score, and difference below it."""
    page, styles, frame = results.page, coloured(results), results.whole("transfer")
    if frame.empty:
        message = "No model has been scored on an external test set yet."
        return draw_message(page, message, frame)
    used = {*frame["train"], *frame["test"]}
    names = [name for name in results.every_dataset if name in used]
    labels = list(map(results.dataset_label, names))
    figure, panels = make_grid(page, len(styles), 8 * len(names) + 9, extra_mm=16)
    benefit = frame["benefit"].astype(float)
    largest = benefit[frame["model"].isin(styles)].abs().max()
    # one scale for all panels; a study whose models all equal the baseline has no colour
    drawn = frame.assign(strength=benefit / largest if largest > 0 else 0.0)
    for axes, (model, style) in zip(panels, styles.items(), strict=True):
        axes.set_title(style.label)
        _matrix(axes, drawn[drawn["model"] == model], names)
        axes.set_ylabel("Trained on" if leads_row(axes) else "")
        axes.set_yticks(range(len(names)), labels if leads_row(axes) else [""] * len(names))
        axes.set_xticks(range(len(names)), labels if ends_column(axes) else [""] * len(names))
        if len(names) > _LEVEL_NAMES:
            for label in axes.get_xticklabels():
                label.set(rotation=35, ha="right")
    figure.supxlabel("Tested on", fontsize=7)
    heading = (
        f"{METRICS[results.metric].label}, and below it the difference from "
        f"{results.baseline_label} on the same cases "
        f"(purple: better, orange: worse, bold: p ≤ {results.level:.2g})"
    )
    write_heading(figure, heading, len(results.models) - len(styles))
    return Drawn(figure, frame)


def _matrix(axes: Axes, rows: pd.DataFrame, names: Sequence[str]) -> None:
    strength = np.full((len(names), len(names)), np.nan)
    size = 6.0 if len(names) <= 4 else 5.0
    empty = {(train, test) for train in range(len(names)) for test in range(len(names))}
    for row in records(rows):
        train, test = names.index(row["train"]), names.index(row["test"])
        empty.discard((train, test))
        strength[train, test] = row["strength"]
        digits = decimals(row["unit"])
        compared = not math.isnan(row["difference"])
        height = train - 0.18 if compared else train
        write_number(axes, test, height, number(row["mean"], digits), size)
        if compared:
            change = number(row["difference"], digits, sign=True)
            write_number(axes, test, train + 0.2, change, size, row["significant"])
    for train, test in empty:
        write_number(axes, test, train, NOTHING, size)
    axes.set_facecolor("#f2f2f2")
    show_strength(axes, strength)
    axes.set_xlim(-0.5, len(names) - 0.5)
