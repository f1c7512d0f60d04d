"""Forest plot: every model's difference from the baseline, with interval and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.figures.drawing import (
    Drawn,
    grid,
    leads_row,
    message_figure,
    model_rows,
    row_mm,
    say,
)
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.style import NEUTRAL, QUIET, model_styles, page_of
from attnbench.reporting.words import display_name, display_unit
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study


_PANEL_MM = 45.0
_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}


def effects(study: Study) -> Drawn:
    """One panel per dataset and main metric; filled where Holm's p is below 1 - confidence, open
    where not.

    Dotted lines are the margin of equivalence, for metrics that have one.
    """
    metrics = main_metrics(study.metrics)
    frame = read_frame(study, "effects")
    frame = frame[(frame["class"] == "all") & frame["metric"].isin(metrics)].reset_index(drop=True)
    names = [part.name for part in study.datasets]
    variants = [part.name for part in study.models if part.name != study.baseline]
    page = page_of(study)
    if not variants:
        return message_figure(
            page, f"No effects: the study has {display_name(study.baseline)} alone.", frame
        )
    columns = len(metrics) * max(1, page.columns(_PANEL_MM) // len(metrics))
    height = len(variants) * row_mm(len(variants)) + 15
    figure, panels = grid(page, len(names) * len(metrics), height, columns=columns)
    for position, axes in enumerate(panels):
        name, metric = names[position // len(metrics)], metrics[position % len(metrics)]
        rows = frame[(frame["dataset"] == name) & (frame["metric"] == metric)]
        axes.set_title(display_name(name) if position % len(metrics) == 0 else " ")
        if rows.empty:
            say(axes, "no effect yet")
            continue
        _panel(axes, study, rows, metric, labelled=leads_row(axes))
    return Drawn(figure, frame)


def _panel(axes: Axes, study: Study, rows: pd.DataFrame, metric: str, labelled: bool) -> None:
    styles = {name: style for name, style in model_styles(study).items() if name != study.baseline}
    model_rows(axes, list(styles.values()), labelled)
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
    for margin in rows["margin"].dropna().unique():
        for place in (-margin, margin):
            axes.axvline(place, color=QUIET, linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=1)
    for place, (name, style) in enumerate(styles.items()):
        found = rows[rows["model"] == name]
        if found.empty:
            axes.text(
                0.02,
                place,
                "no pair",
                transform=axes.get_yaxis_transform(),
                va="center",
                color=QUIET,
                bbox=_PLATE,
            )
        for row in records(found):
            filled = style.colour if row["p_holm"] < 1 - study.analysis.confidence else "white"
            axes.plot(
                [row["low"], row["high"]],
                [place] * 2,
                color=style.colour,
                linewidth=1.2,
                solid_capstyle="butt",
            )
            axes.plot(
                row["difference"], place, marker=style.marker, color=style.colour, markerfacecolor=filled,
                markersize=4.5, markeredgewidth=1,
            )  # fmt: skip
    axes.margins(x=0.08)
    _shade_better(axes, METRICS[metric].higher_is_better)
    unit = display_unit(str(rows["unit"].iloc[0]))
    axes.set_xlabel(f"Δ {METRICS[metric].label}{f' ({unit})' if unit else ''}")
    axes.locator_params(axis="x", nbins=3)


def _shade_better(axes: Axes, higher_is_better: bool) -> None:
    """Tint the side of zero on which a model is better than the baseline."""
    low, high = axes.get_xlim()
    low, high = min(low, -0.05 * high), max(high, -0.05 * low)
    axes.axvspan(
        *((0, high) if higher_is_better else (low, 0)), color="#eef4ee", zorder=0, linewidth=0
    )
    axes.set_xlim(low, high)
    place, side = (1.0, "right") if higher_is_better else (0.0, "left")
    axes.text(
        place,
        1.0,
        "better",
        transform=axes.transAxes,
        ha=side,
        va="bottom",
        color="#3d6b3d",
        fontsize=6,
    )
