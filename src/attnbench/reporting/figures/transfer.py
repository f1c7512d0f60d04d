"""Models of one dataset on another: a matrix of training and test set per model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import TwoSlopeNorm

from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    ends_column,
    grid,
    head,
    leads_row,
    message_figure,
)
from attnbench.reporting.figures.shift import main_rows
from attnbench.reporting.format import NOTHING, decimals, number
from attnbench.reporting.frames import records
from attnbench.reporting.style import page_of
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

_LEVEL_NAMES = 3


def transfer(study: Study) -> Drawn:
    """One matrix per model: rows are training sets, columns test sets; score, and difference
    from the baseline.
    """
    page, styles = page_of(study), coloured(study)
    frame = main_rows(study, "transfer")
    if frame.empty:
        return message_figure(page, "No model has been scored on another dataset yet.", frame)
    metric, level = METRICS[main_metrics(study.metrics)[0]], 1 - study.analysis.confidence
    used = {*frame["train"], *frame["test"]}
    names = [part.name for part in study.datasets if part.name in used]
    figure, panels = grid(page, len(styles), 8 * len(names) + 9, extra_mm=16)
    benefit = frame["difference"].astype(float) * (1 if metric.higher_is_better else -1)
    largest = benefit[frame["model"].isin(styles)].abs().max()
    drawn = frame.assign(strength=benefit / largest if largest > 0 else 0.0)
    for axes, (model, style) in zip(panels, styles.items(), strict=True):
        axes.set_title(style.label)
        _matrix(axes, drawn[drawn["model"] == model], names, level)
        axes.set_ylabel("Trained on" if leads_row(axes) else "")
        axes.set_yticks(
            range(len(names)), [display_name(name) if leads_row(axes) else "" for name in names]
        )
        axes.set_xticks(
            range(len(names)), [display_name(name) if ends_column(axes) else "" for name in names]
        )
        if len(names) > _LEVEL_NAMES:
            for label in axes.get_xticklabels():
                label.set(rotation=35, ha="right")
    figure.supxlabel("Tested on", fontsize=7)
    heading = (
        f"{metric.label}, and below it the difference from {display_name(study.baseline)} on the "
        "same cases "
        f"(purple: better, orange: worse, bold: p < {level:.2g})"
    )
    head(figure, heading, len(study.models) - len(styles))
    return Drawn(figure, frame)


def _matrix(axes: Axes, rows: pd.DataFrame, names: Sequence[str], level: float) -> None:
    strength = np.full((len(names), len(names)), np.nan)
    size = 6.0 if len(names) <= 4 else 5.0
    empty = {(train, test) for train in range(len(names)) for test in range(len(names))}
    for row in records(rows):
        train, test = names.index(row["train"]), names.index(row["test"])
        empty.discard((train, test))
        strength[train, test] = row["strength"]
        digits = decimals(row["unit"])
        compared = row["difference"] == row["difference"]
        height = train - 0.18 if compared else train
        axes.text(
            test, height, number(row["mean"], digits), ha="center", va="center", fontsize=size
        )
        if compared:
            weight = "bold" if row["p_holm"] < level else "normal"
            change = number(row["difference"], digits, sign=True)
            axes.text(
                test,
                train + 0.2,
                change,
                ha="center",
                va="center",
                fontsize=size,
                fontweight=weight,
            )
    for train, test in empty:
        axes.text(test, train, NOTHING, ha="center", va="center", fontsize=size)
    axes.set_facecolor("#f2f2f2")
    axes.imshow(
        np.ma.masked_invalid(strength), cmap="PuOr", norm=TwoSlopeNorm(0, -1.8, 1.8), aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
