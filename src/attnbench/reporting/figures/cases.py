"""Cases chosen by rule: image and reference, every model's prediction and its errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    draw_message,
    no_case,
    write_heading,
)
from attnbench.reporting.figures.panels import (
    draw_class_legend,
    shortened,
    show_errors,
    show_plane,
    wrap_titles,
)
from attnbench.reporting.format import decimals, number
from attnbench.reporting.results import scored_runs
from attnbench.reporting.slices import Plane, image_plane, mask_plane, plane_of, read_prediction
from attnbench.reporting.style import Page, new_figure
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.analysis.case_choice import Choice
    from attnbench.data.store import CaseStore
    from attnbench.reporting.results import Results
    from attnbench.study.paths import Run

_MARGIN_MM = 6.0
_TITLE_MM = 3.0
_READABLE_MM = 17.0  # the narrowest panel in which errors can still be seen in print
_COLOURED = 9
_COLUMNS = [
    "dataset", "case", "rule", "of_model", "model", "fold", "seed", "metric", "value", "slice",
]  # fmt: skip


def draw_cases(results: Results, dataset: str) -> Drawn:
    """Draw rows of cases: image above reference, then predictions above maps of their errors.

    Of more than nine models, those with the largest gain and loss are shown, and of those in
    colour elsewhere as many as leave the panels wide enough to read.
    """
    page, metric = results.page, results.metric
    chosen = results.chosen_cases(dataset)
    if not chosen:
        return draw_message(page, no_case(results, dataset), pd.DataFrame(columns=_COLUMNS))
    store, runs = results.store(dataset), scored_runs(results, dataset)
    planes = [plane_of(store, store.index(choice.case)) for choice in chosen]
    # fewer models until the panels can be read; those of the chosen cases always stay
    for most in range(_COLOURED, 0, -1):
        wanted = {*coloured(results, most), *(choice.model for choice in chosen)}
        models = [name for name in results.models if name in wanted]
        width, rows_of_case, columns, height = _arrangement(page, 1 + len(models), planes)
        if width >= _READABLE_MM or len(results.models) <= _COLOURED:
            break
    figure = new_figure(page.double, height)
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.02)
    panels = figure.subplots(len(chosen) * rows_of_case, columns, squeeze=False)
    rows: list[tuple[Any, ...]] = []
    for position, (choice, plane) in enumerate(zip(chosen, planes, strict=True)):
        own = panels[position * rows_of_case :][:rows_of_case]
        # the two panels of a pair stand below each other, or beside each other in a single row
        halves = (own[::2], own[1::2]) if rows_of_case > 1 else (own[:, ::2], own[:, 1::2])
        pairs = list(zip(*(half.ravel() for half in halves), strict=True))
        _originals(pairs[0], store, choice, plane)
        for pair, model in zip(pairs[1:], models, strict=False):
            scored = runs.get((model, choice.case))
            _compared(pair, results, store, choice, plane, model, scored)
            if scored:
                run, value = scored
                facts = (
                    dataset, choice.case, choice.rule.lower(), choice.model, model, run.fold,
                    run.seed,
                )  # fmt: skip
                rows.append((*facts, metric, value, plane.index))
        for axes in (axes for pair in pairs[1 + len(models) :] for axes in pair):
            axes.set_axis_off()
    wrap_titles(panels.ravel().tolist(), (page.double - _MARGIN_MM) / columns)
    draw_class_legend(figure, store.info.classes, errors=True)
    heading = f"{results.dataset_label(dataset)}: {METRICS[metric].label} of the case in brackets"
    write_heading(figure, heading, len(results.models) - len(models))
    return Drawn(figure, pd.DataFrame(rows, columns=_COLUMNS))


def _arrangement(page: Page, pairs: int, planes: list[Plane]) -> tuple[float, int, int, float]:
    """Choose panel width in mm, rows of panels per case, columns, and the figure's height in mm.

    The two panels of a pair stand beside each other in one row if that leaves them wide enough to
    read, else below each other, in as few lines as keep them readable; where none does, the
    widest panels that fit one page.
    """
    shape = float(np.median([plane.box[1] / plane.box[0] for plane in planes]))
    options = []
    for rows, columns in [
        (1, 2 * pairs),
        *((2 * lines, math.ceil(pairs / lines)) for lines in range(1, 7)),
    ]:
        width = (page.double - _MARGIN_MM) / columns
        titles = _TITLE_MM * (1 if width > 30 else 2 if width > 18 else 3)
        height = len(planes) * (rows * (width * shape + 1.5) + max(1, rows // 2) * titles) + 14
        # panels keep their shape: on a page too short for them they get narrower, too
        shrink = min(1.0, page.tallest / height)
        options.append((width * shrink, rows, columns, min(height, page.tallest)))
    wide = [option for option in options if option[0] >= _READABLE_MM]
    return wide[0] if wide else max(options)


def _originals(pair: tuple[Axes, Axes], store: CaseStore, choice: Choice, plane: Plane) -> None:
    i = store.index(choice.case)
    image = image_plane(store, i, plane)
    show_plane(pair[0], image, None, plane, "Image")
    show_plane(pair[1], image, mask_plane(store.reference(i), store, i, plane), plane, "Reference")
    pair[0].set_ylabel(f"{choice.rule}\n{shortened(choice.case)}")


def _compared(
    pair: tuple[Axes, Axes],
    results: Results,
    store: CaseStore,
    choice: Choice,
    plane: Plane,
    model: str,
    scored: tuple[Run, float] | None,
) -> None:
    """Show a model's prediction with its score in one panel, the errors of it in the other."""
    prediction = read_prediction(results, scored[0], choice.case) if scored else None
    if scored is None or prediction is None:
        show_plane(pair[0], None, None, plane, results.drawn_label(model))
        pair[1].set_axis_off()
        return
    i, unit = store.index(choice.case), METRICS[results.metric].unit
    image, mask = image_plane(store, i, plane), mask_plane(prediction, store, i, plane)
    show_plane(
        pair[0],
        image,
        mask,
        plane,
        f"{results.drawn_label(model)} ({number(scored[1], decimals(unit))})",
    )
    pair[0].title.set_fontweight("bold" if model == choice.model else "normal")
    show_errors(pair[1], image, mask, mask_plane(store.reference(i), store, i, plane), plane)
