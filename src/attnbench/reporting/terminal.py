"""The comparison in the terminal, and where everything lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench.reporting.names import FIGURE_FORMATS, TABLE_FORMATS, TABLES, figure_names
from attnbench.reporting.tables.comparison import comparison
from attnbench.reporting.tables.render import Bold

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study import Study

WIDTH = 100


def show_comparison(study: Study) -> None:
    """Print the main result, one table per dataset, then the paths of tables, figures and report.

    At most 100 columns wide; plain text without colours where the output is no terminal.
    """
    console = Console(highlight=False)
    console = Console(highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH)
    table = comparison(study)
    for block in table.blocks:
        shown = Table(title=block.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading, side in zip(table.head, table.align, strict=True):
            shown.add_column(heading, justify="right" if side == "r" else "left", no_wrap=True)
        for row in block.rows:
            shown.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        console.print(shown)
    for note in table.notes:
        console.print(Text(note, style="dim"))
    console.print()
    for label, path in _places(study):
        console.print(f"{label:<9}{path}", soft_wrap=True, markup=False)


def _style(cell: str) -> str:
    if isinstance(cell, Bold):
        return "bold"
    return {"⁺": "green", "⁻": "red"}.get(cell[-1:], "")


def _places(study: Study) -> list[tuple[str, str]]:
    """What there is to open: each path with the formats that exist."""
    layout = study.layout
    files = [
        *(("table", layout.tables / name, TABLE_FORMATS) for name in TABLES),
        *(("figure", layout.figures / name, FIGURE_FORMATS) for name in figure_names(study)),
    ]
    found = [(label, _with_formats(path, formats)) for label, path, formats in files]
    report = [("report", str(layout.report))] if layout.report.exists() else []
    return [(label, path) for label, path in found if path] + report


def _with_formats(path: Path, formats: tuple[str, ...]) -> str:
    there = [suffix for suffix in formats if path.with_suffix(f".{suffix}").exists()]
    return f"{path}.{{{','.join(there)}}}" if there else ""
