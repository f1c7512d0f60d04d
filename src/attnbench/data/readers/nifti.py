"""NIfTI files through nibabel, with what their headers may get wrong in one place."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.grid import Grid, Refused, Volume, checked

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header, Nifti1Image

ENDINGS = (".nii.gz", ".nii")
_PLACEMENT = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
    "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
_LENGTH = 7  # the bits of `xyzt_units` that say the unit of length, not of time
UNITS = {"unknown": None, "mm": "mm", "micron": "um", "meter": "m"}


def nifti_grid(path: Path) -> Grid:
    """Read where the voxels of a file lie, without its voxels.

    Raises:
        Refused: its header contradicts itself, or the voxels are no real numbers.
        OSError: the file cannot be read.
    """
    return _grid(_open(path))


def nifti_placement(path: Path) -> Nifti1Header:
    """A header that places voxels as the file's own does, to the bit, and says nothing else.

    Both orientations, their codes, voxel sizes and the unit of length are the file's; NIfTI-1 or 2
    as the file. Raises as `nifti_grid` does.
    """
    source = _open(path).header
    header = type(source)()
    for name in _PLACEMENT:
        header[name] = source[name]
    header["pixdim"][:4] = source["pixdim"][:4]
    header["xyzt_units"] = source["xyzt_units"] & _LENGTH
    return header


def load_nifti(path: Path) -> Volume:
    """Read a file in its own axes; a fourth axis is channels. Raises as `nifti_grid` does."""
    volume = _open(path)
    grid = _grid(volume)
    with _damage_told():
        array = np.asanyarray(volume.dataobj)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Volume(grid, array.reshape(*grid.shape, *[grid.channels][: grid.channels > 1]))


def _open(path: Path) -> Nifti1Image:
    import nibabel

    _check_ending(path)
    with _damage_told():
        volume = nibabel.load(path)
        if not isinstance(volume, nibabel.Nifti1Image):
            raise OSError(f"its content is {type(volume).__name__}, not NIfTI")
        _check_forms(volume)
    return volume


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn what nibabel raises over damaged files, which is many things, into `OSError`."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, ImageDataError

    own = (ImageFileError, HeaderDataError, ImageDataError)
    try:
        yield
    except (*own, gzip.BadGzipFile, KeyError, OverflowError, TypeError) as error:
        raise OSError(f"its header or content is damaged: {error}") from error


def _check_ending(path: Path) -> None:
    """Refuse a file that nibabel would take for damaged, because its name misleads."""
    with path.open("rb") as stream:
        start = stream.read(348)
    packed, plain = start[:2] == b"\x1f\x8b", start[344:347] in (b"n+1", b"n+2")
    if packed and not path.name.lower().endswith(".gz"):
        raise Refused("its content is compressed; rename it to end in .nii.gz")
    if plain and path.name.lower().endswith(".gz"):
        raise Refused("its content is not compressed; rename it to end in .nii")


def _check_forms(volume: Nifti1Image) -> None:
    """Refuse a header whose two orientations turn the volume differently: sides would swap."""
    from nibabel.orientations import aff2axcodes

    header = volume.header
    if header["sform_code"] > 0 and header["qform_code"] > 0:
        forms = header.get_sform(), header.get_qform()
        sform, qform = ("".join(map(str, aff2axcodes(form))) for form in forms)
        if sform != qform:
            raise Refused(
                f"its header states two orientations, {sform} (sform) and {qform} (qform); write "
                "the file again with the right one in both"
            )


def _grid(volume: Nifti1Image) -> Grid:
    header, shape = volume.header, volume.shape
    with _damage_told():
        dtype, unit = header.get_data_dtype(), header.get_xyzt_units()[0]
    if dtype.names or dtype.kind not in "biuf":
        kind = "colours" if dtype.names else f"of type {dtype}"
        raise Refused(f"its voxels are {kind}; a voxel is one real number")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:  # vectors: the fourth axis is time
        shape = (*shape[:3], shape[4])
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise Refused(f"has axes {shape}; a volume has 3, or 4 with channels last")
    axes = min(len(shape), 3)
    spacing = tuple(round(float(size), 6) for size in header.get_zooms()[:axes])
    known = header["sform_code"] > 0 or header["qform_code"] > 0
    return checked(
        Grid(
            shape=tuple(map(int, shape[:axes])),
            affine=_affine(volume),
            spacing=spacing,
            channels=int(shape[3]) if len(shape) == 4 else 1,
            stated=bool(known) or set(spacing) != {1.0},
            unit=UNITS.get(unit),
            dtype=str(dtype.newbyteorder("=")),
        )
    )


def _affine(volume: Nifti1Image) -> NDArray[np.float64]:
    affine = volume.affine
    if affine is None:
        raise Refused("its header places no voxel")
    return np.asarray(affine, np.float64)
