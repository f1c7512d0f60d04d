"""Many estimates with intervals in rows, the models of a row below each other: one panel per
dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.reporting.figures.drawing import grid, head, legend_mm, model_legend, say
from attnbench.reporting.frames import records
from attnbench.reporting.style import NEUTRAL, page_of
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from attnbench.reporting.style import ModelStyle
    from attnbench.study.settings import Study

_PANEL_MM = 80.0


def forest(
    study: Study,
    frame: pd.DataFrame,
    styles: Mapping[str, ModelStyle],
    label: str,
    filled: str,
    lacking: str,
) -> Figure:
    """`slope` with `low` and `high` of every `model` in the row named `row`; filled where `p_holm`
    is significant.

    `label` is the axis', `filled` says what a filled marker means, `lacking` stands where a
    dataset has no row.
    """
    page, level = page_of(study), 1 - study.analysis.confidence
    names = [part.name for part in study.datasets]
    width = page.single if len(names) == 1 else page.double
    rows = int(frame.groupby("dataset")["row"].nunique().max())
    height = rows * max(3.2, 1.7 * len(styles) + 1) + 15
    figure, panels = grid(
        page, len(names), height, legend_mm(len(styles), width) + 4, page.columns(_PANEL_MM)
    )
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(display_name(name))
        own = frame[frame["dataset"] == name]
        if own.empty:
            say(axes, lacking)
            continue
        _panel(axes, own, styles, level)
        axes.set_xlabel(label)
    hidden = frame.loc[~frame["model"].isin(styles), "model"].nunique()
    head(figure, f"Filled: {filled}, p < {level:.2g}", hidden)
    model_legend(figure, styles.values(), lines=False)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, ModelStyle], level: float) -> None:
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
            axes.plot(
                [row["low"], row["high"]],
                [height] * 2,
                color=style.colour,
                linewidth=0.9,
                solid_capstyle="butt",
            )
            axes.plot(
                row["slope"],
                height,
                marker=style.marker,
                color=style.colour,
                markerfacecolor=filled,
            )
    axes.locator_params(axis="x", nbins=5)
