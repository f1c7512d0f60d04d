"""What the figures share: a grid of panels, a legend of models, words where something is
missing, and saving.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from attnbench.files import whole_file, write_csv
from attnbench.reporting.frames import read_frame
from attnbench.reporting.style import OTHERS, QUIET, ModelStyle, Page, model_styles, new_figure
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import main_metrics

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from attnbench.study.settings import Study


_CHARACTERS_PER_INCH = 20


@dataclass(frozen=True)
class Drawn:
    """A figure and the numbers it shows."""

    figure: Figure
    frame: pd.DataFrame


def grid(
    page: Page, panels: int, panel_mm: float, extra_mm: float = 0.0, columns: int | None = None
) -> tuple[Figure, list[Axes]]:
    """A journal-wide figure (one column wide for a single panel) of equal panels, `panel_mm` high
    each.

    `extra_mm` is room for a legend; panels shrink where the page would be too short.
    """
    columns = min(columns or page.columns(), panels)
    rows = math.ceil(panels / columns)
    height = min(page.tallest, rows * panel_mm + extra_mm)
    figure = new_figure(page.single if panels == 1 else page.double, height)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def blocks(
    page: Page,
    datasets: int,
    panels: int,
    panel_mm: float,
    extra_mm: float,
    widths_mm: Sequence[float],
) -> tuple[Figure, list[list[Axes]]]:
    """A grid in which every dataset has so many panels and begins a row; returns the panels of each
    dataset.

    `widths_mm` are least widths of a panel: the first one that fits the page's height is taken,
    else the last.
    """
    for width in widths_mm:
        lines = math.ceil(panels / page.columns(width))
        if datasets * lines * panel_mm + extra_mm <= page.tallest:
            break
    columns = math.ceil(panels / lines)
    figure, axes = grid(page, datasets * lines * columns, panel_mm, extra_mm, columns)
    own = [
        axes[place * lines * columns : (place + 1) * lines * columns] for place in range(datasets)
    ]
    for unused in (panel for block in own for panel in block[panels:]):
        unused.remove()
    return figure, [block[:panels] for block in own]


def leads_row(axes: Axes) -> bool:
    """Whether a panel stands first in its row of the grid, where the names of rows are written."""
    place = axes.get_subplotspec()
    return place is None or place.is_first_col()


def ends_column(axes: Axes) -> bool:
    """Whether no panel of the grid stands below this one."""
    place = axes.get_subplotspec()
    others = (panel.get_subplotspec() for panel in axes.figure.axes)
    return place is None or not any(
        other.colspan == place.colspan and other.rowspan.start > place.rowspan.start
        for other in others
        if other
    )


def row_mm(rows: int) -> float:
    """Height of one model's row: generous for few, tight but legible for many."""
    return 7.0 if rows <= 4 else 5.0 if rows <= 8 else 3.8 if rows <= 20 else 3.2


def say(axes: Axes, message: str) -> None:
    """Leave a panel without axes and with one sentence in it: what is missing."""
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        message,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=QUIET,
        wrap=True,
    )


def message_figure(page: Page, message: str, frame: pd.DataFrame) -> Drawn:
    """A small figure that only says what is missing."""
    figure = new_figure(page.single, 25)
    say(figure.add_subplot(), message)
    return Drawn(figure, frame)


def model_rows(axes: Axes, styles: Sequence[ModelStyle], labelled: bool) -> None:
    """One row per model, the first on top, names at the left where `labelled`."""
    axes.set_ylim(len(styles) - 0.45, -0.55)
    axes.set_yticks(range(len(styles)), [style.label if labelled else "" for style in styles])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def head(figure: Figure, words: str, hidden: int = 0) -> None:
    """Write what the panels have in common above them, and how many models they leave out."""
    left_out = f"; {hidden} further models are not shown" if hidden else ""
    figure.suptitle(wrapped(figure, words + left_out), x=0.01, ha="left", fontsize=7)


def wrapped(figure: Figure, text: str) -> str:
    """Text broken into lines as wide as the figure."""
    return textwrap.fill(text, int(figure.get_figwidth() * _CHARACTERS_PER_INCH))


def no_case(study: Study, dataset: str) -> str:
    """What to say where a dataset has no case to show."""
    return f"{display_name(dataset)}: no case to show, no run of seed {study.seeds[0]} has finished"


def coloured(study: Study, most: int = 9) -> dict[str, ModelStyle]:
    """The models drawn in colour: all of up to `most`, else the baseline and those that rank best.

    Curves of the others are drawn in grey behind them; their numbers are in the CSV.
    """
    styles = model_styles(study)
    if len(styles) <= most:
        return styles
    ranks = read_frame(study, "ranks")
    ranks = ranks[(ranks["class"] == "all") & (ranks["metric"] == main_metrics(study.metrics)[0])]
    widest = "all" if (ranks["dataset"] == "all").any() else study.datasets[0].name
    best = ranks[ranks["dataset"] == widest].sort_values("mean_rank", kind="stable")["model"]
    order = dict.fromkeys([study.baseline, *best, *styles])
    kept = set(list(order)[:most])
    return {name: style for name, style in styles.items() if name in kept}


def model_handles(styles: Iterable[ModelStyle], lines: bool, others: int = 0) -> list[Line2D]:
    """What a legend shows for each model: its marker, on its line where `lines`; `others` counts
    those in grey.
    """
    handles = [
        Line2D(
            [], [], color=style.colour, label=style.label, marker=style.marker, markersize=4,
            linestyle=style.dashes if lines else "none",
        )
        for style in styles
    ]  # fmt: skip
    if others:
        look = (
            {"linestyle": "-"} if lines else {"linestyle": "none", "marker": "o", "markersize": 2.5}
        )
        handles.append(Line2D([], [], color=OTHERS, label=f"{others} others", **look))
    return handles


def model_legend(
    figure: Figure, styles: Iterable[ModelStyle], lines: bool, others: int = 0
) -> None:
    """One legend of all models below the panels; `others` counts the models drawn in grey."""
    handles = model_handles(styles, lines, others)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=legend_columns(figure, len(handles))
    )


def legend_columns(figure: Figure, entries: int) -> int:
    """How many legend entries stand beside each other in this figure's width."""
    return max(1, min(entries, int(figure.get_figwidth() * 25.4 // 34)))


def legend_mm(entries: int, width_mm: float) -> float:
    """Height of a legend of so many entries."""
    return 4.0 + 3.6 * math.ceil(entries / max(1, int(width_mm // 34)))


def save(drawn: Drawn, folder: Path, name: str) -> None:
    """Write `name.pdf`, `name.png` and `name.csv`, each whole; same numbers give the same bytes."""
    with whole_file(folder / f"{name}.pdf") as temporary:
        drawn.figure.savefig(temporary, metadata={"CreationDate": None})
    drawn.figure.set_layout_engine("none")
    with whole_file(folder / f"{name}.png") as temporary:
        drawn.figure.savefig(temporary, metadata={"Software": None})
    write_csv(folder / f"{name}.csv", drawn.frame)
