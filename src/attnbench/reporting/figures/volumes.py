"""Three slices at right angles through volumes, with the reference's outline."""

from __future__ import annotations

import textwrap
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
    draw_outline,
    shortened,
    show_plane,
)
from attnbench.reporting.format import decimals, number
from attnbench.reporting.results import scored_runs
from attnbench.reporting.slices import image_plane, mask_plane, plane_of, read_prediction
from attnbench.reporting.style import new_figure
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.data.store import CaseStore
    from attnbench.reporting.results import Results
    from attnbench.reporting.slices import Plane
    from attnbench.study.paths import Run

_CASE_MM = 90.0
_MODELS = 6
_PLANES = {2: "xy", 1: "xz", 0: "yz"}  # by the axis that is cut; the axial slice comes first
_COLUMNS = ["dataset", "case", "rule", "model", "fold", "seed", "metric", "value", "x", "y", "z"]


def draw_slices(results: Results, dataset: str) -> Drawn:
    """Draw rows of models, three slices per case: prediction, and the reference's outline.

    Shown are the first of the cases that the analysis chose, cut across each axis where the
    reference is largest.
    """
    page, metric = results.page, results.metric
    chosen = results.chosen_cases(dataset)[: max(1, int(page.double // _CASE_MM))]
    if not chosen:
        return draw_message(page, no_case(results, dataset), pd.DataFrame(columns=_COLUMNS))
    store, styles = results.store(dataset), coloured(results, _MODELS)
    cuts = [
        (choice, plane_of(store, store.index(choice.case), axis))
        for choice in chosen
        for axis in _PLANES
    ]
    shape = float(np.mean([plane.box[1] / plane.box[0] for _, plane in cuts]))
    height = (1 + len(styles)) * (page.double / len(cuts) * shape + 4) + 14
    figure = new_figure(page.double, min(page.tallest, height))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.02)
    panels = figure.subplots(1 + len(styles), len(cuts), squeeze=False)
    for axes, (choice, plane) in zip(panels[0], cuts, strict=True):
        first = plane.axis == next(iter(_PLANES))
        title = f"{choice.rule}: {shortened(choice.case)}\n" * first + _PLANES[plane.axis or 0]
        _slice(axes, store, choice.case, plane, store.reference(store.index(choice.case)), title)
    panels[0, 0].set_ylabel("Reference", fontsize=6)
    runs, rows = scored_runs(results, dataset), []
    for line, (model, style) in zip(panels[1:], styles.items(), strict=True):
        line[0].set_ylabel(textwrap.fill(style.label, 16), fontsize=6)
        for position, choice in enumerate(chosen):
            own = slice(len(_PLANES) * position, len(_PLANES) * (position + 1))
            run, value = runs.get((model, choice.case), (None, float("nan")))
            _row_of_slices(
                line[own].tolist(), results, store, [cut for _, cut in cuts[own]], choice.case, run
            )
            line[own][0].title.set_text(
                f"{METRICS[metric].label} {number(value, decimals(METRICS[metric].unit))}"
            )
            if run:
                # positions of the cuts in the columns x, y, z, whatever the order of the panels
                rows.append((
                    dataset, choice.case, choice.rule.lower(), model, run.fold, run.seed, metric,
                    value,
                    *(cut.index for _, cut in sorted(cuts[own], key=lambda cut: cut[1].axis or 0)),
                ))  # fmt: skip
    draw_class_legend(figure, store.info.classes)
    write_heading(
        figure,
        f"{results.dataset_label(dataset)}; white: outline of the reference",
        len(results.models) - len(styles),
    )
    return Drawn(figure, pd.DataFrame(rows, columns=_COLUMNS))


def _row_of_slices(
    panels: list[Axes],
    results: Results,
    store: CaseStore,
    planes: list[Plane],
    case: str,
    run: Run | None,
) -> None:
    """Show one model's slices of one case; the reference's outline is white."""
    prediction = read_prediction(results, run, case) if run else None
    reference = store.reference(store.index(case))
    for axes, plane in zip(panels, planes, strict=True):
        _slice(axes, store, case, plane, prediction, "")
        if prediction is not None:
            draw_outline(
                axes, mask_plane(reference, store, store.index(case), plane) > 0, plane, "white"
            )


def _slice(axes: Axes, store: CaseStore, case: str, plane: Plane, mask: Any, title: str) -> None:
    """Show one slice with the classes of `mask`, or say that there is no prediction."""
    i = store.index(case)
    if mask is None:
        show_plane(axes, None, None, plane, title)
    else:
        show_plane(
            axes, image_plane(store, i, plane), mask_plane(mask, store, i, plane), plane, title
        )
