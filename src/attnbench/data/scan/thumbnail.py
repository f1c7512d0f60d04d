"""Small grey copies of images, in which duplicates are looked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 96
DEPTH = 16
_SAMPLED = 2_000_000


def grey(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the mean of an image's channels, each stretched from 0 to 1: (*spatial).

    0 and 1 are the percentiles 0.1 and 99.9; what lies beyond is clipped, for a few bright pixels
    would leave nothing of the rest. A constant channel is 0.

    Args:
        image: (C, *spatial), any real dtype.
    """
    total = np.zeros(image.shape[1:], np.float32)
    for channel in image:
        low, high = map(np.float32, np.percentile(sampled(channel).astype(np.float64), (0.1, 99.9)))
        if high <= low:
            low, high = np.float32(channel.min()), np.float32(channel.max())
        if high > low:
            stretched = channel.astype(np.float32)
            stretched -= low
            stretched /= high - low
            total += np.clip(stretched, 0, 1, out=stretched)
    return total / np.float32(len(image))


def sampled(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return up to two million values, evenly spaced: they tell percentiles as well as all do."""
    return values.reshape(-1)[:: 1 + values.size // _SAMPLED]


def thumbnail(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return an image as a small one of fixed shape, from 0 to 255.

    A picture becomes (1, 96, 96), a volume (16, 96, 96): slices along its shortest axis, the last
    of equals. Sides are scaled each by itself, so that copies of another aspect are found too.

    Args:
        image: (C, *spatial) with two or three spatial axes.
    """
    small = grey(image)
    if small.ndim == 2:
        return as_bytes(_resized(small, (SIDE, SIDE))[None])
    shortest = small.ndim - 1 - int(np.argmin(small.shape[::-1]))
    return as_bytes(_resized(np.moveaxis(small, shortest, 0), (DEPTH, SIDE, SIDE)))


def as_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values from 0 to 1 as whole numbers from 0 to 255."""
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def _resized(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    # The last axis first: it is the one in which voxels are adjacent, and leaves the least to do.
    for axis in reversed(range(image.ndim)):
        weights = _weights(image.shape[axis], shape[axis])
        image = np.moveaxis(np.moveaxis(image, axis, -1) @ weights, -1, axis)
    return image


def _weights(given: int, wanted: int) -> NDArray[np.float32]:
    """Weights (given, wanted) of linear interpolation, widened where an axis becomes shorter."""
    centres = (np.arange(wanted) + 0.5) * given / wanted - 0.5
    reach = max(1.0, given / wanted)
    apart = np.abs(np.arange(given)[:, None] - centres) / reach
    weights = np.maximum(0, 1 - apart)
    return (weights / weights.sum(axis=0)).astype(np.float32)
