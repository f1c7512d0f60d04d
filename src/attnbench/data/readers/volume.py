"""Volumes in NIfTI, MHA, MHD or NRRD files: images of one or more channels, and their masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase, Spacing
from attnbench.data.readers.grid import (
    TOLERANCE,
    Grid,
    Refused,
    Volume,
    apart,
    canonical,
    flat,
)
from attnbench.data.readers.itk import ENDINGS as ITK_ENDINGS
from attnbench.data.readers.itk import itk_grid, load_itk
from attnbench.data.readers.nifti import ENDINGS as NIFTI_ENDINGS
from attnbench.data.readers.nifti import load_nifti, nifti_grid
from attnbench.data.readers.registry import CaseFiles, reader
from attnbench.errors import nearest

ENDINGS = (*NIFTI_ENDINGS, *ITK_ENDINGS)
Values = Mapping[float, int]


@dataclass(frozen=True)
class VolumeSettings:
    """`reader.settings` of an entry whose reader is `volume`.

    values: class by stored value; without it the value is the class. threshold: instead of it,
    what is greater is class 1. masks: class by role, for one mask per class, in which whatever is
    no background counts; where two overlap, the higher class stays.
    """

    values: Mapping[float, int] | None = None
    threshold: float | None = None
    masks: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, files: CaseFiles) -> VolumeSettings:
        """The entry's settings; `DataError` for one that there is not."""
        known = [item.name for item in fields(cls)]
        for name in files.entry.reader.settings:
            if name not in known:
                raise files.error(f"reader.settings: no {name!r}; {nearest(str(name), known)}")
        return cls(**files.entry.reader.settings)


def grid_of(path: Path) -> Grid:
    """Read where the voxels of a file lie; raises as `nifti_grid` and `itk_grid` do."""
    return nifti_grid(path) if path.name.lower().endswith(NIFTI_ENDINGS) else itk_grid(path)


def load_volume(path: Path) -> Volume:
    """Read a file in its own axes; raises as `load_nifti` and `load_itk` do."""
    return load_nifti(path) if path.name.lower().endswith(NIFTI_ENDINGS) else load_itk(path)


@reader("nifti")  # the catalog's word where all files are NIfTI
@reader("volume")
def read_volume(files: CaseFiles) -> RawCase:
    """Read image and mask, turned to the nearest right-anterior-superior axes, spacing in mm.

    Every file is turned by its own affine, so that a mask stored with other axes than its image
    still falls on it; after that, all have to lie at the same place. Several files with the role
    `image` are channels; so is a fourth axis. Where `ndim` is 2 the axes stay as stored.

    `fov` and `mask_second_rater` are read where there are any. What `VolumeSettings` says of
    masks holds for all of them.
    """
    settings = VolumeSettings.of(files)
    paths = files.paths("image") or (files.one("image"),)
    image, grid, spacing = read_image(files, paths)
    fov, second = files.maybe("fov"), files.maybe("mask_second_rater")
    return RawCase(
        case=files.case,
        group=files.group,
        image=image,
        mask=_mask(files, grid, paths[0], settings),
        spacing=spacing,
        fov=read_field_of_view(files, fov, grid) if fov else None,
        second_rater=_stored_mask(files, second, grid, paths[0], settings) if second else None,
    )


def read_image(files: CaseFiles, paths: Sequence[str]) -> tuple[NDArray[np.generic], Grid, Spacing]:
    """Read an image (C, *spatial) of one or more files, the grid it lies on and its spacing.

    Where no file states a spacing it is that of the catalog. Raises as `read_volume`.
    """
    images = [_load(files, path) for path in paths]
    grid = images[0].grid
    for path, image in zip(paths[1:], images[1:], strict=True):
        refuse_elsewhere(files, path, image.grid, grid, paths[0])
    spacing = grid.spacing if grid.stated else files.entry.spacing or grid.spacing
    return np.concatenate([_channels_first(image) for image in images]), grid, spacing


