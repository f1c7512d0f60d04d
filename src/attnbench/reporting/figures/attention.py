"""Attention maps of the models that have one, over the cases chosen by rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb

from attnbench.models.names import has_map
from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    draw_message,
    no_case,
    wrapped,
    write_heading,
)
from attnbench.reporting.figures.panels import (
    draw_outline,
    prepare_panel,
    regions_of,
    shortened,
    show_picture,
    show_plane,
    wrap_titles,
)
from attnbench.reporting.format import number
from attnbench.reporting.results import records
from attnbench.reporting.slices import image_plane, map_plane, mask_plane, plane_of
from attnbench.reporting.style import Page, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from attnbench.analysis.case_choice import Choice
    from attnbench.data.store import CaseStore
    from attnbench.reporting.results import Results
    from attnbench.reporting.slices import Plane

_MARGIN_MM = 6.0
_READABLE_MM = 17.0  # the narrowest panel in which a map can still be read in print
_LEGEND_MM = 20.0
_NAMED = 10
_LEAST, _MOST = "#542788", "#fdb863"  # dark and light: less and more in grey print, too
# a third and three times the mean are equally far from it on a logarithmic scale
_OCTAVES = float(np.log2(3))
_TICKS = {-_OCTAVES: "1/3", -1.0: "1/2", 0.0: "1", 1.0: "2", _OCTAVES: "3"}
_OPAQUE = 0.85
_COLUMNS = [
    "dataset", "case", "rule", "of_model", "model", "fold", "seed", "place", "mean",
    "inside", "boundary", "background", "slice",
]  # fmt: skip


def draw_attention(results: Results, dataset: str) -> Drawn:
    """Draw rows of cases: image and reference, then every model's finest attention map.

    Of more models than there is room for, those in colour elsewhere come first.
    """
    page, chosen = results.page, results.chosen_cases(dataset)
    models = [
        model.name
        for model in results.study.models
        if has_map(model) and results.layout.attention(dataset, model.name).exists()
    ]
    if not chosen or not models:
        missing = f"{results.dataset_label(dataset)}: no attention map has been written yet"
        return draw_message(
            page, missing if chosen else no_case(results, dataset), pd.DataFrame(columns=_COLUMNS)
        )
    room = int((page.double - _MARGIN_MM) // _READABLE_MM) - 1
    best = coloured(results)
    favoured = sorted(models, key=lambda name: name not in best)[:room]
    fitting = [name for name in models if name in favoured]
    store = results.store(dataset)
    planes = [plane_of(store, store.index(choice.case)) for choice in chosen]
    figure, panels, width = _grid(page, 1 + len(fitting), planes)
    maps = {model: _read(results, dataset, model) for model in fitting}
    rows = []
    for own, choice, plane in zip(panels, chosen, planes, strict=True):
        rows += _case(results, own.tolist(), maps, store, choice, plane)
    wrap_titles(panels.ravel().tolist(), width)
    left_out = [results.label(name) for name in models if name not in fitting]
    _explain(figure, panels, results.dataset_label(dataset), left_out)
    return Drawn(figure, pd.DataFrame(rows, columns=_COLUMNS))


def _grid(page: Page, columns: int, planes: Sequence[Plane]) -> tuple[Figure, NDArray[Any], float]:
    """Make a row of panels per case, and return the width of one in mm.

    The figure is one column of the page wide where that is enough.
    """
    whole = page.single if columns * 1.2 * _READABLE_MM <= page.single - _MARGIN_MM else page.double
    width = (whole - _MARGIN_MM) / columns
    titles = 3.0 * (1 if width > 30 else 2 if width > 20 else 3)
    height = (
        sum(width * plane.box[1] / plane.box[0] + titles + 2.0 for plane in planes) + _LEGEND_MM
    )
    figure = new_figure(whole, min(height, page.tallest))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.02)
    return figure, figure.subplots(len(planes), columns, squeeze=False), width


def _read(
    results: Results, dataset: str, model: str
) -> dict[str, tuple[NDArray[np.float16], dict[str, Any]]]:
    """Read the model's finest map of every case, and the map's row in the table of maps."""
    path = results.layout.attention(dataset, model)
    table = pd.read_csv(
        path.with_suffix(".csv"), dtype={"case": "str"}, keep_default_na=False, na_values=[""]
    )
    finest_maps = {}
    with np.load(path) as maps:
        for case, rows in table.groupby("case", sort=False):
            levels = [int(re.findall(r"\d+", name)[0]) for name in rows["place"]]
            # several maps may be equally fine: the last in the network counts
            finest = max(i for i, level in enumerate(levels) if level == min(levels))
            finest_maps[str(case)] = maps[str(case)][finest], records(rows)[finest]
    return finest_maps


def _case(
    results: Results,
    panels: list[Axes],
    maps: dict[str, dict[str, Any]],
    store: CaseStore,
    choice: Choice,
    plane: Plane,
) -> list[dict[str, Any]]:
    """Draw one case's row of panels; return the rows of the CSV."""
    i = store.index(choice.case)
    image, reference = image_plane(store, i, plane), mask_plane(store.reference(i), store, i, plane)
    show_plane(panels[0], image, reference, plane, "Reference")
    panels[0].set_ylabel(f"{choice.rule}\n{shortened(choice.case)}")
    grey = image if image.ndim == 2 else image.mean(axis=-1)
    rows = []
    for axes, (model, of_case) in zip(panels[1:], maps.items(), strict=True):
        if choice.case not in of_case:
            prepare_panel(axes, plane, f"{results.label(model)} (no map)")
            continue
        weights, row = of_case[choice.case]
        prepare_panel(axes, plane, f"{results.label(model)} ({number(row['inside'], 2)})")
        show_picture(axes, grey, plane)
        show_picture(axes, _overlay(map_plane(weights, store, i, plane)), plane)
        for _, region in regions_of(reference):
            draw_outline(axes, region, plane, "white")
        axes.title.set_fontweight("bold" if model == choice.model else "normal")
        rows.append(
            {**row, "rule": choice.rule.lower(), "of_model": choice.model, "slice": plane.index}
        )
    return rows


