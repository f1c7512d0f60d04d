"""Volumes with the grid that they lie on: where a voxel is, whatever the format of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import Spacing

Scalar = TypeVar("Scalar", bound=np.generic)
TOLERANCE = 0.1  # largest disagreement of two grids, in voxels


class Refused(Exception):
    """A file that can be read and must not be used: what was found, what is allowed."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a file lie.

    shape: (X, Y, Z), or (X, Y) for a picture. affine: (4, 4), voxel to millimetres, towards
    right, anterior and superior, as nibabel has it. spacing: one size per axis. channels: numbers
    per voxel. stated: whether the file states a spacing; where it does not, it is 1. unit: of the
    spacing, as far as the file says. dtype: of the stored numbers.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    spacing: Spacing
    channels: int = 1
    stated: bool = True
    unit: str | None = None
    dtype: str = ""

    def __str__(self) -> str:
        def joined(numbers: NDArray[np.float64] | tuple[float, ...], sign: str) -> str:
            return sign.join(f"{number:.6g}" for number in numbers)

        size, origin = joined(self.shape, " x "), joined(self.affine[:3, 3], ", ")
        return f"{size} voxels of {joined(self.spacing, ' x ')} from ({origin}), {self.towards}"

    @property
    def towards(self) -> str:
        """Where the axes lead, for example `RAS`."""
        from nibabel.orientations import aff2axcodes

        return "".join(map(str, aff2axcodes(self.affine)[: len(self.shape)]))


@dataclass(frozen=True, eq=False)
class Volume:
    """array: (*grid.shape), with a last axis of channels where there are several."""

    grid: Grid
    array: NDArray[np.generic]


def checked(grid: Grid) -> Grid:
    """`grid`, if its affine and spacing are finite and span a volume; `Refused` otherwise."""
    sides = np.linalg.norm(grid.affine[:3, :3], axis=0)
    if not (np.isfinite(grid.affine).all() and np.linalg.det(grid.affine[:3, :3])):
        raise Refused(
            f"its header places the voxels by {grid.affine[:3].tolist()}, which spans no volume; "
            "write the file again with its spacing and orientation"
        )
    if not np.allclose(sides[: len(grid.spacing)], grid.spacing, rtol=0.01):
        raise Refused(
            f"its header states two spacings, {grid.spacing} and, in its affine, "
            f"{tuple(sides.round(6).tolist())}; write the file again with the right one in both"
        )
    return grid


def canonical(volume: Volume) -> Volume:
    """Turn a volume to the nearest right-anterior-superior axes; pictures stay as stored."""
    from nibabel.orientations import apply_orientation, io_orientation

    if len(volume.grid.shape) < 3:
        return volume
    array = apply_orientation(volume.array, io_orientation(volume.grid.affine))
    return Volume(canonical_grid(volume.grid), np.ascontiguousarray(array))


def canonical_grid(grid: Grid) -> Grid:
    """Where the voxels of a volume lie once `canonical` has turned it."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    if len(grid.shape) < 3:
        return grid
    turn = io_orientation(grid.affine)
    order = np.argsort(turn[:, 0])
    return replace(
        grid,
        shape=tuple(grid.shape[axis] for axis in order),
        affine=grid.affine @ inv_ornt_aff(turn, grid.shape),
        spacing=tuple(grid.spacing[axis] for axis in order),
    )


def as_stored(array: NDArray[Scalar], grid: Grid) -> NDArray[Scalar]:
    """Turn an array (X, Y, Z) of right-anterior-superior axes to those of the file at `grid`.

    The inverse of `canonical`: where it turned a file's array, this turns it back.
    """
    from nibabel.orientations import apply_orientation

    return np.ascontiguousarray(apply_orientation(array, _back(grid)))


def block_of(grid: Grid, start: Sequence[int], shape: Sequence[int]) -> Grid:
    """The part of `grid` that a block of its volume fills, in the axes of the file.

    start: first voxel of the block, and shape: its voxels, on the axes that `canonical` gives a
    volume; a picture has those of its file.
    """
    from nibabel.orientations import inv_ornt_aff

    picture = len(shape) < 3
    whole = grid if picture else canonical_grid(grid)
    moved = whole.affine.copy()
    moved[:3, 3] = (whole.affine @ [*start, *[0] * (3 - len(start)), 1])[:3]
    if picture:
        return replace(grid, shape=(*shape, *grid.shape[2:]), affine=moved)
    back = _back(grid)
    order = np.argsort(back[:, 0])
    return replace(
        grid,
        shape=tuple(shape[axis] for axis in order),
        affine=moved @ inv_ornt_aff(back, tuple(shape)),
    )


def _back(grid: Grid) -> NDArray[np.float64]:
    """The turn from right-anterior-superior axes to those of the file."""
    from nibabel.orientations import io_orientation, ornt_transform

    same = np.array([[axis, 1.0] for axis in range(3)])
    return np.asarray(ornt_transform(same, io_orientation(grid.affine)))


def flat(volume: Volume) -> Volume:
    """A volume of one slice as a picture (X, Y), with channels last; others as they are."""
    grid = flat_grid(volume.grid)
    if grid is volume.grid:
        return volume
    return Volume(grid, volume.array[:, :, 0])


def flat_grid(grid: Grid) -> Grid:
    """Where the pixels lie once `flat` has taken the slice out."""
    if len(grid.shape) < 3 or grid.shape[2] != 1:
        return grid
    return replace(grid, shape=grid.shape[:2], spacing=grid.spacing[:2])


def apart(one: Grid, other: Grid) -> float:
    """The largest distance between the corners of two grids, in voxels of the first.

    Infinite for different shapes.
    """
    if one.shape != other.shape:
        return float("inf")
    sides = [(0, size) for size in one.shape] + [(0, 0)] * (3 - len(one.shape))
    corners = np.array([(x, y, z, 1) for x in sides[0] for y in sides[1] for z in sides[2]]).T
    distance = np.abs((one.affine @ corners - other.affine @ corners)[:3]).max()
    return float(distance / min(one.spacing))
