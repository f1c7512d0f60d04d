"""PNG, TIFF, GIF and JPEG through Pillow, with the traps of each pixel mode in one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attnbench.data.readers.registry import CaseFiles

EIGHT_BIT = ("1", "L", "LA", "P", "RGB", "RGBA")


def read_colours(files: CaseFiles, path: str) -> NDArray[np.uint8]:
    """Read an image (C, H, W): 1 channel is luminance, 3 are RGB; alpha is dropped."""
    mode = {1: "L", 3: "RGB"}.get(files.entry.channels)
    if mode is None:
        raise files.error(
            f"pictures have 1 or 3 channels; the catalog says {files.entry.channels}", path
        )
    pixels = np.asarray(_open(files, path).convert(mode))
    return pixels[None] if mode == "L" else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def read_binary(files: CaseFiles, path: str, threshold: int = 127) -> NDArray[np.bool_]:
    """Read a black and white mask (H, W), True where it is brighter than `threshold`.

    Whatever the file stores (one bit, 0/255, softened edges, a palette whose entry 1 is white),
    it is the displayed brightness that is cut.
    """
    return np.asarray(_open(files, path).convert("L")) > threshold


def read_indices(files: CaseFiles, path: str) -> NDArray[np.uint8]:
    """Read a palette picture's indices (H, W), which are the classes; colours are for display."""
    picture = _open(files, path)
    if picture.mode != "P":
        raise files.error(
            f"a palette picture is expected, its pixel mode is {picture.mode!r}", path
        )
    return np.array(picture, dtype=np.uint8)


def _open(files: CaseFiles, path: str) -> Image.Image:
    with files.reading(path) as file, Image.open(file) as picture:
        frames = getattr(picture, "n_frames", 1)
        picture.load()
    if picture.mode not in EIGHT_BIT:
        raise files.error(
            f"pixel mode {picture.mode!r}; pictures have 8 bits: {', '.join(EIGHT_BIT)}", path
        )
    if frames > 1:
        raise files.error(f"{frames} frames in one file; a case is one picture", path)
    return picture


def pixel_spacing(files: CaseFiles) -> tuple[float, ...]:
    """The catalog's spacing, or one pixel where it knows none."""
    return files.entry.spacing or (1.0, 1.0)
