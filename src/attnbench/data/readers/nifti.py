"""Pairs of NIfTI volumes, image and mask (hippocampus; the Medical Segmentation Decathlon)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase, Spacing
from attnbench.data.readers.registry import CaseFiles, reader

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

TOLERANCE = 0.1  # largest disagreement of image and mask position, in voxels


@reader("nifti")
def read_nifti(files: CaseFiles) -> RawCase:
    """Read image and mask, turned to the nearest right-anterior-superior axes, spacing in mm.

    Both are turned by their own affine, so that a mask stored with other axes than its image
    still falls on it; after that, the two have to lie at the same place. A fourth axis of the
    image is its channels.
    """
    image_path, mask_path = files.one("image"), files.one("mask")
    image, spacing, affine = _load(files, image_path)
    mask, _, mask_affine = _load(files, mask_path)
    if mask.ndim == 4 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if image.shape[:3] == mask.shape:  # another shape is refused later, with the other checks
        _same_place(files, mask_path, affine, mask_affine, image.shape[:3], spacing)
    channels = np.moveaxis(image, -1, 0) if image.ndim == 4 else image[None]
    return RawCase(files.case, files.group, channels, _as_classes(files, mask_path, mask), spacing)


def _load(files: CaseFiles, path: str) -> tuple[NDArray[np.generic], Spacing, NDArray[np.float64]]:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    with files.reading(path) as file:
        try:
            volume: Nifti1Image = nibabel.as_closest_canonical(nibabel.load(file))
            array = np.asanyarray(volume.dataobj)
        except ImageFileError as error:
            raise OSError(str(error)) from error
    unit = volume.header.get_xyzt_units()[0]
    if unit not in ("mm", "unknown"):
        raise files.error(f"its header measures in {unit!r}; volumes are in mm", path)
    if array.ndim not in (3, 4):
        raise files.error(f"has {array.ndim} axes; a volume has 3, or 4 with channels last", path)
    spacing = tuple(round(float(size), 6) for size in volume.header.get_zooms()[:3])
    return array, spacing, np.asarray(volume.affine)


def _same_place(
    files: CaseFiles,
    path: str,
    image: NDArray[np.float64],
    mask: NDArray[np.float64],
    shape: tuple[int, ...],
    spacing: Spacing,
) -> None:
    """Compare where both affines put the corners of the grid, in voxels."""
    corners = np.array(
        [[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])]
    ).T
    apart = np.abs((image @ corners - mask @ corners)[:3]).max() / min(spacing)
    if not apart <= TOLERANCE:
        raise files.error(
            f"mask lies {apart:.2f} voxels away from its image according to their affines", path
        )


def _as_classes(files: CaseFiles, path: str, mask: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Classes, which may be stored in any number type, as uint8."""
    classes = np.clip(np.nan_to_num(mask), 0, 255).astype(np.uint8)
    wrong = mask[classes != mask]
    if wrong.size:
        raise files.error(
            f"mask holds {wrong.flat[0]}; classes are whole numbers from 0 to 255", path
        )
    return classes
