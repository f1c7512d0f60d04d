"""The report: one HTML file that needs nothing else, from the answer down to the single case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from attnbench.files import write_text
from attnbench.reporting.page.answer import answer
from attnbench.reporting.page.case_browser import case_browser
from attnbench.reporting.page.content import environment, hashes, slopes, tabulate_models
from attnbench.reporting.page.pictures import pictures
from attnbench.reporting.page.sortable import sortable
from attnbench.reporting.results import Results
from attnbench.reporting.tables import build_tables

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_OWN = (slopes, environment, hashes)
_ROOM = 13_000_000


def write_report(study: Study) -> None:
    """Write `report.html`: tables from the analysis, figures from `figures/`; what is missing is
    said where it lacks.

    One file without any address: pictures and PDFs are inside as data (a PDF of more than 600 kB
    is linked beside it), style and script are inline. It has less than 15 MB unless its pictures
    alone take more; then the case browser has the cases that figures show and no others.
    """
    loader = PackageLoader("attnbench.reporting", "templates")
    pages = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    every = [
        *build_tables(study),
        *(build(study) for build in _OWN),
        tabulate_models(Results(study)),
    ]
    tables = {table.name: sortable(table) for table in every}
    figures = pictures(study)
    drawn = sum(len(each.shown) + len(each.pdf) for section in figures.values() for each in section)
    text = pages.get_template("report.html.jinja").render(
        study=study,
        answer=answer(study),
        tables=tables,
        figures=figures,
        cases=case_browser(study, max(0, _ROOM - drawn)),
        style=Markup(_source(loader, pages, "report.css")),
        script=Markup(_source(loader, pages, "report.js")),
        cases_script=Markup(_source(loader, pages, "cases.js")),
    )
    write_text(study.layout.report, text)


def _source(loader: PackageLoader, pages: Environment, name: str) -> str:
    return loader.get_source(pages, name)[0]
