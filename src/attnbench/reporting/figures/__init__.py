"""Figures for a paper: each as PDF and PNG, with the CSV it was drawn from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from attnbench.errors import StudyError, nearest
from attnbench.reporting.figures.attention import attention
from attnbench.reporting.figures.calibration import calibration
from attnbench.reporting.figures.cases import cases
from attnbench.reporting.figures.difficulty import difficulty, difficulty_slopes
from attnbench.reporting.figures.drawing import Drawn, save
from attnbench.reporting.figures.effects import effects
from attnbench.reporting.figures.heatmaps import heatmap_classes, heatmap_metrics
from attnbench.reporting.figures.learning import learning
from attnbench.reporting.figures.pareto import pareto
from attnbench.reporting.figures.ranks import rank_stability, ranks
from attnbench.reporting.figures.scores import scores
from attnbench.reporting.figures.shift import corruption, corruption_slopes, data_efficiency
from attnbench.reporting.figures.surfaces import surface
from attnbench.reporting.figures.transfer import transfer
from attnbench.reporting.figures.volumes import slices
from attnbench.reporting.style import styled
from attnbench.reporting.words import ATTENTION, CASES, SLICES, SURFACE, figure_names

if TYPE_CHECKING:
    from attnbench.study.settings import Study

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
    "calibration": calibration,
    "corruption": corruption,
    "corruption_slopes": corruption_slopes,
    "transfer": transfer,
    "data_efficiency": data_efficiency,
}
_OF_DATASET: dict[str, Callable[..., Drawn]] = {
    CASES: cases,
    ATTENTION: attention,
    SLICES: slices,
    SURFACE: surface,
}


def draw_figure(study: Study, name: str) -> None:
    """Write `figures/<name>.{pdf,png,csv}`; `StudyError` names the figures there are. What is
    missing is said in it.
    """
    if name not in figure_names(study):
        raise StudyError(f"the study has no figure {name!r}; {nearest(name, figure_names(study))}")
    draw = _FIGURES.get(name) or next(
        partial(draw, dataset=name.removeprefix(kind))
        for kind, draw in _OF_DATASET.items()
        if name.startswith(kind)
    )
    with styled():
        save(draw(study), study.layout.figures, name)
