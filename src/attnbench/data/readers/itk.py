"""MHA, MHD and NRRD files through SimpleITK, in the axes that nibabel gives the same volume."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.grid import Grid, Refused, Volume, checked

if TYPE_CHECKING:
    import SimpleITK

ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")
NRRD = (".nrrd", ".nhdr")
HEADER_BYTES = 1 << 16
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's axes lead left and posterior
UNITS = {"mm": "mm", "millimeter": "mm", "millimeters": "mm", "um": "um", "µm": "um",
         "micron": "um", "microns": "um", "micrometer": "um", "m": "m", "cm": "cm"}  # fmt: skip


def itk_grid(path: Path) -> Grid:
    """Read where the voxels of a file lie, without its voxels.

    Raises:
        Refused: its header contradicts itself, or the voxels are no real numbers.
        OSError: the file cannot be read.
    """
    return _open(path)[1]


def load_itk(path: Path) -> Volume:
    """Read a file in its own axes, channels last. Raises as `itk_grid` does."""
    import SimpleITK

    reader, grid = _open(path)
    try:
        stored = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise OSError(_said(error)) from error
    # ITK's arrays run (..., Z, Y, X), and vectors keep their components last.
    axes = list(reversed(range(reader.GetDimension())))
    vectors = stored.ndim > reader.GetDimension()
    array = stored.transpose(*axes, *[stored.ndim - 1][: int(vectors)])
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Volume(grid, array.reshape(*grid.shape, *[grid.channels][: grid.channels > 1]))


def _open(path: Path) -> tuple[SimpleITK.ImageFileReader, Grid]:
    import SimpleITK

    header = _header(path)
    data = _data_file(path, header)
    if data is not None and not data.is_file():
        raise OSError(f"its voxels are to lie in {data.name}, which is not there")
    reader = SimpleITK.ImageFileReader()
    # Asked for by its ending in small letters alone, ITK would not know `.MHA`.
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() in NRRD else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise OSError(_said(error)) from error
    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in kind:
        raise Refused(f"its voxels are of type {kind}; a voxel is one real number")
    size, dimension = list(reader.GetSize()), reader.GetDimension()
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    components = reader.GetNumberOfComponents()
    if len(size) not in (2, 3, 4) or (len(size) == 4 and components > 1):
        raise Refused(f"has axes {tuple(size)}; a volume has 3, or 4 with channels last")
    axes = min(len(size), 3)
    spacing = np.array(reader.GetSpacing()[:axes])
    grid = Grid(
        shape=tuple(size[:axes]),
        affine=_affine(reader, dimension, axes),
        spacing=tuple(round(float(side), 6) for side in spacing),
        channels=size[3] if len(size) == 4 else components,
        stated=re.search(r"^(ElementSpacing|ElementSize|space directions|spacings)\b", header, re.M)
        is not None,
        unit=_unit(header),
        dtype=kind.removeprefix("vector of ").replace(" ", "_"),
    )
    return reader, checked(grid)


def _affine(reader: SimpleITK.ImageFileReader, dimension: int, axes: int) -> NDArray[np.float64]:
    direction = np.array(reader.GetDirection()).reshape(dimension, dimension)
    affine = np.eye(4)
    affine[:axes, :axes] = direction[:axes, :axes] * np.array(reader.GetSpacing()[:axes])
    affine[:axes, 3] = reader.GetOrigin()[:axes]
    return RAS @ affine


def data_file(path: Path) -> Path | None:
    """The file in which the voxels of a header file (`.mhd`, `.nhdr`) lie; None: in itself.

    Raises:
        Refused: they lie in several files.
        OSError: the file cannot be read.
    """
    return _data_file(path, _header(path))


def _data_file(path: Path, header: str) -> Path | None:
    line = re.search(r"^(?:ElementDataFile *=|data ?file:)(.*)$", header, re.M | re.I)
    name = line[1].strip() if line else "LOCAL"
    if name.upper() == "LOCAL":
        return None
    if name.upper().startswith("LIST") or "%" in name:
        raise Refused("its voxels lie in several files; write them into one")
    return path.parent / name


def _header(path: Path) -> str:
    """The lines of text that such files begin with."""
    with path.open("rb") as stream:
        content = stream.read(HEADER_BYTES)
    end = re.search(rb"^ElementDataFile.*$|\r?\n\r?\n", content, re.M)
    return content[: end.end() if end else None].decode("utf-8", "replace")


def _unit(header: str) -> str | None:
    """The unit that an NRRD header states; `Refused` for one that is none of ours."""
    line = re.search(r"^space units:(.*)$", header, re.M)
    words = set(re.findall(r'"([^"]*)"', line[1])) - {""} if line else set()
    if not words:
        return None
    known = {UNITS.get(word) for word in words}
    if len(known) != 1 or None in known:
        raise Refused(f"its header measures in {', '.join(sorted(words))}; allowed are mm and um")
    return known.pop()


def _said(error: RuntimeError) -> str:
    """What ITK says went wrong, without where in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*?ERROR: ", "", lines[-1]) if lines else "SimpleITK does not say why"
