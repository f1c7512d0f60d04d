"""Pairs of images that are copies of each other, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attnbench.reporting.figures.drawing import Drawn, draw_message
from attnbench.reporting.figures.panels import shortened, show_plane
from attnbench.reporting.results import records
from attnbench.reporting.slices import image_plane, plane_of
from attnbench.reporting.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results

_MOST = 12
_ACROSS = 3
_PANEL_MM = 34.0
_COPY = "all pixels equal"


def draw_duplicates(results: Results) -> Drawn:
    """Draw up to twelve pairs of all datasets, those in different groups first."""
    frame = results.frame("duplicates")
    rows = records(frame.sort_values("across_groups", ascending=False, kind="stable"))
    if not rows:
        return draw_message(results.page, "No image was found to be a copy of another", frame)
    shown = rows[:_MOST]
    lines = math.ceil(len(shown) / _ACROSS)
    page = results.page
    figure = new_figure(page.double, min(page.tallest, lines * _PANEL_MM + 8))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.03)
    panels = figure.subplots(lines, 2 * _ACROSS, squeeze=False).ravel().tolist()
    for number, row in enumerate(shown):
        _show_pair(panels[2 * number : 2 * number + 2], results, row)
    for axes in panels[2 * len(shown) :]:
        axes.set_axis_off()
    left_out = f"; {len(rows) - len(shown)} more in the table" if len(rows) > len(shown) else ""
    figure.suptitle(f"{len(rows)} pair(s) of copies{left_out}")
    return Drawn(figure, frame)


def _show_pair(pair: list[Axes], results: Results, row: dict[str, Any]) -> None:
    store = results.store(row["dataset"])
    how = _COPY if row["kind"] == "exact" else f"correlation {row['correlation']:.2f}"
    where = "different groups" if row["across_groups"] else "one group"
    below = f"{results.dataset_label(row['dataset'])}, {where}"
    for axes, side, text in zip(pair, "ab", (below, f"{how}, {row['turn']}"), strict=True):
        i = store.index(row[f"case_{side}"])
        plane = plane_of(store, i)
        show_plane(axes, image_plane(store, i, plane), None, plane, shortened(row[f"case_{side}"]))
        axes.set_xlabel(text, fontsize="x-small", wrap=True)
