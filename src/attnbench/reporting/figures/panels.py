"""One plane of a case as a panel: the image, and over it the classes of a mask."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from attnbench.reporting.slices import Plane
from attnbench.reporting.style import QUIET, class_colour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_CHARACTER_MM = 1.25  # about the mean width of a character of 6 points
_ERRORS = {"missed": "#ffffff", "added": "#e6194b", "wrong class": "#84b6ff"}
_LONGEST_OUTLINE = 15.0  # in longest sides of the plane
_LONGEST_CASE = 16


def wrap_titles(panels: list[Axes], width_mm: float) -> None:
    """Break titles that are wider than their panel."""
    for axes in panels:
        axes.title.set_text(
            textwrap.fill(
                axes.title.get_text(),
                max(8, int(width_mm / _CHARACTER_MM)),
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def shortened(case: str) -> str:
    """Shorten a case's name: a long one loses its middle."""
    half = _LONGEST_CASE // 2
    return case if len(case) <= _LONGEST_CASE else f"{case[:half]}…{case[1 - half :]}"


def draw_class_legend(figure: Figure, classes: Mapping[int, str], errors: bool = False) -> None:
    """Draw one legend of the classes' colours and, with `errors`, of those of `show_errors`."""
    handles = [Patch(color=class_colour(number), label=name) for number, name in classes.items()]
    if errors:
        # a single class cannot be mistaken for another one
        kinds = list(_ERRORS)[: 2 if len(classes) == 1 else 3]
        handles += [Patch(facecolor=_ERRORS[name], edgecolor=QUIET, label=name) for name in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(7, len(handles)))


def show_plane(
    axes: Axes,
    image: NDArray[np.float32] | None,
    mask: NDArray[np.uint8] | None,
    plane: Plane,
    title: str,
) -> None:
    """Show the image, and over it each class of the mask, tinted and outlined in its colour.

    Where outlines would cover what they enclose (vessels, many small cells), a deeper tint
    stands alone.

    Args:
        axes: the panel.
        image: (H, W) or (H, W, 3) in 0..1; None says that there is no prediction.
        mask: (H, W) classes, on any grid; None shows the image alone.
        plane: the cut, whose box the panel has.
        title: of the panel.
    """
    prepare_panel(axes, plane, title)
    if image is None:
        axes.text(
            plane.box[0] / 2, plane.box[1] / 2, "no\nprediction", ha="center", va="center",
            color=QUIET,
        )  # fmt: skip
        return
    show_picture(axes, image, plane)
    for number, region in regions_of(mask):
        colour = class_colour(number)
        tint = np.zeros((*region.shape, 4), np.float32)
        tint[region] = (*to_rgb(colour), 0.75 if is_fine(region) else 0.3)
        show_picture(axes, tint, plane)
        draw_outline(axes, region, plane, colour)


def show_errors(
    axes: Axes,
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    plane: Plane,
) -> None:
    """Show the image darkened, and over it pixels missed, added, or given to a wrong class.

    Args:
        axes: the panel.
        image: (H, W) or (H, W, 3) in 0..1.
        mask: (H, W) predicted classes.
        reference: (H, W) classes of the reference.
        plane: the cut, whose box the panel has.
    """
    prepare_panel(axes, plane, "")
    show_picture(axes, image * np.float32(0.5), plane)
    wrong = {"missed": (mask == 0) & (reference > 0), "added": (mask > 0) & (reference == 0)}
    wrong["wrong class"] = (mask > 0) & (reference > 0) & (mask != reference)
    tint = np.zeros((*mask.shape, 4), np.float32)
    for name, colour in _ERRORS.items():
        tint[wrong[name]] = (*to_rgb(colour), 0.85)
    show_picture(axes, tint, plane)


def prepare_panel(axes: Axes, plane: Plane, title: str) -> None:
    """Give an empty panel its title and the shape of the plane."""
    axes.set_title(title, loc="center", fontsize=6, fontweight="normal", pad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    width, height = plane.box
    axes.set_aspect("equal")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def show_picture(axes: Axes, picture: NDArray[np.float32], plane: Plane) -> None:
    """Show a picture over the whole plane: (H, W) grey, or with colours, in 0..1."""
    # a tint (H, W, 4) is exact to the pixel: smoothing would blur where a class ends
    interpolation = "nearest" if picture.shape[-1] == 4 else None
    axes.imshow(
        picture, "gray", vmin=0, vmax=1, extent=(0, plane.box[0], plane.box[1], 0),
        interpolation=interpolation,
    )  # fmt: skip


def draw_outline(axes: Axes, region: NDArray[np.bool_], plane: Plane, colour: str) -> None:
    """Draw the boundary of a region; nothing where it would cover what it encloses.

    Args:
        axes: the panel.
        region: (H, W), on any grid.
        plane: the cut, whose box the region fills.
        colour: of the line.
    """
    if is_fine(region):
        return
    x, y = (
        (np.arange(cells) + 0.5) * side / cells
        for side, cells in zip(plane.box, region.shape[::-1], strict=True)
    )
    # coordinates are centres of pixels; as vectors, long outlines would swell the PDF
    axes.contour(x, y, region, levels=[0.5], colors=colour, linewidths=0.6).set_rasterized(True)


def is_fine(region: NDArray[np.bool_]) -> bool:
    """Tell if a region's outline is so long that a line would cover it."""
    # pairs of unlike neighbours, in longest sides of the plane: finer grids give the same number
    steps = np.count_nonzero(region[1:] != region[:-1]) + np.count_nonzero(
        region[:, 1:] != region[:, :-1]
    )
    return steps / max(region.shape) > _LONGEST_OUTLINE


def regions_of(mask: NDArray[np.uint8] | None) -> list[tuple[int, NDArray[np.bool_]]]:
    """Number and region (H, W) of every foreground class that the plane shows."""
    if mask is None:
        return []
    return [(int(number), mask == number) for number in np.unique(mask) if number]
