"""Reliability diagrams: observed share of a class against the probability a model gives it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnbench.reporting.figures.curves import draw_curves
from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    coloured,
    draw_message,
    fill_panels,
    leads_row,
    make_grid,
    model_handles,
)
from attnbench.reporting.format import number
from attnbench.reporting.results import ALL
from attnbench.reporting.style import QUIET

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle

_DIGITS = 4


def draw_calibration(results: Results) -> Drawn:
    """Draw one panel per dataset, all classes together; on the diagonal a model is calibrated.

    The legend gives the expected calibration error.
    """
    page, styles, frame = results.page, coloured(results), results.frame("reliability")
    frame = frame[frame["class"] == ALL].reset_index(drop=True)
    if frame.empty:
        message = "No prediction has been compared with its probabilities yet."
        return draw_message(page, message, frame)
    titled = by_dataset(results, frame)
    figure, panels = make_grid(page, len(titled), 48, columns=page.columns(80))
    for axes, rows in fill_panels(panels, titled, "no probabilities yet"):
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
        draw_curves(axes, rows, "probability", "observed", styles)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("Mean probability of the class")
        axes.set_ylabel("Share that is of the class" if leads_row(axes) else "")
        _legend(axes, rows, styles)
    return Drawn(figure, frame)


def _legend(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> None:
    errors = rows.groupby("model")["ece"].first()
    known = [
        replace(style, label=f"{style.label}: {number(errors[model], _DIGITS)}")
        for model, style in styles.items()
        if model in errors
    ]
    others = len(set(errors.index) - set(styles))
    # beside the panel: the curves of badly calibrated models may run anywhere inside
    axes.legend(
        handles=model_handles(known, lines=True, others=others),
        title="Expected calibration error", title_fontsize=6, fontsize=6, handlelength=1.8,
        alignment="left", loc="upper left", borderaxespad=0, bbox_to_anchor=(1.03, 1),
    )  # fmt: skip
