"""Polygons filled on a grid, by one rule.

A voxel belongs to an area where its centre lies inside an odd number of the polygons, so that an
inner polygon is a hole, or on the edge of one: tools that trace masks put the corners on the
centres of the outermost voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Corner = NDArray[np.float64]
EDGE = 0.01  # a centre that is nearer to an edge lies on it, in voxels: files round corners


def fill_polygons(
    polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Voxels (*shape) of the area that polygons enclose.

    Args:
        polygons: corners (N, 2) of each in voxels, in the order of the axes of `shape`; centres
            have whole numbers. A corner may lie outside of the grid.
        shape: of the grid.
    """
    inside = np.zeros(shape, bool)
    on_edge = np.zeros(shape, bool)
    for corners in polygons:
        crossings = np.zeros((shape[0], shape[1] + 1), bool)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            _cross(crossings, start, end)
            _touch(on_edge, start, end)
        inside ^= np.logical_xor.accumulate(crossings[:, :-1], axis=1)
    return inside | on_edge


def _cross(
    crossings: NDArray[np.bool_], start: NDArray[np.float64], end: NDArray[np.float64]
) -> None:
    """Mark, row by row, the first voxel behind an edge; the rows are half open: [low, high)."""
    low, high = sorted((start, end), key=lambda corner: corner[0])
    rows = np.arange(max(np.ceil(low[0]), 0), min(np.ceil(high[0]), len(crossings)), dtype=int)
    if not rows.size:
        return
    columns = low[1] + (rows - low[0]) * (high[1] - low[1]) / (high[0] - low[0])
    behind = np.clip(np.ceil(columns), 0, crossings.shape[1] - 1).astype(int)
    crossings[rows, behind] ^= True


def _touch(
    on_edge: NDArray[np.bool_], start: NDArray[np.float64], end: NDArray[np.float64]
) -> None:
    """Mark the voxels whose centre lies on an edge."""
    low = np.maximum(np.floor(np.minimum(start, end) - EDGE), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + EDGE) + 1, on_edge.shape).astype(int)
    if (high <= low).any():
        return
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
    along = end - start
    length = float(along @ along) or 1.0
    away = np.stack([rows - start[0], columns - start[1]], axis=-1)
    share = np.clip(away @ along / length, 0, 1)[..., None]
    near = np.linalg.norm(away - share * along, axis=-1) <= EDGE
    on_edge[low[0] : high[0], low[1] : high[1]] |= near
