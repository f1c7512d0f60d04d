"""Figures for a paper: each as PDF and PNG, with the CSV it was drawn from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from attnbench.errors import StudyError, nearest
from attnbench.reporting.figures.cases import cases
from attnbench.reporting.figures.difficulty import difficulty, difficulty_slopes
from attnbench.reporting.figures.drawing import Drawn, save
from attnbench.reporting.figures.effects import effects
from attnbench.reporting.figures.heatmaps import heatmap_classes, heatmap_metrics
from attnbench.reporting.figures.learning import learning
from attnbench.reporting.figures.pareto import pareto
from attnbench.reporting.figures.ranks import rank_stability, ranks
from attnbench.reporting.figures.scores import scores
from attnbench.reporting.names import CASES, figure_names
from attnbench.reporting.style import styled

if TYPE_CHECKING:
    from attnbench.study import Study

_FIGURES: dict[str, Callable[[Study], Drawn]] = {
    "scores": scores,
    "effects": effects,
    "heatmap_classes": heatmap_classes,
    "heatmap_metrics": heatmap_metrics,
    "pareto": pareto,
    "learning": learning,
    "difficulty": difficulty,
    "difficulty_slopes": difficulty_slopes,
    "ranks": ranks,
    "rank_stability": rank_stability,
}


def draw_figure(study: Study, name: str) -> None:
    """Write `figures/<name>.{pdf,png,csv}`; `StudyError` names the figures there are. What is missing is said in it."""
    if name not in figure_names(study):
        raise StudyError(f"the study has no figure {name!r}; {nearest(name, figure_names(study))}")
    draw = partial(cases, dataset=name.removeprefix(CASES)) if name.startswith(CASES) else _FIGURES[name]
    with styled():
        save(draw(study), study.layout.figures, name)
