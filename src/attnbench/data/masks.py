"""Masks that another tool has written: one NIfTI or PNG file, turned to a case's own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import case_error
from attnbench.data.readers.registry import UNREADABLE
from attnbench.data.store import CaseStore
from attnbench.errors import DataError

ENDINGS = (".nii.gz", ".nii", ".png")
_TOLERANCE = 0.01  # of a spacing: writers round it


def find_masks(folder: Path) -> dict[str, Path]:
    """Files of masks in `folder` by the name of their case; other files are left alone.

    Raises:
        DataError: there is no such folder, or a case has two files.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; it holds one mask per test case, <case>.nii.gz")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), None)
        if ending is None:
            continue
        case = path.name.removesuffix(ending)
        if case in found:
            raise DataError(f"{path}: {found[case].name} is of the same case; keep one of the two")
        found[case] = path
    return found


def read_mask(path: Path, store: CaseStore, index: int) -> NDArray[np.uint8]:
    """Read a case's mask (*original_shape), 0 and the dataset's classes.

    Volumes are turned to the nearest right-anterior-superior axes, as the store's are. Pictures
    keep the file's axes.

    Raises:
        DataError: the file is unreadable, lies on another grid than the case, or holds anything
            but classes of the dataset.
    """
    case = store.columns["case"][index]
    try:
        array, spacing = _picture(path) if path.suffix == ".png" else _volume(path, store.info.ndim)
    except UNREADABLE as error:
        raise case_error(store.info.name, case, f"cannot be read: {error}", path) from error
    shape, sides = store.original_shape(index), store.original_spacing(index)
    if array.shape != shape:
        problem = f"has shape {array.shape}, the case {shape}"
    elif spacing and not np.allclose(spacing, sides, rtol=_TOLERANCE, atol=0):
        problem = f"has spacing {spacing}, the case {sides}"
    else:
        problem = ""
    if problem:
        raise case_error(
            store.info.name,
            case,
            f"{problem}; predictions lie on the case's own grid: resample them by the nearest "
            "voxel",
            path,
        )
    classes = {0, *store.info.classes}
    if unknown := sorted(set(np.unique(array).tolist()) - classes):
        raise case_error(
            store.info.name,
            case,
            f"holds {', '.join(f'{value:g}' for value in unknown[:5])}; allowed are the classes "
            f"{', '.join(map(str, sorted(classes)))}",
            path,
        )
    return array.astype(np.uint8)


def _volume(path: Path, ndim: int) -> tuple[NDArray[np.generic], tuple[float, ...]]:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.load(path)
        if ndim == 3:
            image = nibabel.as_closest_canonical(image)
        array = np.asanyarray(image.dataobj)  # type: ignore[attr-defined]
    except ImageFileError as error:
        raise OSError(str(error)) from error
    # Some writers give every image a third or a fourth axis.
    while array.ndim > ndim and array.shape[-1] == 1:
        array = array[..., 0]
    return array, tuple(float(side) for side in image.header.get_zooms()[:ndim])  # type: ignore[attr-defined]


def _picture(path: Path) -> tuple[NDArray[np.generic], None]:
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode not in ("L", "P", "1", "I", "I;16"):
            raise ValueError(f"its pixel mode is {picture.mode!r}; a mask has one channel")
        return np.array(picture), None
