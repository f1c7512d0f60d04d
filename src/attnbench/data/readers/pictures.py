"""Pictures of eight bits for the catalog's own layouts, each trap of a pixel mode in one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.decode import Picture, decode
from attnbench.data.readers.legend import (
    NEARLY_GREY,
    is_coloured,
    luminance,
    varying_opacity,
)
from attnbench.data.readers.registry import CaseFiles


def read_colours(files: CaseFiles, path: str) -> NDArray[np.uint8]:
    """Read an image (C, H, W): 1 channel is luminance, 3 are RGB; alpha is dropped."""
    colours = _open(files, path).colours[0]
    wanted = files.entry.channels
    if wanted not in (1, 3) or colours.shape[-1] not in (1, 3):
        raise files.error(
            f"pictures have 1 or 3 channels; this one has {colours.shape[-1]}, the catalog says "
            f"{wanted}",
            path,
        )
    if wanted == 1 and colours.shape[-1] == 3:
        colours = luminance(colours)
    if wanted == 3 and colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    return np.ascontiguousarray(np.moveaxis(colours, -1, 0)).astype(np.uint8, copy=False)


def read_binary(files: CaseFiles, path: str, threshold: int = 127) -> NDArray[np.bool_]:
    """Read a black and white mask (H, W), True where it is brighter than `threshold`.

    Whatever the file stores (one bit, 0/255, softened edges, a palette whose entry 1 is white),
    it is the displayed brightness that is cut. A mask that would read as empty though something
    is drawn in it (values 0 and 1, a red object, an object in the alpha channel) is refused.
    """
    picture = _open(files, path)
    try:
        coloured = is_coloured(picture, NEARLY_GREY)
    except ValueError as error:
        raise files.error(str(error), path) from error
    if coloured:
        raise files.error(
            "mask is in colours, black and white is expected; use the reader `pictures`, which "
            "takes values: {'#ff0000': 1}",
            path,
        )
    colours = picture.colours[0]
    bright = (luminance(colours) if colours.shape[-1] == 3 else colours)[..., 0]
    inside = bright > threshold
    if inside.any():
        return inside
    if varying_opacity(picture):
        raise files.error(
            "mask is empty but for its alpha channel; use the reader `pictures`, which takes "
            "values: {'#000000': 1}",
            path,
        )
    if bright.any():
        values = np.unique(bright)
        raise files.error(
            f"nothing in it is brighter than {threshold}, yet it is not black: its values are "
            f"{', '.join(map(str, values[:5]))}{', ...' if len(values) > 5 else ''}; use the "
            f"reader `pictures`, which takes values: {{{values[-1]}: 1}}",
            path,
        )
    return inside


def read_indices(files: CaseFiles, path: str) -> NDArray[np.uint8]:
    """Read a palette picture's indices (H, W), which are the classes; colours are for display."""
    picture = _open(files, path)
    if picture.palette is None:
        raise files.error(
            f"a palette picture is expected; this {picture.kind} has "
            f"{picture.pages.shape[-1]} channel(s) and no palette",
            path,
        )
    return picture.pages[0, ..., 0].astype(np.uint8, copy=False)


def _open(files: CaseFiles, path: str) -> Picture:
    with files.reading(path) as file:
        picture = decode(file)
    if picture.pages.dtype != np.uint8:
        raise files.error(
            f"its numbers are {picture.pages.dtype}; pictures of this layout have 8 bits", path
        )
    if len(picture.pages) > 1:
        raise files.error(f"{len(picture.pages)} pages in one file; a case is one picture", path)
    return picture


def pixel_spacing(files: CaseFiles) -> tuple[float, ...]:
    """The catalog's spacing, or one pixel where it knows none."""
    return files.entry.spacing or (1.0, 1.0)
