"""Lines of models over something: the coloured ones in front, the others in grey behind them."""

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
    """One line per model of `rows` (`model`, `x`, `y`, `low`, `high`), sorted by `x`, with about
    every n-th marked.

    The band from `low` to `high` stands behind up to six coloured models.
    """
    for model, own in rows.groupby("model", sort=False):
        if model not in styles:
            line = own.sort_values(x)
            axes.plot(line[x], line[y], color=OTHERS, linewidth=0.5, zorder=1.5)
    for place, (model, style) in enumerate(styles.items()):
        line = rows[rows["model"] == model].sort_values(x)
        if line.empty:
            continue
        axes.plot(
            line[x], line[y], color=style.colour, linestyle=style.dashes, marker=style.marker,
            markevery=(place % markers, markers), zorder=3,
        )  # fmt: skip
        if len(styles) <= _BANDS_UP_TO:
            low, high = line["low"].to_numpy(float), line["high"].to_numpy(float)
            axes.fill_between(
                line[x].to_numpy(float), low, high, color=style.colour, alpha=0.15, linewidth=0
            )
