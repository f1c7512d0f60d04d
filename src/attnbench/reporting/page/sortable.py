"""A table for the page: all rows in one block, so that they sort and filter together."""

from __future__ import annotations

from dataclasses import replace

from attnbench.reporting.tables.render import Block, Cell, Column, Table


def join_blocks(table: Table) -> Table:
    """Return the table with one block; titles, where blocks have any, become a first column."""
    rows = [(block.title, row) for block in table.blocks for row in block.rows]
    if not any(title for title, _ in rows):
        return replace(table, blocks=(Block("", tuple(row for _, row in rows)),))
    return replace(
        table,
        columns=(Column("Dataset", "l"), *table.columns),
        blocks=(Block("", tuple((Cell(title), *row) for title, row in rows)),),
    )
