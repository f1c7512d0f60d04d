"""Reliability diagrams: how often a class is there where a model says so with some probability."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnbench.reporting.figures.curves import draw_curves
from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    grid,
    leads_row,
    message_figure,
    model_handles,
    say,
)
from attnbench.reporting.format import number
from attnbench.reporting.frames import read_frame
from attnbench.reporting.style import QUIET, page_of
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_DIGITS = 4


def calibration(study: Study) -> Drawn:
    """One panel per dataset, all classes together; the diagonal is perfect, the legend gives the
    calibration error.
    """
    page, styles = page_of(study), coloured(study)
    frame = read_frame(study, "reliability")
    frame = frame[frame["class"] == "all"].reset_index(drop=True)
    if frame.empty:
        return message_figure(
            page, "No prediction has been compared with its probabilities yet.", frame
        )
    names = [part.name for part in study.datasets]
    figure, panels = grid(page, len(names), 48, columns=page.columns(80))
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(display_name(name))
        rows = frame[frame["dataset"] == name]
        if rows.empty:
            say(axes, "no probabilities yet")
            continue
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
        draw_curves(axes, rows, "probability", "observed", styles)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("Mean probability of the class")
        axes.set_ylabel("Share that is of the class" if leads_row(axes) else "")
        errors = rows.groupby("model")["ece"].first()
        known = [
            replace(style, label=f"{style.label}: {number(errors[model], _DIGITS)}")
            for model, style in styles.items()
            if model in errors
        ]
        others = len(set(errors.index) - set(styles))
        axes.legend(
            handles=model_handles(known, lines=True, others=others), title="Expected calibration "
                                                                           "error",
            title_fontsize=6, fontsize=6, handlelength=1.8, alignment="left", loc="upper left", borderaxespad=0,
            bbox_to_anchor=(1.03, 1),
        )  # fmt: skip
    return Drawn(figure, frame)
