"""Shared parts of figures: panels, legend of models, messages about what is missing, saving."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from attnbench.files import whole_file, write_csv
from attnbench.reporting.results import ALL
from attnbench.reporting.style import OTHERS, QUIET, ModelStyle, Page, new_figure
from attnbench.reporting.words import display_unit
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from attnbench.reporting.results import Results


# estimates for text of 7 points: a heading, and the marker and name of a model
_CHARACTERS_PER_INCH = 20
_LEGEND_ENTRY_MM = 34


@dataclass(frozen=True)
class Drawn:
    """A figure and the numbers it shows."""

    figure: Figure
    frame: pd.DataFrame


def make_grid(
    page: Page, panels: int, panel_mm: float, extra_mm: float = 0.0, columns: int | None = None
) -> tuple[Figure, list[Axes]]:
    """Make a figure of equal panels as wide as the page; one column wide for a single panel.

    Args:
        page: the page; panels shrink where it would be too short.
        panels: how many there are.
        panel_mm: height of one.
        extra_mm: room for a legend.
        columns: panels beside each other at most; as many as the page has room for if None.
    """
    columns = min(columns or page.columns(), panels)
    rows = math.ceil(panels / columns)
    height = min(page.tallest, rows * panel_mm + extra_mm)
    figure = new_figure(page.single if panels == 1 else page.double, height)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    # the last row may have fewer panels than columns
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def make_blocks(
    page: Page,
    datasets: int,
    panels: int,
    panel_mm: float,
    extra_mm: float,
    widths_mm: Sequence[float],
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure in which every dataset has as many panels and begins a row.

    Args:
        page: the page.
        datasets: how many there are.
        panels: those of each dataset.
        panel_mm: height of one.
        extra_mm: room for a legend.
        widths_mm: least widths of a panel; the first that fits the page's height counts, else
            the last.
    """
    for width in widths_mm:
        lines = math.ceil(panels / page.columns(width))
        if datasets * lines * panel_mm + extra_mm <= page.tallest:
            break
    columns = math.ceil(panels / lines)
    size = lines * columns
    figure, axes = make_grid(page, datasets * size, panel_mm, extra_mm, columns)
    blocks = [axes[size * number : size * (number + 1)] for number in range(datasets)]
    for unused in (panel for block in blocks for panel in block[panels:]):
        unused.remove()
    return figure, [block[:panels] for block in blocks]


def by_dataset(results: Results, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Label and rows of every dataset of the study, also of one without rows."""
    return [
        (results.dataset_label(name), frame[frame["dataset"] == name]) for name in results.datasets
    ]


def fill_panels(
    panels: Sequence[Axes], titled: Sequence[tuple[str, pd.DataFrame]], lacking: str
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Title every panel and yield it with its rows; one without rows gets the message `lacking`."""
    for axes, (title, rows) in zip(panels, titled, strict=True):
        axes.set_title(title)
        if rows.empty:
            write_message(axes, lacking)
        else:
            yield axes, rows


def leads_row(axes: Axes) -> bool:
    """Tell if no drawn panel stands to the left of this one: names of rows are written here."""
    cell = axes.get_subplotspec()
    if cell is None:
        return True
    neighbours = ((panel, panel.get_subplotspec()) for panel in axes.figure.axes)
    return not any(
        # a panel with a message has no axes, and therefore no names of rows
        panel.axison and other.rowspan == cell.rowspan and other.colspan.stop == cell.colspan.start
        for panel, other in neighbours
        if other
    )


def ends_column(axes: Axes) -> bool:
    """Tell if no panel of the grid stands below this one."""
    cell = axes.get_subplotspec()
    others = (panel.get_subplotspec() for panel in axes.figure.axes)
    return cell is None or not any(
        other.colspan == cell.colspan and other.rowspan.start > cell.rowspan.start
        for other in others
        if other
    )


def row_mm(rows: int) -> float:
    """Height of one model's row in mm: generous for few, tight but legible for many."""
    return 7.0 if rows <= 4 else 5.0 if rows <= 8 else 3.8 if rows <= 20 else 3.2


def write_message(axes: Axes, message: str) -> None:
    """Hide a panel's axes and write one message in its middle: what is missing."""
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", color=QUIET,
        wrap=True,
    )  # fmt: skip


def draw_message(page: Page, message: str, frame: pd.DataFrame) -> Drawn:
    """Draw a small figure that only says what is missing."""
    figure = new_figure(page.single, 25)
    write_message(figure.add_subplot(), message)
    return Drawn(figure, frame)


