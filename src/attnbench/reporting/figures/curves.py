"""Curves, one per model: the coloured ones in front, the others in grey behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.reporting.style import OTHERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.style import ModelStyle

_BANDS_UP_TO = 6


def draw_curves(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    styles: Mapping[str, ModelStyle],
    markers: int = 1,
) -> None:
    """Draw one line per model; behind up to six coloured ones the band from `low` to `high`.

    Args:
        axes: the panel.
        rows: one row per point, columns `model`, `low`, `high` and those named by x and y.
        x: column across, by which points are joined.
        y: column up.
        styles: the models in colour.
        markers: one in so many points has a marker.
    """
    for _, line in rows[~rows["model"].isin(styles)].groupby("model", sort=False):
        ordered = line.sort_values(x)
        axes.plot(ordered[x], ordered[y], color=OTHERS, linewidth=0.5, zorder=1.5)
    for number, (model, style) in enumerate(styles.items()):
        line = rows[rows["model"] == model].sort_values(x)
        if line.empty:
            continue
        # markers of different models start at different points, lest they cover each other
        axes.plot(
            line[x], line[y], color=style.colour, linestyle=style.dashes, marker=style.marker,
            markevery=(number % markers, markers), zorder=3,
        )  # fmt: skip
        if len(styles) <= _BANDS_UP_TO:
            across, low, high = (line[name].to_numpy(float) for name in (x, "low", "high"))
            axes.fill_between(across, low, high, color=style.colour, alpha=0.15, linewidth=0)
