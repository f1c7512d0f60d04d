"""The report: one HTML file that needs nothing else, from the answer down to the single case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from attnbench.files import write_text
from attnbench.reporting.contents import SECTIONS, Section, absent_tables, figures_of, tables_of
from attnbench.reporting.page.answer import answer_study, question_of
from attnbench.reporting.page.case_browser import browse_cases
from attnbench.reporting.page.pictures import Picture, embed_figure
from attnbench.reporting.page.sortable import join_blocks
from attnbench.reporting.results import Results
from attnbench.reporting.tables import tabulate
from attnbench.reporting.tables.facts import data_in_short
from attnbench.reporting.units import new_units, unit_of_evidence

if TYPE_CHECKING:
    from attnbench.reporting.contents import TableSpec
    from attnbench.reporting.tables.render import Table
    from attnbench.study.settings import Study

_ROOM = 13_000_000  # of the 15 MB for pictures; tables, style and script take the rest


@dataclass(frozen=True)
class Content:
    """A section's own row of the contents, and what the study has for it."""

    section: Section
    tables: list[Table]
    figures: list[Picture]
    absent: list[TableSpec]


def write_report(study: Study) -> None:
    """Write `report.html`: tables from the analysis, figures from `figures/`, and what is missing.

    One file without any address: pictures and PDFs are inside as data (a PDF of more than 600 kB
    is linked beside it), style and script are inline. It has less than 15 MB unless its pictures
    alone take more; then the case browser has the cases that figures show and no others.
    """
    loader = PackageLoader("attnbench.reporting", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results = Results(study)
    contents = list(collect_contents(results))
    # Figures come first: the case browser gets the room that they leave.
    drawn = sum(
        len(picture.shown) + len(picture.pdf) for content in contents for picture in content.figures
    )
    text = environment.get_template("report.html.jinja").render(
        study=study,
        contents=contents,
        question=question_of(results),
        answer=answer_study(results),
        data=data_in_short(results),
        new=new_units(study, results.datasets),
        unit=unit_of_evidence(study, results.datasets),
        cases=browse_cases(results, max(0, _ROOM - drawn)),
        style=Markup(_source(loader, environment, "report.css")),
        script=Markup(_source(loader, environment, "report.js")),
        cases_script=Markup(_source(loader, environment, "cases.js")),
    )
    write_text(study.layout.report, text)


def collect_contents(results: Results) -> Iterator[Content]:
    """Yield the sections in order, without those that have nothing in this study."""
    tables, figures = list(tables_of(results.study)), list(figures_of(results.study))
    absent = list(absent_tables(results.study))
    for section in SECTIONS:
        content = Content(
            section,
            [
                join_blocks(tabulate(results, spec))
                for spec in tables
                if spec.section == section.name
            ],
            [embed_figure(results, each) for each in figures if each.spec.section == section.name],
            [spec for spec in absent if spec.section == section.name],
        )
        if content.tables or content.figures or content.absent:
            yield content


def _source(loader: PackageLoader, environment: Environment, name: str) -> str:
    return loader.get_source(environment, name)[0]
