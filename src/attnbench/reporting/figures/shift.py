"""Scores away from the data of training: worse images, other data, fewer patients."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING

from attnbench.reporting.figures.curves import draw_curves
from attnbench.reporting.figures.drawing import (
    Drawn,
    blocks,
    coloured,
    ends_column,
    grid,
    leads_row,
    legend_mm,
    message_figure,
    model_legend,
    say,
)
from attnbench.reporting.figures.forest import forest
from attnbench.reporting.frames import read_frame
from attnbench.reporting.style import page_of
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.study.settings import Study

_NOT_CORRUPTED = "No model has been scored on corrupted images yet."


def corruption(study: Study) -> Drawn:
    """One panel per dataset and corruption, a dataset's on one scale: mean score by level, 0 the
    image as it is.
    """
    page, styles = page_of(study), coloured(study)
    frame = main_rows(study, "corruption_levels")
    if frame.empty:
        return message_figure(page, _NOT_CORRUPTED, frame)
    names, kinds = [part.name for part in study.datasets], list(study.corruptions)
    legend = legend_mm(len(styles) + 1, page.double)
    figure, panels = blocks(page, len(names), len(kinds), 40, legend, [55, 40, 29])
    for own in panels:
        for axes in own[1:]:
            axes.sharey(own[0])
    for axes, (name, kind) in zip(chain(*panels), product(names, kinds), strict=True):
        axes.set_title(display_name(kind), fontweight="normal", loc="center")
        rows = frame[(frame["dataset"] == name) & (frame["corruption"] == kind)]
        if rows.empty:
            say(axes, "no score yet")
            continue
        axes.grid(axis="y")
        draw_curves(axes, rows, "level", "mean", styles)
        axes.set_xticks(sorted(frame["level"].unique()))
        axes.locator_params(axis="y", nbins=5)
        axes.tick_params(labelleft=leads_row(axes))
        axes.set_xlabel("Level" if ends_column(axes) else "")
        axes.set_ylabel(f"{display_name(name)}\n{_label(frame)}" if leads_row(axes) else "")
    figure.align_ylabels()
    model_legend(figure, styles.values(), lines=True, others=len(study.models) - len(styles))
    return Drawn(figure, frame)


def corruption_slopes(study: Study) -> Drawn:
    """Forest of slopes: change of the score per level; filled: other than the baseline's (Holm)."""
    frame = main_rows(study, "corruption_slopes")
    if frame.empty:
        return message_figure(page_of(study), _NOT_CORRUPTED, frame)
    figure = forest(
        study, frame.assign(row=frame["corruption"].map(display_name)), coloured(study),
        f"Change of {_label(frame)} per level",
        filled=f"other than the slope of {display_name(study.baseline)}", lacking="no score yet",
    )  # fmt: skip
    return Drawn(figure, frame)


def data_efficiency(study: Study) -> Drawn:
    """One panel per dataset: mean score against the share of the training groups (number of
    groups in brackets).
    """
    page, styles = page_of(study), coloured(study)
    frame = main_rows(study, "data_efficiency")
    if frame.empty:
        return message_figure(
            page, "No run on a part of the training groups has been scored yet.", frame
        )
    names = [part.name for part in study.datasets]
    width = page.single if len(names) == 1 else page.double
    figure, panels = grid(page, len(names), 55, extra_mm=legend_mm(len(styles) + 1, width))
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(display_name(name))
        rows = frame[frame["dataset"] == name]
        if rows.empty:
            say(axes, "no score yet")
            continue
        axes.grid(axis="y")
        axes.set_xscale("log")
        draw_curves(axes, rows, "percent", "mean", styles)
        groups = rows.groupby("percent")["training_groups"].max()
        ticks = [f"{percent} %\n({count:g})" for percent, count in groups.items()]
        axes.set_xticks(groups.index.tolist(), ticks, minor=False)
        axes.minorticks_off()
        axes.set_xlabel("Share of the training groups (how many)")
        axes.set_ylabel(_label(frame) if leads_row(axes) else "")
    model_legend(figure, styles.values(), lines=True, others=len(study.models) - len(styles))
    return Drawn(figure, frame)


def main_rows(study: Study, name: str) -> pd.DataFrame:
    """The rows of a frame that a figure shows: the first main metric, mean over classes."""
    frame = read_frame(study, name)
    shown = (frame["class"] == "all") & (frame["metric"] == main_metrics(study.metrics)[0])
    return frame[shown].reset_index(drop=True)


def _label(frame: pd.DataFrame) -> str:
    unit = display_unit(str(frame["unit"].iloc[0]))
    return f"{METRICS[frame['metric'].iloc[0]].label}{f' ({unit})' if unit else ''}"