def set_model_rows(axes: Axes, styles: Sequence[ModelStyle], labelled: bool) -> None:
    """Give each model a row, the first on top, with names at the left where `labelled`."""
    # half a row of margin, upside down: the first model of the study stands on top
    axes.set_ylim(len(styles) - 0.45, -0.55)
    axes.set_yticks(range(len(styles)), [style.label if labelled else "" for style in styles])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def write_heading(figure: Figure, text: str, hidden: int = 0) -> None:
    """Write above the panels their common heading, and how many models they leave out."""
    left_out = f"; {hidden} further models are not shown" if hidden else ""
    figure.suptitle(wrapped(figure, text + left_out), x=0.01, ha="left", fontsize=7)


def wrapped(figure: Figure, text: str) -> str:
    """Break text into lines as wide as the figure."""
    return textwrap.fill(text, int(figure.get_figwidth() * _CHARACTERS_PER_INCH))


def score_label(metric: str, unit: str) -> str:
    """Label of an axis: the metric, with its unit in brackets where it has one."""
    shown = display_unit(unit)
    return f"{METRICS[metric].label}{f' ({shown})' if shown else ''}"


def no_case(results: Results, dataset: str) -> str:
    """Sentence for a dataset without a case to show."""
    label, seed = results.dataset_label(dataset), results.study.seeds[0]
    return f"{label}: no case to show, no run of seed {seed} has finished"


def coloured(results: Results, most: int = 9) -> dict[str, ModelStyle]:
    """Choose models to colour: all of up to `most`, else the baseline, what was predicted
    elsewhere, and those that rank best.

    Curves of the others are drawn in grey behind them; their numbers are in the CSV.
    """
    if len(results.styles) <= most:
        return results.styles
    ranks = results.whole("ranks")
    widest = ALL if (ranks["dataset"] == ALL).any() else results.datasets[0]
    best = ranks[ranks["dataset"] == widest].sort_values("mean_rank", kind="stable")["model"]
    order = dict.fromkeys([results.baseline, *results.study.elsewhere, *best, *results.styles])
    kept = set(list(order)[:most])
    return {name: style for name, style in results.styles.items() if name in kept}


def model_handles(styles: Iterable[ModelStyle], lines: bool, others: int = 0) -> list[Line2D]:
    """Make legend entries: each model's marker, on its line where `lines`, `others` in grey."""
    handles = [
        Line2D(
            [], [], color=style.colour, label=style.label, marker=style.marker, markersize=4,
            linestyle=style.dashes if lines else "none",
        )
        for style in styles
    ]  # fmt: skip
    if others:
        marker = {"linestyle": "none", "marker": "o", "markersize": 2.5}
        look = {"linestyle": "-"} if lines else marker
        handles.append(Line2D([], [], color=OTHERS, label=f"{others} others", **look))
    return handles


def draw_model_legend(
    figure: Figure, styles: Iterable[ModelStyle], lines: bool, others: int = 0
) -> None:
    """Draw one legend of all models below the panels.

    Args:
        figure: the figure, its panels drawn.
        styles: the models in colour.
        lines: show each marker on its line.
        others: number of the models in grey.
    """
    handles = model_handles(styles, lines, others)
    columns = int(figure.get_figwidth() * 25.4 // _LEGEND_ENTRY_MM)
    columns = max(1, min(len(handles), columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def legend_mm(entries: int, width_mm: float) -> float:
    """Height in mm of a legend with this many entries, below a figure of this width."""
    return 4.0 + 3.6 * math.ceil(entries / max(1, int(width_mm // _LEGEND_ENTRY_MM)))


def save(drawn: Drawn, folder: Path, name: str) -> None:
    """Write `name.pdf`, `name.png` and `name.csv`, each whole; same numbers give the same bytes."""
    # a date of creation would make the file another one at every drawing
    with whole_file(folder / f"{name}.pdf") as temporary:
        drawn.figure.savefig(temporary, metadata={"CreationDate": None})
    # the layout of the PDF holds for the PNG too: solving it again would take as long as drawing
    drawn.figure.set_layout_engine("none")
    with whole_file(folder / f"{name}.png") as temporary:
        drawn.figure.savefig(temporary, metadata={"Software": None})
    write_csv(folder / f"{name}.csv", drawn.frame)
