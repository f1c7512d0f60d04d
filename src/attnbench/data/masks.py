"""Masks that another tool has written: NIfTI or picture files, turned to a case's own grid."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.decode import Picture, decode
from attnbench.data.readers.grid import TOLERANCE, Grid, Refused, apart, canonical, canonical_grid
from attnbench.data.readers.grid import flat as flattened
from attnbench.data.readers.legend import numbers
from attnbench.data.readers.registry import UNREADABLE
from attnbench.data.readers.volume import ENDINGS as VOLUMES
from attnbench.data.readers.volume import load_volume
from attnbench.data.targets import Target

PICTURES = (".png", ".tif", ".tiff", ".bmp")
ENDINGS = (*VOLUMES, *PICTURES)
_SPACING = 0.01  # of a spacing: writers round it


def mask_files(folder: Path) -> dict[str, list[Path]]:
    """Files of masks in `folder` by their name without the ending; other files are left alone."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
        if ending and not name.startswith("."):
            found.setdefault(path.name[: -len(ending)], []).append(path)
    return found


def read_mask(path: Path, target: Target, classes: Collection[int]) -> NDArray[np.uint8]:
    """Read a case's mask (*target.shape), 0 and the dataset's classes.

    Volumes are turned to the nearest right-anterior-superior axes, as the store's are, and have to
    lie where the original does. Pictures keep the file's axes.

    Raises:
        Refused: the file is empty or unreadable, lies on another grid or elsewhere than the case,
            or holds anything but classes of the dataset.
    """
    if path.stat().st_size == 0:
        raise Refused("is empty (0 bytes); write it again")
    try:
        is_picture = path.name.lower().endswith(PICTURES)
        array = _picture(path, target) if is_picture else _volume(path, target)
    except UNREADABLE as error:
        raise Refused(f"cannot be read: {error}") from error
    return _as_classes(array, sorted({0, *classes}))


def _picture(path: Path, target: Target) -> NDArray[np.generic]:
    picture = decode(path)
    array = _one_channel(picture)
    if len(target.shape) == 2 and len(array) == 1:
        array = array[0]
    _refuse_shape(array.shape, target)
    return array


def _one_channel(picture: Picture) -> NDArray[np.generic]:
    try:
        return numbers(picture)
    except ValueError as error:
        channels = picture.pages.shape[-1]
        raise Refused(
            f"is in colours or has varying opacity ({channels} channels); a mask has one channel "
            "of class numbers"
        ) from error


def _volume(path: Path, target: Target) -> NDArray[np.generic]:
    volume = load_volume(path)
    if volume.grid.channels > 1:
        raise Refused(
            f"has {volume.grid.channels} numbers per voxel, such as a probability for each class; "
            "a mask has one number, its class: take the class with the largest (argmax)"
        )
    stated = volume.grid
    volume = flattened(volume) if len(target.shape) == 2 else canonical(volume)
    _refuse_shape(volume.grid.shape, target)
    spacing = volume.grid.spacing
    if stated.stated and not np.allclose(spacing, target.spacing, rtol=_SPACING, atol=0):
        raise Refused(f"has spacing {_sides(spacing)}, the case {_sides(target.spacing)}")
    if len(target.shape) == 3:
        _refuse_elsewhere(volume.grid, target)
    return volume.array


def _refuse_shape(shape: tuple[int, ...], target: Target) -> None:
    if shape == target.shape:
        return
    order = " (the same sides in another order)" if sorted(shape) == sorted(target.shape) else ""
    raise Refused(
        f"has shape {_sides(shape)}{order}, the case {_sides(target.shape)}; predictions lie on "
        "the case's own grid: resample them by the nearest voxel"
    )


def place_of(target: Target) -> Grid:
    """Where a case's mask (*target.shape) lies, on the axes that the store has.

    Volumes lie where their original does; pictures, and cases without a file, start at 0.
    """
    if len(target.shape) == 3 and target.grid is not None:
        return canonical_grid(target.grid)
    affine = np.diag([*target.spacing, *[1.0] * (4 - len(target.spacing))])
    return Grid(target.shape, affine, target.spacing)


def _refuse_elsewhere(grid: Grid, target: Target) -> None:
    """Refuse a volume that its header places elsewhere than the original: it may be mirrored."""
    own = place_of(target)
    far = apart(own, grid)
    if far > TOLERANCE:
        raise Refused(
            f"lies {far:.4g} voxels away from the original by its header, so that it may be "
            f"shifted, mirrored or turned: it has {grid}, the original {own} (axes right, "
            "anterior, superior); copy the affine of the image that was predicted"
        )


def _as_classes(array: NDArray[np.generic], allowed: list[int]) -> NDArray[np.uint8]:
    values = np.unique(array)
    if not np.isin(values, allowed).all():
        raise Refused(_other_values(values, allowed))
    return array.astype(np.uint8)


def _other_values(values: NDArray[Any], allowed: list[int]) -> str:
    classes = ", ".join(map(str, allowed))
    other = values[~np.isin(values, allowed)]
    shown = ", ".join(f"{value:g}" for value in other[:5])
    text = (
        f"holds {shown}{' and more' if len(other) > 5 else ''}; allowed are the classes {classes}"
    )
    fractions = other[np.isfinite(other) & (other != np.round(other))]
    if len(fractions) and fractions.min() >= 0 and fractions.max() <= 1:
        return f"{text}. These are probabilities: write the class with the largest (argmax)"
    if values.tolist() == [0, 255] and len(allowed) == 2:
        return f"{text}. Write {allowed[1]} where it has 255"
    return text


def _sides(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
