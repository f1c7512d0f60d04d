"""A table for the page: the blocks' titles become a column, so that all rows sort and filter
together.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.reporting.tables.render import Bold, Table


@dataclass(frozen=True)
class Sortable:
    """What the template shows: `numeric` says for every column whether it is aligned right."""

    name: str
    caption: str
    head: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: tuple[tuple[bool, ...], ...]
    notes: tuple[str, ...]


def sortable(table: Table, title: str = "Dataset") -> Sortable:
    """The same cells in one block; `title` heads the column of the blocks' titles where they
    have any.
    """
    titled = any(block.title for block in table.blocks)
    rows = [
        ((block.title, *row) if titled else row) for block in table.blocks for row in block.rows
    ]
    return Sortable(
        name=table.name,
        caption=table.caption,
        head=(title, *table.head) if titled else table.head,
        numeric=(*([False] if titled else []), *(side == "r" for side in table.align)),
        rows=tuple(rows),
        bold=tuple(tuple(isinstance(cell, Bold) for cell in row) for row in rows),
        notes=table.notes,
    )
