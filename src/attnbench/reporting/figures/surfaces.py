"""Surfaces of predicted volumes, coloured by their distance from the surface of the reference."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from skimage.measure import marching_cubes

from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    draw_message,
    no_case,
    write_heading,
)
from attnbench.reporting.figures.panels import shortened
from attnbench.reporting.results import scored_runs
from attnbench.reporting.slices import read_prediction
from attnbench.reporting.style import QUIET, ModelStyle, Page, new_figure
from attnbench.reporting.words import display_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D
    from numpy.typing import NDArray

    from attnbench.reporting.results import Results
    from attnbench.study.paths import Run

_PANEL_MM = 36.0
_MOST_VOXELS = 96  # along a side: finer surfaces cannot be seen in print, and take long to draw
_SCALE_END = 0.98  # quantile: a few far-off points would leave all others in one colour
_COLUMNS = [
    "dataset", "case", "rule", "class", "model", "fold", "seed", "unit", "points", "mean",
    "largest",
]  # fmt: skip
# towards the light, of length 1: it shines from the viewer, a little from above
_LIGHT = np.array([0.35, -0.75, 0.56])


@dataclass(frozen=True)
class Surface:
    """A closed surface: `points` (n, 3) in the spacing's unit, `faces` (m, 3) indices into them."""

    points: NDArray[np.float64]
    faces: NDArray[np.int64]


@dataclass(frozen=True)
class PredictedClass:
    """One class of one model's prediction; no surface where the class was not predicted.

    `away` (n,) is the distance of every point of `mesh` from the surface of the reference.
    """

    number: int
    model: str
    mesh: Surface | None = None
    away: NDArray[np.float64] | None = None


