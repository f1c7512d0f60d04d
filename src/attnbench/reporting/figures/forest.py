"""Forests: rows of estimates with their intervals, the models of a row below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.reporting.figures.drawing import (
    draw_model_legend,
    fill_panels,
    legend_mm,
    make_grid,
    write_heading,
)
from attnbench.reporting.results import records
from attnbench.reporting.style import NEUTRAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from attnbench.reporting.style import ModelStyle, Page

_PANEL_MM = 80.0


def draw_forest(
    page: Page,
    titled: Sequence[tuple[str, pd.DataFrame]],
    styles: Mapping[str, ModelStyle],
    heading: str,
    label: str,
    lacking: str,
) -> Figure:
    """Draw one panel per dataset: every model's slope in every row, filled where significant.

    Args:
        page: the page.
        titled: title and rows of each panel, columns `row` (its name), `model`, `slope`, `low`,
            `high`, `significant`.
        styles: the models shown; the heading counts the others.
        heading: text above the panels.
        label: label of the axis of slopes.
        lacking: sentence for a panel without rows.
    """
    width = page.single if len(titled) == 1 else page.double
    lines = max(rows["row"].nunique() for _, rows in titled)
    height = lines * max(3.2, 1.7 * len(styles) + 1) + 15
    legend = legend_mm(len(styles), width) + 4
    figure, panels = make_grid(page, len(titled), height, legend, page.columns(_PANEL_MM))
    for axes, rows in fill_panels(panels, titled, lacking):
        _panel(axes, rows, styles)
        axes.set_xlabel(label)
    models = {model for _, rows in titled for model in rows["model"]}
    write_heading(figure, heading, len(models - set(styles)))
    draw_model_legend(figure, styles.values(), lines=False)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> None:
    names = list(dict.fromkeys(rows["row"]))
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    for line in range(1, len(names)):
        axes.axhline(line - 0.5, color="#ececec", linewidth=0.6, zorder=0)
    for number, (model, style) in enumerate(styles.items()):
        # the models of a row share 78 % of its height, which leaves a gap between rows
        shift = 0.78 * ((number + 0.5) / len(styles) - 0.5)
        for row in records(rows[rows["model"] == model]):
            draw_estimate(axes, row, "slope", names.index(row["row"]) + shift, style, width=0.9)
    axes.locator_params(axis="x", nbins=5)


def draw_estimate(
    axes: Axes,
    row: Mapping[str, float],
    column: str,
    height: float,
    style: ModelStyle,
    width: float,
    **marker: Any,
) -> None:
    """Draw an estimate on its interval; the marker is filled where the row is `significant`.

    Args:
        axes: the panel.
        row: the estimate with `low`, `high` and `significant`.
        column: the estimate's name.
        height: where it stands, in rows.
        style: look of its model.
        width: of the interval's line, in points.
        marker: further properties of the marker.
    """
    axes.plot(
        [row["low"], row["high"]], [height] * 2, color=style.colour, linewidth=width,
        solid_capstyle="butt",
    )  # fmt: skip
    axes.plot(
        row[column], height, marker=style.marker, color=style.colour,
        markerfacecolor=style.colour if row["significant"] else "white", **marker,
    )  # fmt: skip
