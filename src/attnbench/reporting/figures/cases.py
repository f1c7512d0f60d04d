"""Cases chosen by rule: image, reference and every model's prediction side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attnbench.analysis.case_choice import Choice
from attnbench.analysis.case_values import case_values
from attnbench.data.store import CaseStore
from attnbench.layout import Run
from attnbench.reporting.figures.drawing import Drawn, message_figure, no_case
from attnbench.reporting.figures.panels import class_legend, shortened, show_plane, wrap_titles
from attnbench.reporting.figures.predictions import read_prediction
from attnbench.reporting.format import decimals, number
from attnbench.reporting.frames import shown_cases
from attnbench.reporting.names import display_name, main_metrics
from attnbench.reporting.slices import Plane, image_plane, mask_plane, plane_of
from attnbench.reporting.style import Page, new_figure, page_of
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study import Study

_MARGIN_MM = 6.0
_TITLE_MM = 3.0
_READABLE_MM = 17.0
_COLUMNS = ["dataset", "case", "rule", "of_model", "model", "fold", "seed", "metric", "value", "slice"]


def cases(study: Study, dataset: str) -> Drawn:
    """Rows of cases: median and worst of the baseline, largest gain and loss; predicted by the first seed's runs."""
    page, metric, seed = page_of(study), main_metrics(study.metrics)[0], study.seeds[0]
    values = case_values(study, metric, seed)
    values = values[values["dataset"] == dataset]
    chosen = shown_cases(study, dataset)
    if not chosen:
        return message_figure(page, no_case(study, dataset), pd.DataFrame(columns=_COLUMNS))
    store = CaseStore.open(study.layout.prepared(dataset))
    planes = [plane_of(store, store.index(choice.case)) for choice in chosen]
    lines, columns, height = _arrangement(page, 2 + len(study.models), planes)
    figure = new_figure(page.double, height)
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.02)
    panels = figure.subplots(len(chosen) * lines, columns, squeeze=False)
    rows = []
    for place, (choice, plane) in enumerate(zip(chosen, planes, strict=True)):
        own = panels[place * lines : (place + 1) * lines].ravel().tolist()
        rows += _case(own, study, store, choice, plane, values[values["case"] == choice.case], metric)
        own[0].set_ylabel(f"{choice.rule}\n{shortened(choice.case)}")
    wrap_titles(panels.ravel().tolist(), (page.double - _MARGIN_MM) / columns)
    class_legend(figure, store.info.classes)
    heading = f"{display_name(dataset)}: {METRICS[metric].label} of the case in brackets"
    figure.suptitle(heading, x=0.01, ha="left", fontsize=7)
    return Drawn(figure, pd.DataFrame(rows, columns=_COLUMNS))


def _arrangement(page: Page, panels: int, planes: list[Plane]) -> tuple[int, int, float]:
    """Lines per case, columns, and the figure's height in mm.

    As few lines as keep panels wide enough to read; where none does, the widest panels that fit one page.
    """
    shape = float(np.median([plane.box[1] / plane.box[0] for plane in planes]))
    options = []
    for lines in range(1, 7):
        columns = math.ceil(panels / lines)
        width = (page.double - _MARGIN_MM) / columns
        titles = _TITLE_MM * (1 if width > 30 else 2 if width > 18 else 3)
        height = len(planes) * lines * (width * shape + titles + 1.0) + 14
        shrink = min(1.0, page.tallest / height)
        options.append((width * shrink, lines, columns, min(height, page.tallest)))
    wide = [option for option in options if option[0] >= _READABLE_MM]
    return (wide[0] if wide else max(options))[1:]


def _case(
    panels: list[Axes], study: Study, store: CaseStore, choice: Choice, plane: Plane, values: pd.DataFrame, metric: str
) -> list[dict[str, Any]]:
    i = store.index(choice.case)
    image = image_plane(store, i, plane)
    show_plane(panels[0], image, None, plane, "Image")
    show_plane(panels[1], image, mask_plane(store.reference(i), store, i, plane), plane, "Reference")
    rows: list[dict[str, Any]] = []
    for axes, model in zip(panels[2:], (part.name for part in study.models), strict=False):
        found = values[values["model"] == model]
        if found.empty:
            show_plane(axes, None, None, plane, display_name(model))
            continue
        run = Run(str(found["dataset"].iloc[0]), model, int(found["fold"].iloc[0]), study.seeds[0])
        prediction = read_prediction(study, run, choice.case)
        value = float(found["value"].iloc[0])
        shown = f"{display_name(model)} ({number(value, decimals(METRICS[metric].unit))})"
        show_plane(axes, image, None if prediction is None else mask_plane(prediction, store, i, plane), plane, shown)
        axes.title.set_fontweight("bold" if model == choice.model else "normal")
        facts = (run.dataset, choice.case, choice.rule.lower(), choice.model, model, run.fold, run.seed, metric, value)
        rows.append(dict(zip(_COLUMNS, (*facts, plane.index), strict=True)))
    for axes in panels[2 + len(study.models) :]:
        axes.set_axis_off()
    return rows