def surface_of(region: NDArray[np.bool_], spacing: Sequence[float]) -> Surface:
    """Compute the surface of a region (X, Y, Z) that is not empty; beyond the array is outside.

    Lorensen and Cline, Marching cubes, SIGGRAPH 1987. Regions longer than 96 voxels are sampled
    more coarsely.
    """
    step = max(1, -(-max(region.shape) // _MOST_VOXELS))
    # a rim of background closes the surface where the region touches the array's edge
    coarse = np.pad(region[::step, ::step, ::step], 1).astype(np.float32)
    points, faces, *_ = marching_cubes(coarse, 0.5)
    # minus 1: the rim has moved the region by one voxel
    return Surface((points - 1) * step * np.asarray(spacing), faces.astype(np.int64))


def distances(surface: Surface, other: Surface) -> NDArray[np.float64]:
    """Distance (n,) of every point to the nearest of the other surface, in the spacing's unit."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(other.points).query(surface.points)[0])


def draw_surface(results: Results, dataset: str) -> Drawn:
    """Draw one row per class of the first chosen case: reference, then models."""
    page, chosen = results.page, results.chosen_cases(dataset)[:1]
    if not chosen:
        return draw_message(page, no_case(results, dataset), pd.DataFrame(columns=_COLUMNS))
    store, choice = results.store(dataset), chosen[0]
    i, styles = store.index(choice.case), coloured(results, max(2, page.columns(_PANEL_MM) - 1))
    reference, spacing = store.reference(i), store.original_spacing(i)
    classes = {
        int(key): name for key, name in store.info.classes.items() if (reference == int(key)).any()
    }
    if not classes:
        message = f"{results.dataset_label(dataset)}: the reference of {choice.case} is empty"
        return draw_message(page, message, pd.DataFrame(columns=_COLUMNS))
    truth = {number: surface_of(reference == number, spacing) for number in classes}
    predictions, rows = [], []
    for model, (run, mask) in _predicted(results, dataset, choice.case, list(styles)).items():
        for number in classes:
            if not (mask == number).any():
                predictions.append(PredictedClass(number, model))
                continue
            mesh = surface_of(mask == number, spacing)
            away = distances(mesh, truth[number])
            predictions.append(PredictedClass(number, model, mesh, away))
            facts = (dataset, choice.case, choice.rule.lower(), number, model, run.fold, run.seed)
            rows.append((*facts, store.info.spacing_unit, len(away), away.mean(), away.max()))
    unit = display_unit(store.info.spacing_unit)
    figure = _panels(
        page,
        classes,
        truth,
        {(prediction.number, prediction.model): prediction for prediction in predictions},
        styles,
        unit,
    )
    write_heading(
        figure,
        f"{results.dataset_label(dataset)}, {choice.rule.lower()} case {shortened(choice.case)}",
        len(results.models) - len(styles),
    )
    return Drawn(figure, pd.DataFrame(rows, columns=_COLUMNS))


def _predicted(
    results: Results, dataset: str, case: str, models: Sequence[str]
) -> dict[str, tuple[Run, NDArray[np.uint8]]]:
    """Run and predicted classes (X, Y, Z) by model, of the models that predicted the case."""
    runs = {
        model: run
        for (model, scored_case), (run, _) in scored_runs(results, dataset).items()
        if scored_case == case
    }
    masks = {
        model: read_prediction(results, runs[model], case) for model in models if model in runs
    }
    return {model: (runs[model], mask) for model, mask in masks.items() if mask is not None}


def _panels(
    page: Page,
    classes: dict[int, str],
    truth: dict[int, Surface],
    predictions: dict[tuple[int, str], PredictedClass],
    styles: dict[str, ModelStyle],
    unit: str,
) -> Figure:
    """Draw references in grey, and models on one scale per class that holds 98 % of the points."""
    figure = new_figure(page.double, min(page.tallest, (_PANEL_MM + 3) * len(classes) + 8))
    panels = figure.subplots(
        len(classes), 1 + len(styles), squeeze=False, subplot_kw={"projection": "3d"}
    )
    for line, (number, name) in zip(panels, classes.items(), strict=True):
        meshes = [
            truth[number],
            *(
                prediction.mesh
                for prediction in predictions.values()
                if prediction.number == number and prediction.mesh
            ),
        ]
        points = np.concatenate([mesh.points for mesh in meshes])
        box = points.min(axis=0), points.max(axis=0)
        away = [
            prediction.away
            for prediction in predictions.values()
            if prediction.number == number and prediction.away is not None
        ]
        # one box and one scale for a whole row, so that its models can be compared
        end = float(np.quantile(np.concatenate(away), _SCALE_END)) if away else 0.0
        scale = ScalarMappable(Normalize(0, end or 1.0), colormaps["viridis"])
        _draw(
            line[0], truth[number], np.tile(to_rgb("#c9c9c9"), (len(truth[number].faces), 1)), box
        )
        _entitle(line[0], f"Reference: {name}")
        for axes, (model, style) in zip(line[1:], styles.items(), strict=True):
            prediction = predictions.get((number, model))
            _entitle(axes, style.label)
            if prediction and prediction.mesh and prediction.away is not None:
                _draw(
                    axes,
                    prediction.mesh,
                    scale.to_rgba(prediction.away[prediction.mesh.faces].mean(axis=1))[:, :3],
                    box,
                )
            else:
                axes.text2D(
                    0.5, 0.5, "nothing predicted" if prediction else "no prediction",
                    transform=axes.transAxes, ha="center", color=QUIET,
                )  # fmt: skip
        bar = figure.colorbar(
            scale, ax=line.tolist(), location="right", shrink=0.7, aspect=14, extend="max", pad=0.01
        )
        bar.set_label(f"Distance ({unit})")
    return figure


def _entitle(axes: Axes3D, title: str) -> None:
    axes.set_axis_off()
    axes.set_title(textwrap.fill(title, 22), fontsize=6, fontweight="normal", loc="center", pad=0)


def _draw(axes: Axes3D, mesh: Surface, colours: NDArray[np.float64], box: tuple[Any, Any]) -> None:
    """Draw a surface, one colour (m, 3) per face, darker where it turns away from the light."""
    corners = mesh.points[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    # both sides of a face are lit alike: the order of its corners may turn it either way
    facing = np.abs(normals @ _LIGHT) / np.where(lengths > 0, lengths, 1.0)
    shaded = colours * (0.7 + 0.3 * facing)[:, None]
    axes.add_collection3d(
        # antialiasing would leave seams between the faces
        Poly3DCollection(
            corners, facecolors=shaded, edgecolors="none", antialiased=False, rasterized=True,
            clip_on=False,
        )
    )  # fmt: skip
    axes.set(xlim=(box[0][0], box[1][0]), ylim=(box[0][1], box[1][1]), zlim=(box[0][2], box[1][2]))
    axes.set_box_aspect(box[1] - box[0], zoom=1.05)
    axes.view_init(elev=22, azim=-60)
