"""Tables for a paper, each as CSV (every digit), Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from attnbench.files import write_csv, write_text
from attnbench.reporting.contents import tables_of
from attnbench.reporting.machines import machine_notes
from attnbench.reporting.origins import origin_notes
from attnbench.reporting.recipes import recipe_notes
from attnbench.reporting.results import Results
from attnbench.reporting.splits import split_notes
from attnbench.reporting.tables.render import Table, render_md, render_tex

if TYPE_CHECKING:
    from attnbench.reporting.contents import TableSpec
    from attnbench.study.settings import Study


def tabulate(results: Results, spec: TableSpec) -> Table:
    """Build the table of one row of the contents.

    Each says how recipes and machines differ, if they do, what was predicted elsewhere, if anything
    was, and how datasets are split, if not by drawn folds.
    """
    module = import_module(f"attnbench.reporting.tables.{spec.module}")
    table: Table = getattr(module, f"tabulate_{spec.name}")(results)
    said = (*recipe_notes(results), *origin_notes(results), *split_notes(results))
    notes = (*table.notes, *said, *machine_notes(results))
    return replace(table, notes=notes)


def write_tables(study: Study) -> None:
    """Write `tables/<name>.{csv,md,tex}` for every table; notes say what is missing."""
    results = Results(study)
    for spec in tables_of(study):
        if not spec.page_only:
            table = tabulate(results, spec)
            path = study.layout.tables / table.name
            write_csv(path.with_suffix(".csv"), table.frame)
            write_text(path.with_suffix(".md"), render_md(table))
            write_text(path.with_suffix(".tex"), render_tex(table))