def _overlay(relative: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours (H, W, 4) of weights relative to their mean: clear at 1, opaque at 1/3 and 3."""
    # a weight of 0 is minus infinity octaves, and ends at the dark end of the scale
    with np.errstate(divide="ignore"):
        octaves = np.clip(np.log2(relative), -_OCTAVES, _OCTAVES)
    colours = np.where(octaves[..., None] < 0, to_rgb(_LEAST), to_rgb(_MOST))
    # outside the field of view the map is NaN, and the image shows through
    opacity = _OPAQUE * np.abs(np.nan_to_num(octaves)) / _OCTAVES
    return np.concatenate([colours, opacity[..., None]], axis=-1).astype(np.float32)


def _explain(figure: Figure, panels: NDArray[Any], dataset: str, left_out: list[str]) -> None:
    """Write heading, colour scale as it looks on grey, and the models that did not fit."""
    steps = np.linspace(-_OCTAVES, _OCTAVES, 256)
    colours = _overlay(np.exp2(steps).astype(np.float32)[None])[0]
    # maps lie over an image, so that the scale is shown over its middle grey
    on_grey = colours[:, :3] * colours[:, 3:] + 0.5 * (1 - colours[:, 3:])
    scale = ScalarMappable(Normalize(-_OCTAVES, _OCTAVES), ListedColormap(on_grey))
    bar = figure.colorbar(
        scale, ax=panels.ravel().tolist(), location="bottom", shrink=0.4, aspect=40,
        ticks=list(_TICKS),
    )  # fmt: skip
    bar.ax.set_xticklabels(list(_TICKS.values()))
    bar.set_label("Weight of a position, relative to the map's mean")
    heading = (
        f"{dataset}: attention at each model's finest level; in brackets its mean "
        "inside the reference, more than 2 voxels from any boundary (–: no such voxel)"
    )
    write_heading(figure, heading)
    if left_out:
        more = f" and {len(left_out) - _NAMED} others" if len(left_out) > _NAMED else ""
        named = ", ".join(left_out[:_NAMED])
        figure.supxlabel(wrapped(figure, f"Not shown, for want of room: {named}{more}"), fontsize=6)
