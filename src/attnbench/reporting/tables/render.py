"""A table and its cells, and both as Markdown and LaTeX, escaped for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_PAGE = 45
"""Rows in `\\footnotesize` that fit a float page of the article class, titles of blocks counted."""

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    # A row that begins with [ would be read as the argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "/": r"/\allowbreak{}",
    "µ": r"$\mu$",
    "Δ": r"$\Delta$",
    "γ": r"$\gamma$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "⁺": r"$^{+}$",
    "⁻": r"$^{-}$",
    "†": r"$^{\dagger}$",
    "§": r"\S{}",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
}
_TEX_TABLE = str.maketrans(_TEX)


@dataclass(frozen=True)
class Cell:
    """One cell: a `text`, the `mark` behind it, and whether both are in bold.

    `narrow` stands in its place where there is little room, as in the terminal.
    """

    text: str
    mark: str = ""
    strong: bool = False
    narrow: Cell | None = None

    def __str__(self) -> str:
        return self.text + self.mark


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """One column: its heading and LaTeX column type (`l`, `r` or `p{...}`, which wraps).

    A `wide` column is left out where there is little room.
    """

    heading: str
    align: str = "r"
    wide: bool = False

    @property
    def wraps(self) -> bool:
        """True where the column wraps its text."""
        return self.align.startswith("p")

    @property
    def tex(self) -> str:
        """The LaTeX column specification."""
        return rf">{{\raggedright\arraybackslash}}{self.align}" if self.wraps else self.align


@dataclass(frozen=True)
class Block:
    """Rows that belong together, such as those of one dataset, and what stands `behind` them."""

    title: str
    rows: tuple[Row, ...]
    behind: str = ""


@dataclass(frozen=True)
class Table:
    """One table: `frame` holds the numbers as they are, `blocks` what a reader sees."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    frame: pd.DataFrame

    @property
    def wraps(self) -> bool:
        """True where a column wraps its text: the table is then as wide as the page by itself."""
        return any(column.wraps for column in self.columns)


def plain_row(*cells: str | Cell) -> Row:
    """Return a row in which plain texts have become cells."""
    return tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells)


def to_tex(text: str) -> str:
    """Return plain text as LaTeX."""
    return text.translate(_TEX_TABLE)


def to_md(text: str) -> str:
    """Return plain text as Markdown that stays one cell of a table."""
    # The backslash first: those that escape the others are not escaped again.
    for special in "\\|*_":
        text = text.replace(special, f"\\{special}")
    return text.replace("<", "&lt;")


def without_tags(text: str) -> str:
    """Return Markdown in which nothing that a study or a catalog names is taken for HTML.

    >>> without_tags("p < 0.05, <b>bold</b>")
    'p < 0.05, &lt;b>bold&lt;/b>'
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def _tex_cell(cell: Cell) -> str:
    text = to_tex(str(cell))
    return rf"\textbf{{{text}}}" if cell.strong else text


def _md_cell(cell: Cell) -> str:
    text = to_md(str(cell))
    return f"**{text}**" if cell.strong else text


def pages(blocks: tuple[Block, ...], rows_per_page: int = ROWS_PER_PAGE) -> list[list[Block]]:
    """Distribute blocks over floats that fit a page; only longer ones are cut."""
    result: list[list[Block]] = []
    left = 0
    for block in (piece for whole in blocks for piece in _cut(whole, rows_per_page)):
        if not result or len(block.rows) + 1 > left:
            result.append([])
            left = rows_per_page
        result[-1].append(block)
        left -= len(block.rows) + 1
    return result


def _cut(block: Block, rows_per_page: int) -> Iterator[Block]:
    size = rows_per_page - 1  # the title takes a row
    for start in range(0, max(1, len(block.rows)), size):
        yield replace(
            block,
            title=f"{block.title} (continued)" if start else block.title,
            rows=block.rows[start : start + size],
        )


def render_md(table: Table) -> str:
    """Return the table as Markdown, one section per block."""
    environment = Environment(
        loader=_loader(), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"md": to_md, "cell": _md_cell}
    return environment.get_template("table.md.jinja").render(table=table).strip() + "\n"


def render_tex(table: Table) -> str:
    """Return the table as booktabs floats that fit one- and two-column documents."""
    environment = Environment(
        loader=_loader(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # LaTeX is full of braces, so the template's own marks are others.
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters |= {"tex": to_tex, "cell": _tex_cell}
    template = environment.get_template("table.tex.jinja")
    return template.render(table=table, pages=pages(table.blocks)).strip() + "\n"


def _loader() -> PackageLoader:
    return PackageLoader("attnbench.reporting", "templates")
