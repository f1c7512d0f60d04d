"""Forest plot: every model's difference from the baseline, with interval and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.reporting.figures.drawing import (
    Drawn,
    draw_message,
    leads_row,
    make_grid,
    row_mm,
    score_label,
    set_model_rows,
    write_message,
)
from attnbench.reporting.figures.forest import draw_estimate
from attnbench.reporting.results import ALL, records
from attnbench.reporting.style import NEUTRAL, QUIET

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle


_PANEL_MM = 45.0
_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}


def draw_effects(results: Results) -> Drawn:
    """Draw one panel per dataset and main metric; filled where significant after Holm.

    Dotted lines are the margin of equivalence, for metrics that have one.
    """
    metrics, page = results.metrics, results.page
    frame = results.frame("effects")
    frame = frame[(frame["class"] == ALL) & frame["metric"].isin(metrics)].reset_index(drop=True)
    if not results.compared:
        message = f"No effects: the study has {results.baseline_label} alone."
        return draw_message(page, message, frame)
    styles = {name: results.styles[name] for name in results.compared}
    columns = len(metrics) * max(1, page.columns(_PANEL_MM) // len(metrics))
    height = len(styles) * row_mm(len(styles)) + 15
    pairs = [(dataset, metric) for dataset in results.datasets for metric in metrics]
    figure, panels = make_grid(page, len(pairs), height, columns=columns)
    for axes, (dataset, metric) in zip(panels, pairs, strict=True):
        rows = frame[(frame["dataset"] == dataset) & (frame["metric"] == metric)]
        # a space keeps the title's height, so that panels of one row stay level
        axes.set_title(results.dataset_label(dataset) if metric == metrics[0] else " ")
        if rows.empty:
            write_message(axes, "no effect yet")
            continue
        _panel(axes, rows, styles)
    return Drawn(figure, frame)


def _panel(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> None:
    set_model_rows(axes, list(styles.values()), leads_row(axes))
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
    for margin in rows["margin"].dropna().unique():
        for bound in (-margin, margin):
            axes.axvline(bound, color=QUIET, linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=1)
    for height, (model, style) in enumerate(styles.items()):
        effects = records(rows[rows["model"] == model])
        if not effects:
            axes.text(
                0.02, height, "no pair", transform=axes.get_yaxis_transform(), va="center",
                color=QUIET, bbox=_PLATE,
            )  # fmt: skip
        for row in effects:
            draw_estimate(
                axes, row, "difference", height, style, width=1.2, markersize=4.5, markeredgewidth=1
            )
    axes.margins(x=0.08)
    first = rows.iloc[0]
    _shade_better(axes, bool(first["higher_is_better"]))
    axes.set_xlabel(f"Δ {score_label(first['metric'], first['unit'])}")
    axes.locator_params(axis="x", nbins=3)


def _shade_better(axes: Axes, higher_is_better: bool) -> None:
    """Tint the side of zero on which a model is better than the baseline."""
    low, high = axes.get_xlim()
    # zero stays in sight, with a narrow strip of the side on which nothing lies
    low, high = min(low, -0.05 * high), max(high, -0.05 * low)
    side, edge, better = ("right", 1.0, (0, high)) if higher_is_better else ("left", 0.0, (low, 0))
    axes.axvspan(*better, color="#eef4ee", zorder=0, linewidth=0)
    # the span has widened the axis by a margin
    axes.set_xlim(low, high)
    axes.text(
        edge, 1.0, "better", transform=axes.transAxes, ha=side, va="bottom", color="#3d6b3d",
        fontsize=6,
    )  # fmt: skip
