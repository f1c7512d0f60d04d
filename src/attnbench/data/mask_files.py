"""Masks and probabilities as files that other programs read, on the grid of the case's original."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.targets import Form, Target
from attnbench.files import whole_file

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

ENDINGS: dict[Form, str] = {"nifti": ".nii.gz", "png": ".png", "tiff": ".tif"}
FULL = 2**16 - 1  # a probability of 1 in a PNG
_DESCRIPTION = 79  # bytes of a NIfTI header, without the last, which is zero
_NIFTI1_SIDE = 2**15 - 1


def mask_file(target: Target) -> str:
    """Name of the file that `write_mask` writes."""
    return target.stem + ENDINGS[target.form]


def probability_files(target: Target, classes: Iterable[int]) -> list[str]:
    """Names of the files that `write_probabilities` writes, in the order of `classes`."""
    return [f"{target.stem}_class{number}{ENDINGS[target.form]}" for number in classes]


def write_mask(folder: Path, target: Target, mask: NDArray[np.uint8], says: str) -> None:
    """Write a mask (*target.shape) of class numbers; see `mask_file`.

    Volumes become NIfTI (`.nii.gz`, uint8) in the axes of the original; where that is NIfTI, both
    orientations of its header are repeated bit by bit. Pictures become PNG, class numbers as grey
    values, stacks of pages TIFF: both without loss. `says` stands in the file's description.
    """
    _write(folder / mask_file(target), target, mask, says)


def write_probabilities(
    folder: Path, target: Target, probabilities: NDArray[np.float32], says: str
) -> None:
    """Write probabilities (K, *target.shape), a file for each class; see `probability_files`.

    They are float32 in NIfTI and TIFF. In PNG they are 16-bit greys, 65535 where the probability
    is 1: rounded by at most 0.000008.
    """
    names = probability_files(target, range(len(probabilities)))
    for name, own in zip(names, probabilities, strict=True):
        array = np.rint(own * FULL).astype(np.uint16) if target.form == "png" else own
        _write(folder / name, target, array, says)


def _write(path: Path, target: Target, array: NDArray[Any], says: str) -> None:
    stored = target.as_stored(array)
    with whole_file(path) as temporary:
        match target.form:
            case "nifti":
                packed = gzip.compress(_nifti(target, stored, says).to_bytes(), 6, mtime=0)
                temporary.write_bytes(packed)
            case "png":
                _write_png(temporary, stored, says)
            case "tiff":
                import tifffile

                tifffile.imwrite(
                    temporary,
                    stored,
                    photometric="minisblack",
                    compression="zlib",
                    description=says.encode("ascii", "replace").decode(),
                    metadata=None,
                )


def _nifti(target: Target, array: NDArray[Any], says: str) -> Nifti1Image:
    import nibabel

    large = max(array.shape) > _NIFTI1_SIDE
    if target.header is not None:
        large |= isinstance(target.header, nibabel.Nifti2Header)
    kind = nibabel.Nifti2Image if large else nibabel.Nifti1Image
    if target.header is not None:
        image = kind(array, None, target.header)
    else:
        image = kind(array, _affine(target))
        # Readers differ in which of the two they take.
        code = "scanner" if target.grid is not None else "aligned"
        image.set_qform(image.affine, code)
        image.set_sform(image.affine, code)
        image.header.set_xyzt_units("mm" if target.unit == "mm" else "unknown")
    image.set_data_dtype(array.dtype)
    image.header["descrip"] = says.encode("ascii", "replace")[:_DESCRIPTION]
    return image


def _affine(target: Target) -> NDArray[np.float64]:
    if target.grid is not None:
        return target.grid.affine
    return np.diag([*target.spacing, *[1.0] * (4 - len(target.spacing))])


def _write_png(path: Path, array: NDArray[Any], says: str) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    described = PngInfo()
    described.add_text("Description", says)
    Image.fromarray(array).save(path, pnginfo=described)
