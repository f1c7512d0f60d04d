"""Tables for a paper, each as CSV (every digit), Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attnbench.files import write_csv, write_text
from attnbench.reporting.contents import table_names
from attnbench.reporting.results import Results
from attnbench.reporting.tables.comparison import comparison
from attnbench.reporting.tables.controls import controls
from attnbench.reporting.tables.cost import cost
from attnbench.reporting.tables.effects import effects
from attnbench.reporting.tables.facts import tabulate_datasets, tabulate_protocol
from attnbench.reporting.tables.per_class import per_class
from attnbench.reporting.tables.render import Table, render_md, render_tex
from attnbench.reporting.tables.shift import corruption, data_efficiency, transfer

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_BUILDERS: dict[str, Callable[[Study], Table]] = {
    "comparison": comparison,
    "effects": effects,
    "per_class": per_class,
    "cost": cost,
    "datasets": lambda study: tabulate_datasets(Results(study)),
    "protocol": lambda study: tabulate_protocol(Results(study)),
    "controls": controls,
    "transfer": transfer,
    "corruption": corruption,
    "data_efficiency": data_efficiency,
}


def build_tables(study: Study) -> list[Table]:
    """Every table of the study."""
    return [_BUILDERS[name](study) for name in table_names(study)]


def write_tables(study: Study) -> None:
    """Write `tables/<name>.{csv,md,tex}` for every table of the study; what is missing is said
    in its notes.
    """
    for table in build_tables(study):
        path = study.layout.tables / table.name
        write_csv(path.with_suffix(".csv"), table.frame)
        write_text(path.with_suffix(".md"), render_md(table))
        write_text(path.with_suffix(".tex"), render_tex(table))
