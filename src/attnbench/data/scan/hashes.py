"""Perceptual hashes of a thumbnail as it is, zoomed in, mirrored and rotated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ZOOMS = (1.0, 0.9, 0.8)
"""Shares of the sides that are hashed, about the centre: what one image shows of another."""
SLICES = (0, 5, 10, 15)
"""Slices of a volume's thumbnail that are hashed; mirrored they are the same."""


class Orientation(NamedTuple):
    """A turn of a thumbnail: slices reversed, then rows and columns swapped, then each mirrored."""

    reversed: bool
    transposed: bool
    rows: bool
    columns: bool

    def apply(self, thumbnail: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the turned view of a thumbnail (S, H, W)."""
        turned = thumbnail.swapaxes(1, 2) if self.transposed else thumbnail
        return turned[
            :: -1 if self.reversed else 1, :: -1 if self.rows else 1, :: -1 if self.columns else 1
        ]

    def __str__(self) -> str:
        mirrored = [
            name
            for name, there in (
                ("slices reversed", self.reversed),
                (_IN_PLANE[self.transposed, self.rows, self.columns], True),
            )
            if there and name
        ]
        return ", ".join(mirrored) or "as it is"


_IN_PLANE = {
    (False, False, False): "",
    (False, True, False): "mirrored top to bottom",
    (False, False, True): "mirrored left to right",
    (False, True, True): "rotated by 180 degrees",
    (True, False, False): "mirrored along the diagonal",
    (True, True, False): "rotated by 90 degrees to the left",
    (True, False, True): "rotated by 90 degrees to the right",
    (True, True, True): "mirrored along the other diagonal",
}


def orientations(slices: int) -> tuple[Orientation, ...]:
    """Return every turn of a thumbnail: 8 of a picture, 16 of a volume; the first changes none."""
    flags = (False, True)
    return tuple(
        Orientation(reverse, transposed, rows, columns)
        for reverse in (flags if slices > 1 else flags[:1])
        for transposed in flags
        for rows in flags
        for columns in flags
    )


def hash_views(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hashes of all views of a thumbnail (S, H, W): (orientations, zooms, words).

    Each word is the 64-bit DCT hash (`imagehash.phash`) of one slice.
    """
    planes = thumbnail[[0]] if len(thumbnail) == 1 else thumbnail[list(SLICES)]
    turns = orientations(len(thumbnail))
    return np.array(
        [[[_hash(_zoomed(plane, zoom)) for plane in turn.apply(planes)] for zoom in ZOOMS]
         for turn in turns],
        np.uint64,
    )  # fmt: skip


def _zoomed(plane: NDArray[np.generic], zoom: float) -> NDArray[np.generic]:
    cut = [round(side * (1 - zoom) / 2) for side in plane.shape]
    return plane[cut[0] : plane.shape[0] - cut[0], cut[1] : plane.shape[1] - cut[1]]


def _hash(plane: NDArray[np.generic]) -> np.uint64:
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(np.ascontiguousarray(plane))).hash
    return np.packbits(bits.reshape(-1)).view(np.uint64)[0]
