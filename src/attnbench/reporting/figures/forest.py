"""Many estimates with intervals in rows, the models of a row below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.reporting.frames import records
from attnbench.reporting.style import NEUTRAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.style import ModelStyle


def forest_mm(rows: int, models: int) -> float:
    """Height of a forest of so many rows, with its axis."""
    return rows * max(3.2, 1.7 * models + 1) + 15


def forest(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, ModelStyle], level: float) -> None:
    """`slope` with `low` and `high` of every `model` in the row named `row`; filled where `p_holm` is below `level`."""
    words = list(dict.fromkeys(rows["row"]))
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(words)), words)
    axes.set_ylim(len(words) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    for line in range(1, len(words)):
        axes.axhline(line - 0.5, color="#ececec", linewidth=0.6, zorder=0)
    for place, (name, style) in enumerate(styles.items()):
        shift = 0.78 * ((place + 0.5) / len(styles) - 0.5)
        for row in records(rows[rows["model"] == name]):
            height = words.index(row["row"]) + shift
            filled = style.colour if row["p_holm"] < level else "white"
            axes.plot([row["low"], row["high"]], [height] * 2, color=style.colour, linewidth=0.9, solid_capstyle="butt")
            axes.plot(row["slope"], height, marker=style.marker, color=style.colour, markerfacecolor=filled)
    axes.locator_params(axis="x", nbins=5)
