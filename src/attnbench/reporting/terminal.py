"""The comparison in the terminal, and where everything lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from attnbench.reporting.contents import (
    FIGURE_FORMATS,
    TABLE_FORMATS,
    TABLES,
    figure_names,
    table_names,
)
from attnbench.reporting.page.answer import answer_study
from attnbench.reporting.results import Results
from attnbench.reporting.tables import tabulate

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.reporting.tables.render import Block, Cell, Column
    from attnbench.study.settings import Study

WIDTH = 100
_COLOURS = {"⁺": "green", "⁻": "red"}


def show_comparison(study: Study) -> None:
    """Print the answer, one table per dataset, then the paths of tables, figures and report.

    At most 100 columns wide; plain text without colours where the output is no terminal. The p
    values and the further metrics' intervals are in the table files; here the marks stand beside
    the differences.
    """
    # The first console only measures the terminal; a file or pipe has no width of its own.
    console = Console(highlight=False)
    console = Console(
        highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH
    )
    results = Results(study)
    comparison = next(spec for spec in TABLES if spec.name == "comparison")
    table, answer = tabulate(results, comparison), answer_study(results)
    sentences = (f"{answer.verdict}.", answer.retrained, answer.size)
    console.print(Text(" ".join(filter(None, sentences)), style="bold"))
    console.print()
    for block in table.blocks:
        console.print(_grid(block, table.columns))
    for note in table.notes:
        console.print(Text(note, style="dim"))
    console.print()
    for label, path in _files(study):
        console.print(f"{label:<12}{path}", soft_wrap=True, markup=False)


def _grid(block: Block, columns: tuple[Column, ...]) -> Grid:
    """Return a block without its wide columns."""
    grid = Grid(
        title=f"{block.title}: {block.behind}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        if not column.wide:
            numeric = column.align == "r"
            grid.add_column(column.heading, justify="right" if numeric else "left", no_wrap=numeric)
    for row in block.rows:
        pairs = zip(row, columns, strict=True)
        grid.add_row(*(_text(cell) for cell, column in pairs if not column.wide))
    return grid


def _text(cell: Cell) -> Text:
    shown = cell.narrow or cell
    style = "bold" if shown.strong else _COLOURS.get(shown.mark[:1], "")
    return Text(str(shown), style=style)


def _files(study: Study) -> Iterator[tuple[str, str]]:
    """Yield the files there are to open, each with the formats beside it."""
    layout = study.layout
    for name in table_names(study):
        yield from _formats("table", layout.tables / f"{name}.md", TABLE_FORMATS)
    for name in figure_names(study):
        yield from _formats("figure", layout.figures / f"{name}.pdf", FIGURE_FORMATS)
    yield from ((label, str(path)) for label, path in _exports(study) if path.exists())


def _exports(study: Study) -> Iterator[tuple[str, Path]]:
    layout = study.layout
    yield "methods", layout.methods
    yield "bibtex", layout.references
    yield "ranking", layout.challenger
    yield from (
        ("claims", layout.claims_reloaded(dataset.name)) for dataset in study.trained_datasets
    )
    yield "cards", layout.cards
    yield "parquet", layout.parquet
    yield "provenance", layout.provenance
    yield "report", layout.report


def _formats(label: str, path: Path, formats: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if path.exists():
        others = [path.with_suffix(f".{ending}") for ending in formats]
        beside = [other.suffix for other in others if other != path and other.exists()]
        yield label, f"{path} (also {', '.join(beside)})"