def read_field_of_view(files: CaseFiles, path: str, grid: Grid) -> NDArray[np.bool_]:
    """Read where scores count, on the `grid` of the image. Raises as `read_volume`."""
    return _stored_mask(files, path, grid, "its image", VolumeSettings()) > 0


def _load(files: CaseFiles, path: str) -> Volume:
    try:
        with files.reading(path) as file:
            volume = load_volume(file)
        if volume.grid.unit not in (None, files.entry.spacing_unit):
            raise Refused(
                f"its header measures in {volume.grid.unit!r}; the dataset's volumes are in "
                f"{files.entry.spacing_unit}"
            )
    except Refused as error:
        raise files.error(str(error), path) from error
    return flat(volume) if files.entry.ndim == 2 else canonical(volume)


def _channels_first(volume: Volume) -> NDArray[np.generic]:
    array = volume.array
    return np.moveaxis(array, -1, 0) if volume.grid.channels > 1 else array[None]


def refuse_elsewhere(files: CaseFiles, path: str, grid: Grid, other: Grid, image: str) -> None:
    """Refuse a file that lies on another grid than the case's image; `DataError` names both."""
    far = apart(other, grid)
    if far <= TOLERANCE:
        return
    what = "mask" if path not in files.paths("image") else "channel"
    if other.shape != grid.shape:
        problem = f"{what} has shape {grid.shape}, its image {other.shape}"
    else:
        problem = f"{what} lies {far:.2f} voxels away from its image according to their affines"
    raise files.error(
        f"{problem}; both have to lie on one grid: this file has {grid}; {image} has {other}; "
        "resample one to the other (masks by the nearest voxel)",
        path,
    )


def _mask(files: CaseFiles, grid: Grid, image: str, settings: VolumeSettings) -> NDArray[np.uint8]:
    if not settings.masks:
        return _stored_mask(files, files.one("mask"), grid, image, settings)
    mask = np.zeros(grid.shape, np.uint8)
    for role, number in sorted(settings.masks.items(), key=lambda item: item[1]):
        mask[_stored_mask(files, files.one(role), grid, image, settings) > 0] = number
    return mask


def _stored_mask(
    files: CaseFiles, path: str, grid: Grid, image: str, settings: VolumeSettings
) -> NDArray[np.uint8]:
    stored = _load(files, path)
    if stored.grid.channels > 1:
        raise files.error(
            f"mask has {stored.grid.channels} numbers per voxel; a mask has one", path
        )
    refuse_elsewhere(files, path, stored.grid, grid, image)
    return as_classes(files, path, stored.array, settings.values, settings.threshold)


def as_classes(
    files: CaseFiles,
    path: str,
    mask: NDArray[np.generic],
    values: Values | None = None,
    threshold: float | None = None,
) -> NDArray[np.uint8]:
    """Classes (uint8) of a stored mask of any real type; `DataError` for a value that is none."""
    if threshold is not None:
        if not np.isfinite(mask).all():
            raise files.error("mask holds NaN or infinite voxels", path)
        return np.greater(mask, threshold).astype(np.uint8)
    if values is None and mask.dtype.kind in "bu" and mask.max(initial=0) <= 255:
        return mask.astype(np.uint8)
    if values is None:
        classes = np.clip(np.nan_to_num(mask), 0, 255).astype(np.uint8)
        wrong = mask[classes != mask]
        allowed = "classes are whole numbers from 0 to 255"
    else:
        classes = np.zeros(mask.shape, np.uint8)
        left = mask != 0
        for value, number in values.items():
            where = mask == value
            classes[where] = number
            left &= ~where
        wrong = mask[left]
        allowed = f"declared are 0 and {', '.join(f'{value:g}' for value in sorted(values))}"
    if wrong.size:
        found = ", ".join(f"{value:g}" for value in np.unique(wrong)[:5])
        raise files.error(
            f"mask holds {found} in {wrong.size} voxel(s); {allowed}; a soft mask needs a "
            "`threshold`",
            path,
        )
    return classes
