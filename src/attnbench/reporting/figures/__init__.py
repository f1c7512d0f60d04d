"""Figures for a paper: each as PDF and PNG, with the CSV it was drawn from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from attnbench.errors import StudyError, nearest
from attnbench.reporting.contents import figures_of
from attnbench.reporting.results import Results

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def draw_figure(study: Study, name: str) -> None:
    """Write `figures/<name>.{pdf,png,csv}`; what the study lacks is said in the figure.

    Raises:
        StudyError: the study has no such figure; names those it has.
    """
    # matplotlib takes a second to import: only the figure that is drawn pays for it
    from attnbench.reporting.figures.drawing import save
    from attnbench.reporting.style import styled

    figures = {figure.name: figure for figure in figures_of(study)}
    if name not in figures:
        raise StudyError(f"the study has no figure {name!r}; {nearest(name, figures)}")
    figure = figures[name]
    module = import_module(f"{__name__}.{figure.spec.module}")
    draw = getattr(module, f"draw_{figure.spec.name}")
    dataset = (figure.dataset,) if figure.spec.per_dataset else ()
    with styled():
        save(draw(Results(study), *dataset), study.layout.figures, name)
