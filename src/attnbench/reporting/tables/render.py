"""A table as Markdown and LaTeX: the same cells, escaped for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_PAGE = 45

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
    "[": "{[}",
    "]": "{]}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "/": r"/\allowbreak{}",
    "µ": r"$\mu$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "⁺": r"$^{+}$",
    "⁻": r"$^{-}$",
    "†": r"$^{\dagger}$",
    "→": r"$\rightarrow$",
}
_TEX_TABLE = str.maketrans(_TEX)


class Bold(str):
    """A cell in bold."""


@dataclass(frozen=True)
class Block:
    """Rows that belong together, such as those of one dataset."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """One table: `frame` holds the numbers as they are, `blocks` what a reader sees.

    `align` has one LaTeX column type per heading (`l`, `r`, `c` or `p{...}`, which wraps).
    """

    name: str
    caption: str
    head: tuple[str, ...]
    align: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    frame: pd.DataFrame

    @property
    def wraps(self) -> bool:
        """Whether a column wraps its text, so that the table is as wide as the page by itself."""
        return any(side.startswith("p") for side in self.align)

    @property
    def columns(self) -> str:
        """The LaTeX column specification."""
        ragged = r">{\raggedright\arraybackslash}"
        return "".join(ragged + side if side.startswith("p") else side for side in self.align)


def to_tex(text: str) -> str:
    """LaTeX of a plain text or `Bold` cell."""
    escaped = str(text).translate(_TEX_TABLE)
    return rf"\textbf{{{escaped}}}" if isinstance(text, Bold) else escaped


def to_md(text: str) -> str:
    """Markdown of a plain text or `Bold` cell."""
    escaped = (
        str(text).replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
    )
    escaped = escaped.replace("<", "&lt;")
    return f"**{escaped}**" if isinstance(text, Bold) else escaped


def pages(blocks: tuple[Block, ...], rows_per_page: int = ROWS_PER_PAGE) -> list[list[Block]]:
    """Blocks distributed over floats that fit a page: whole blocks where they fit, longer ones
    cut.
    """
    result: list[list[Block]] = []
    left = 0
    for block in (part for whole in blocks for part in _cut(whole, rows_per_page)):
        if not result or len(block.rows) + 1 > left:
            result.append([])
            left = rows_per_page
        result[-1].append(block)
        left -= len(block.rows) + 1
    return result


def _cut(block: Block, rows_per_page: int) -> Iterator[Block]:
    size = rows_per_page - 1
    for start in range(0, max(1, len(block.rows)), size):
        yield replace(
            block,
            title=f"{block.title} (continued)" if start else block.title,
            rows=block.rows[start : start + size],
        )


def render_md(table: Table) -> str:
    """The table as Markdown, one section per block."""
    environment = Environment(
        loader=_loader(), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["md"] = to_md
    return environment.get_template("table.md.jinja").render(table=table).strip() + "\n"


def render_tex(table: Table) -> str:
    """The table as LaTeX floats (booktabs) that fit the text width of one- and two-column
    documents.
    """
    environment = Environment(
        loader=_loader(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters["tex"] = to_tex
    return (
        environment.get_template("table.tex.jinja")
        .render(table=table, pages=pages(table.blocks))
        .strip()
        + "\n"
    )


def _loader() -> PackageLoader:
    return PackageLoader("attnbench.reporting", "templates")
