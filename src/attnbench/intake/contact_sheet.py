"""The contact sheet: some cases of a dataset in one picture, each with its reference outlined."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.data.case import RawCase
    from attnbench.intake.survey import CaseFacts

AT_MOST = 24
COLUMNS = 6
SIDE = 360  # pixels of a panel's longer side, fewer than the sheet gives it: lines stay whole
DPI = 200
# Okabe and Ito (2008), told apart with every common colour blindness; blue first, because images
# are grey, red (fundus, endoscopy) or violet (stains).
COLOURS = (
    "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2",
)  # fmt: skip
CROWDED = 0.15  # share of a panel that is outline: then a part is shown, larger
_LONGEST_NAME = 26


@dataclass(frozen=True)
class Panel:
    """One case as the sheet shows it.

    image: (H, W, 3) float32 in 0..1; mask: (H, W) uint8; both with square pixels, the longer side
    `SIDE`. title: the case's name, and `empty` where its reference is.
    """

    title: str
    image: NDArray[np.float32]
    mask: NDArray[np.uint8]


def choose_cases(cases: Sequence[CaseFacts], at_most: int = AT_MOST) -> list[CaseFacts]:
    """Return up to `at_most` cases, spread over sizes of foreground and over groups.

    The cases stand in order of their foreground's share and are cut into equal parts; each part
    gives the case of the group that was chosen least often, of equals the one in its middle.
    """
    ranked = sorted(cases, key=lambda case: (case.foreground, case.case))
    parts = min(at_most, len(ranked))
    taken: Counter[str] = Counter()
    chosen = []
    for part in range(parts):
        start, stop = part * len(ranked) // parts, (part + 1) * len(ranked) // parts
        middle = (start + stop - 1) / 2
        best = min(
            range(start, stop), key=lambda rank: (taken[ranked[rank].group], abs(rank - middle))
        )
        taken[ranked[best].group] += 1
        chosen.append(ranked[best])
    return chosen


def make_panel(case: RawCase) -> Panel:
    """Cut, scale and name one case; of a volume, the slice with most foreground is shown."""
    image, mask, spacing = case.image, case.mask, case.spacing
    if mask.ndim == 3:
        image, mask, spacing = _slice(image, mask, spacing)
    title = shorten(case.case) + ("" if case.mask.any() else " (empty)")
    panel = _panel(title, image, mask, spacing)
    if _outlined(panel) > CROWDED and max(mask.shape) > 2 * SIDE:
        part = tuple(slice(max(0, (size - SIDE) // 2), (size + SIDE) // 2) for size in mask.shape)
        panel = _panel(f"{title} (part)", image[:, *part], mask[part], spacing)
    return panel


def _panel(
    title: str, image: NDArray[np.generic], mask: NDArray[np.uint8], spacing: Sequence[float]
) -> Panel:
    rows, columns = (size * length for size, length in zip(mask.shape, spacing, strict=True))
    scale = SIDE / max(rows, columns)
    shape = max(1, round(rows * scale)), max(1, round(columns * scale))
    # A whole slide as floats would fill the memory, and a panel shows a few of its pixels.
    steps = tuple(slice(None, None, max(1, size // (4 * SIDE))) for size in mask.shape)
    return Panel(title, _scaled(_display(image[:, *steps]), shape), _nearest(mask, shape))


def _outlined(panel: Panel) -> float:
    lines = sum(int(line.sum()) for _, _, line in _regions(panel.mask))
    return lines / panel.mask.size


def _regions(
    mask: NDArray[np.uint8],
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Number, region and inner outline of every class in a mask."""
    for number in np.unique(mask[mask > 0]).tolist():
        region = mask == number
        yield number, region, region & ~_eroded(region)


def draw_sheet(path: Path, title: str, panels: Sequence[Panel], classes: Mapping[int, str]) -> None:
    """Write the panels as one PNG, whole or not at all, with a legend of the classes' colours.

    Args:
        path: the PNG.
        title: a line above the panels.
        panels: at least one.
        classes: names by number.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(2.1 * columns, 5), 2.3 * rows + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel)
    figure.suptitle(title, fontsize=9)
    figure.legend(
        handles=[
            Patch(color=colour_of(number), label=f"{number} {name}")
            for number, name in sorted(classes.items())
        ],
        loc="outside lower center",
        ncols=min(6, len(classes)),
        fontsize=8,
        frameon=False,
    )
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def colour_of(number: int) -> str:
    """Colour of class `number`, from 1; the eighth class has the first one's again."""
    return COLOURS[(number - 1) % len(COLOURS)]


def shorten(name: str) -> str:
    """Take the middle out of a name that is wider than a panel."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[1 - half :]}"


def _draw(axes: Axes, panel: Panel) -> None:
    from matplotlib.colors import to_rgb

    picture = panel.image.copy()
    for number, region, line in _regions(panel.mask):
        colour = np.array(to_rgb(colour_of(number)), dtype=np.float32)
        # A vessel is all outline: a tint lets the image under it be judged as well.
        opacity = 1.0 if 2 * line.sum() < region.sum() else 0.65
        picture[line] = opacity * colour + (1 - opacity) * picture[line]
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(panel.title, fontsize=6, pad=2)


def _eroded(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours are in the region too; outside the image counts as within."""
    padded = np.pad(region, 1, constant_values=True)
    return region & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _slice(
    image: NDArray[np.generic], mask: NDArray[np.uint8], spacing: tuple[float, ...]
) -> tuple[NDArray[np.generic], NDArray[np.uint8], tuple[float, ...]]:
    """Cut a volume across its coarsest axis, else its last, and set its second axis upright."""
    axis = 2 - int(np.argmax(np.array(spacing)[::-1]))
    others = tuple(other for other in range(3) if other != axis)
    filled = (mask > 0).sum(axis=others)
    at = int(filled.argmax()) if filled.any() else mask.shape[axis] // 2
    plane = np.take(image, at, axis=axis + 1)
    # Axes of volumes run to the right, to the front and upwards; pictures run downwards.
    plane = np.flip(np.swapaxes(plane, 1, 2), axis=1)
    cut = np.flip(np.take(mask, at, axis=axis).T, axis=0)
    return plane, cut, (spacing[others[1]], spacing[others[0]])


def _display(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Colours (H, W, 3) in 0..1 of an image (C, H, W): RGB of three 8-bit channels, else grey."""
    if image.shape[0] == 3 and image.dtype == np.uint8:
        return np.moveaxis(image, 0, -1).astype(np.float32) / np.float32(255)
    channel = image[0].astype(np.float64)
    low, high = np.percentile(channel, (0.5, 99.5))
    if high == low:
        low, high = float(channel.min()), float(channel.max())
    grey = np.clip((channel - low) / ((high - low) or 1), 0, 1).astype(np.float32)
    return np.repeat(grey[..., None], 3, axis=-1)


def _scaled(picture: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image

    size = (shape[1], shape[0])
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(picture[..., channel])).resize(
                size,
                Image.Resampling.BOX if picture.shape[0] > shape[0] else Image.Resampling.BILINEAR,
            )
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


def _nearest(mask: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    rows = (np.arange(shape[0]) + 0.5) * mask.shape[0] // shape[0]
    columns = (np.arange(shape[1]) + 0.5) * mask.shape[1] // shape[1]
    return mask[rows.astype(int)[:, None], columns.astype(int)[None, :]]
