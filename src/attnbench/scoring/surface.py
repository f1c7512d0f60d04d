"""Surface distances between two masks: medpy's values bit for bit, at a fraction of the cost.

medpy computes two distance transforms of the whole image for every metric. Here both masks are
cropped to the box that holds them, each direction is computed once for all metrics, and
distances are only formed at surface voxels. Nothing outside the box is part of a surface, so no
value changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]
Places = NDArray[np.int64]
_REACH = 3
_LEAF = 64


def union_box(first: Mask, second: Mask) -> tuple[slice, ...]:
    """Smallest box that holds every voxel of two masks of one shape, at least one not empty."""
    box = []
    union = first | second
    for axis in range(union.ndim):
        others = tuple(other for other in range(union.ndim) if other != axis)
        inside = np.flatnonzero(union.any(axis=others))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def surface(mask: Mask) -> Mask:
    """Voxels of `mask` with a face neighbour outside it; beyond the array is outside."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        # A view: what is cleared here is cleared in `inner`.
        inside = np.moveaxis(inner, axis, 0)
        source = np.moveaxis(mask, axis, 0)
        inside[1:] &= source[:-1]
        inside[:-1] &= source[1:]
        inside[:1] = False
        inside[-1:] = False
    return mask & ~inner


def surface_distances(
    prediction: Mask, reference: Mask, spacing: Sequence[float]
) -> tuple[Distances, Distances]:
    """Distances between the surfaces of two masks, in the unit of `spacing`.

    Both masks are (*spatial) and have a voxel; `spacing` has one positive number per axis.
    Returns the distance of every surface voxel of the prediction to the nearest of the
    reference, then the other direction, each in array order.
    """
    surfaces = surface(prediction), surface(reference)
    if all(side == 1 for side in spacing):
        # With this margin no ring leaves the array, so flat indices never wrap.
        first, second = (np.pad(voxels, _REACH) for voxels in surfaces)
        there, here = np.flatnonzero(second), np.flatnonzero(first)
        return np.sqrt(_squares_in_pixels(here, second, there)), np.sqrt(
            _squares_in_pixels(there, first, here)
        )
    return _to_nearest(*surfaces, spacing), _to_nearest(*surfaces[::-1], spacing)


def _to_nearest(voxels: Mask, targets: Mask, spacing: Sequence[float]) -> Distances:
    nearest = distance_transform_edt(
        ~targets, sampling=spacing, return_distances=False, return_indices=True
    )
    offsets = (nearest[:, voxels] - np.stack(voxels.nonzero())).astype(np.float64)
    # The order of operations is scipy's own: every distance rounds as medpy's does.
    offsets *= np.asarray(spacing, dtype=np.float64)[:, None]
    np.multiply(offsets, offsets, offsets)
    return np.sqrt(np.add.reduce(offsets, axis=0))


def _squares_in_pixels(places: Places, targets: Mask, there: Places) -> Distances:
    """Squared distance of every place to the nearest target, in pixels.

    Squares are whole numbers, so every way to them is exact. `places` (n,) are flat indices into
    `targets`, whose `_REACH` outermost voxels are False; `there` are those of the targets. Most
    surfaces lie a few pixels apart: they are looked up ring by ring, and only what is left is
    searched in a tree.
    """
    strides = np.cumprod((1, *targets.shape[:0:-1]))[::-1]
    flat, squares = targets.ravel(), np.zeros(places.size)
    left = np.arange(places.size)
    for square, offsets in _rings(targets.ndim):
        # Rings come in order of their length: the first that holds a target is the nearest.
        reached = flat.take(places[left] + (offsets @ strides)[:, None]).any(axis=0)
        squares[left[reached]] = square
        left = left[~reached]
        if not left.size:
            return squares
    given, corners = (
        np.stack(np.unravel_index(flat_index, targets.shape), axis=1)
        for flat_index in (places[left], there)
    )
    tree = KDTree(corners, leafsize=_LEAF, balanced_tree=False, compact_nodes=False)
    away = corners[tree.query(given)[1]] - given
    squares[left] = (away * away).sum(axis=1)
    return squares


@cache
def _rings(ndim: int) -> list[tuple[int, NDArray[np.int64]]]:
    """Offsets (n, ndim) by squared length, up to `_REACH` pixels long, the shortest first."""
    cube = np.stack(np.meshgrid(*[np.arange(-_REACH, _REACH + 1)] * ndim), axis=-1).reshape(
        -1, ndim
    )
    length = (cube * cube).sum(axis=1)
    return [
        (int(square), cube[length == square]) for square in np.unique(length) if square <= _REACH**2
    ]
