"""The comparison in the terminal, and where everything lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench.reporting.format import NOTHING
from attnbench.reporting.tables.comparison import comparison
from attnbench.reporting.tables.render import Block, Bold
from attnbench.reporting.words import FIGURE_FORMATS, TABLE_FORMATS, figure_names, table_names

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.settings import Study

WIDTH = 100
_COLOURS = {"⁺": "green", "⁻": "red"}


def show_comparison(study: Study) -> None:
    """Print the main result, one table per dataset, then the paths of tables, figures and report.

    At most 100 columns wide; plain text without colours where the output is no terminal. The p
    values and the further metrics' intervals are in the table files; here the marks stand beside
    the differences.
    """
    console = Console(highlight=False)
    console = Console(
        highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH
    )
    table = comparison(study)
    kept = [
        place for place, heading in enumerate(table.head) if heading not in ("p", "Cases", "Groups")
    ]
    for block in table.blocks:
        console.print(_table(block, table.head, kept))
    for note in table.notes:
        console.print(Text(note, style="dim"))
    console.print()
    for label, path in _places(study):
        console.print(f"{label:<12}{path}", soft_wrap=True, markup=False)


def _table(block: Block, head: tuple[str, ...], kept: list[int]) -> Table:
    title = f"{block.title}: {_counts(block)}"
    shown = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for place in kept:
        shown.add_column(head[place], justify="right" if place else "left", no_wrap=bool(place))
    for row in block.rows:
        shown.add_row(*(_cell(row, head, place) for place in kept))
    return shown


def _counts(block: Block) -> str:
    """Cases and groups behind the block's rows, as ranges where they differ."""
    words = []
    for place, unit in ((-2, "cases"), (-1, "groups")):
        found = list(dict.fromkeys(row[place] for row in block.rows if row[place] != NOTHING)) or [
            "no"
        ]
        words.append(f"{' or '.join(found)} {unit}")
    return ", ".join(words)


def _cell(row: tuple[str, ...], head: tuple[str, ...], place: int) -> Text:
    """One cell; a difference carries the mark of the p value that follows it."""
    text = row[place]
    if place > 2 and head[place + 1].startswith("Δ"):
        text = type(text)(text.split(" [")[0])
    follows = row[place + 1] if place + 1 < len(head) and head[place + 1] == "p" else ""
    mark = follows[len(follows.rstrip("".join(_COLOURS))) :]
    return Text(text + mark, style="bold" if isinstance(text, Bold) else _COLOURS.get(mark[:1], ""))


def _places(study: Study) -> Iterator[tuple[str, str]]:
    """What there is to open: each file, and the formats it comes in beside that."""
    layout = study.layout
    for name in table_names(study):
        yield from _found("table", layout.tables / f"{name}.md", TABLE_FORMATS)
    for name in figure_names(study):
        yield from _found("figure", layout.figures / f"{name}.pdf", FIGURE_FORMATS)
    exports = {
        "methods": layout.methods,
        "bibtex": layout.references,
        "ranking": layout.challenger,
        "parquet": layout.parquet,
        "provenance": layout.provenance,
        "report": layout.report,
    }
    yield from ((label, str(path)) for label, path in exports.items() if path.exists())


def _found(label: str, path: Path, formats: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if path.exists():
        beside = [f".{ending}" for ending in formats if path.with_suffix(f".{ending}").exists()]
        yield (
            label,
            f"{path} (also {', '.join(ending for ending in beside if ending != path.suffix)})",
        )
