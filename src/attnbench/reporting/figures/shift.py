"""Corrupted images and data efficiency: scores by level, and by share of training groups."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING

from attnbench.reporting.figures.curves import draw_curves
from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    coloured,
    draw_message,
    draw_model_legend,
    ends_column,
    fill_panels,
    leads_row,
    legend_mm,
    make_blocks,
    make_grid,
    score_label,
    write_message,
)
from attnbench.reporting.figures.forest import draw_forest
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.reporting.results import Results

_NOT_CORRUPTED = "No model has been scored on corrupted images yet."


def draw_corruption(results: Results) -> Drawn:
    """Draw mean score by level: a panel per dataset and corruption, a dataset's on one scale."""
    page, styles, frame = results.page, coloured(results), results.whole("corruption_levels")
    if frame.empty:
        return draw_message(page, _NOT_CORRUPTED, frame)
    names, kinds = results.datasets, results.study.corruptions
    legend = legend_mm(len(styles) + 1, page.double)
    figure, panels = make_blocks(page, len(names), len(kinds), 40, legend, [55, 40, 29])
    # corruptions of one dataset can be compared by eye; other datasets have scales of their own
    for own in panels:
        for axes in own[1:]:
            axes.sharey(own[0])
    for axes, (name, kind) in zip(chain(*panels), product(names, kinds), strict=True):
        axes.set_title(display_name(kind), fontweight="normal", loc="center")
        rows = frame[(frame["dataset"] == name) & (frame["corruption"] == kind)]
        if rows.empty:
            write_message(axes, "no score yet")
            continue
        axes.grid(axis="y")
        draw_curves(axes, rows, "level", "mean", styles)
        axes.set_xticks(sorted(frame["level"].unique()))
        axes.locator_params(axis="y", nbins=5)
        axes.tick_params(labelleft=leads_row(axes))
        axes.set_xlabel("Level" if ends_column(axes) else "")
        label = f"{results.dataset_label(name)}\n{_label(frame)}"
        axes.set_ylabel(label if leads_row(axes) else "")
    figure.align_ylabels()
    draw_model_legend(figure, styles.values(), lines=True, others=len(results.models) - len(styles))
    return Drawn(figure, frame)


def draw_corruption_slopes(results: Results) -> Drawn:
    """Draw a forest: change of the score per level, filled where it is not the baseline's."""
    frame = results.whole("corruption_slopes")
    if frame.empty:
        return draw_message(results.page, _NOT_CORRUPTED, frame)
    figure = draw_forest(
        results.page,
        by_dataset(results, frame.assign(row=frame["corruption"].map(display_name))),
        coloured(results),
        heading=(
            f"Filled: other than the slope of {results.baseline_label}, p ≤ {results.level:.2g}"
        ),
        label=f"Change of {_label(frame)} per level",
        lacking="no score yet",
    )
    return Drawn(figure, frame)


def draw_data_efficiency(results: Results) -> Drawn:
    """Draw one panel per dataset: mean score against the share of the training groups."""
    page, styles, frame = results.page, coloured(results), results.whole("data_efficiency")
    if frame.empty:
        message = "No run on a part of the training groups has been scored yet."
        return draw_message(page, message, frame)
    titled = by_dataset(results, frame)
    width = page.single if len(titled) == 1 else page.double
    legend = legend_mm(len(styles) + 1, width)
    figure, panels = make_grid(page, len(titled), 55, extra_mm=legend)
    for axes, rows in fill_panels(panels, titled, "no score yet"):
        axes.grid(axis="y")
        axes.set_xscale("log")
        draw_curves(axes, rows, "percent", "mean", styles)
        groups = rows.groupby("percent")["training_groups"].max()
        ticks = [f"{percent} %\n({count:g})" for percent, count in groups.items()]
        axes.set_xticks(groups.index.tolist(), ticks, minor=False)
        # a logarithmic axis would write numbers between the shares
        axes.minorticks_off()
        axes.set_xlabel("Share of the training groups (how many)")
        axes.set_ylabel(_label(frame) if leads_row(axes) else "")
    draw_model_legend(figure, styles.values(), lines=True, others=len(results.models) - len(styles))
    return Drawn(figure, frame)


def _label(frame: pd.DataFrame) -> str:
    return score_label(frame["metric"].iloc[0], frame["unit"].iloc[0])
