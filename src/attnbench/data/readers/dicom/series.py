"""The slices of one DICOM series as a volume: sorted by position, every trap refused in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.dicom.headers import damage_told, needed, open_dicom
from attnbench.data.readers.grid import Grid, Refused, Volume, checked
from attnbench.errors import listed

if TYPE_CHECKING:
    from pydicom import Dataset

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's axes lead left and posterior
EVEN = 0.02  # largest difference of gaps between slices, as a share of a gap
SHEAR = 0.5  # largest shift of a slice in its plane against the first, in pixels


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane: where its first pixel lies (LPS, mm), where rows and columns lead, its pixels.

    pixels: (rows, columns), in the unit that the file's rescaling gives; None until they are
    wanted. uid: of the file, frame: its number from 1, 0 for a file of one plane.
    """

    file: str
    uid: str
    frame: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float | None
    shape: tuple[int, int]
    pixels: NDArray[Any] | None

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction across the slices, by the right-hand rule of DICOM."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True, eq=False)
class Series:
    """A series in order: its volume, and the slices behind it along the last axis.

    frame_of_reference: the coordinate system in which structures are drawn.
    """

    volume: Volume
    slices: tuple[Slice, ...]
    uid: str
    frame_of_reference: str
    modality: str


@damage_told()
def load_series(paths: Sequence[Path], pixels: bool = True) -> Series:
    """Read the files of one series.

    The volume has the axes (columns, rows, slices) and intensities after RescaleSlope and
    RescaleIntercept (Hounsfield units of CT). MONOCHROME1, where low numbers are bright, is
    turned round, except where rescaling gives the numbers a unit.

    Args:
        paths: of the files, in any order.
        pixels: False: read no pixel; the volume's array is empty.

    Raises:
        Refused: files of several series, planes that are missing, double, of different grids or
            sheared against each other (gantry tilt), colours, no position, no decoder.
        OSError: a file that is no DICOM file.
    """
    datasets = [(path, open_dicom(path, pixels)) for path in paths]
    _one_series(datasets)
    slices = [plane for path, data in datasets for plane in _planes(path, data, pixels)]
    ordered = _sorted(slices)
    first = datasets[0][1]
    return Series(
        _volume(ordered, pixels),
        ordered,
        str(first.get("SeriesInstanceUID", "")),
        str(first.get("FrameOfReferenceUID", "")),
        str(first.get("Modality", "")),
    )


def _one_series(datasets: Sequence[tuple[Path, Dataset]]) -> None:
    if not datasets:
        raise Refused("the series has no file")
    counts = Counter(str(data.get("SeriesInstanceUID", "")) for _, data in datasets)
    if len(counts) > 1:
        found = listed([f"{uid or 'none'} ({count} files)" for uid, count in counts.items()], 5)
        raise Refused(f"its files are of {len(counts)} series, {found}; a case is one series")


def _planes(path: Path, data: Dataset, pixels: bool) -> Iterator[Slice]:
    try:
        frames = int(data.get("NumberOfFrames", 1) or 1)
        _grey(data)
        groups = data.get("PerFrameFunctionalGroupsSequence")
        if groups is None and frames > 1:
            raise Refused(
                f"it has {frames} frames and no position of each (a film, not a volume); give "
                "single slices or enhanced DICOM"
            )
        stack, rescaled = _decoded(path, data, frames) if pixels else (None, False)
        for number in range(frames):
            own = _Frame(data, number if groups is not None else None)
            plane = stack if stack is None or stack.ndim == 2 else stack[number]
            yield _plane(
                path.name, data, own, number + 1 if groups is not None else 0, plane, rescaled
            )
    except Refused as error:
        raise Refused(f"{path.name}: {error}") from None


def _grey(data: Dataset) -> None:
    samples = int(data.get("SamplesPerPixel", 1))
    if "Rows" not in data:
        raise Refused(f"it holds no image (modality {data.get('Modality', 'unknown')})")
    if samples != 1 or data.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise Refused("it is in colours; a series has one number per voxel")


class _Frame:
    """Attributes of one plane: of the file, or of a frame's functional groups."""

    def __init__(self, data: Dataset, number: int | None) -> None:
        self.data = data
        self.groups: list[Dataset] = []
        if number is not None:
            shared = data.get("SharedFunctionalGroupsSequence") or []
            self.groups = [data.PerFrameFunctionalGroupsSequence[number], *shared]

    def find(self, macro: str, keyword: str) -> object | None:
        """The value in a functional group's `macro`, else in the file itself."""
        for group in self.groups:
            items = group.get(macro)
            if items and items[0].get(keyword) is not None:
                return items[0].get(keyword)
        return self.data.get(keyword)

    def needed(self, macro: str, keyword: str) -> Any:
        value = self.find(macro, keyword)
        return needed(self.data, keyword) if value is None else value


def _plane(
    name: str,
    data: Dataset,
    own: _Frame,
    frame: int,
    stored: NDArray[Any] | None,
    rescaled: bool,
) -> Slice:
    spacing = own.needed("PixelMeasuresSequence", "PixelSpacing")
    gap = own.find("PixelMeasuresSequence", "SpacingBetweenSlices") or own.find(
        "PixelMeasuresSequence", "SliceThickness"
    )
    return Slice(
        file=name,
        uid=str(data.get("SOPInstanceUID", "")),
        frame=frame,
        position=np.array(own.needed("PlanePositionSequence", "ImagePositionPatient"), float),
        orientation=np.array(
            own.needed("PlaneOrientationSequence", "ImageOrientationPatient"), float
        ),
        spacing=(float(spacing[0]), float(spacing[1])),
        thickness=abs(float(gap)) if gap else None,  # type: ignore[arg-type]
        shape=(int(data.Rows), int(data.Columns)),
        pixels=None if stored is None else _intensities(data, own, stored, rescaled),
    )


def _decoded(path: Path, data: Dataset, frames: int) -> tuple[NDArray[Any], bool]:
    """Numbers (rows, columns) or (frames, rows, columns), and whether they are rescaled already.

    What pydicom has no decoder for, lossless JPEG above all, SimpleITK's may know; it rescales.
    """
    syntax = data.file_meta.get("TransferSyntaxUID") if hasattr(data, "file_meta") else None
    try:
        return data.pixel_array, False
    except (RuntimeError, NotImplementedError, AttributeError, ValueError) as error:
        compressed = syntax is not None and syntax.is_compressed
        by_itk = _by_simpleitk(path) if compressed and frames == 1 else None
        if by_itk is not None:
            return by_itk, True
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        kind = getattr(syntax, "name", "unknown")
        advice = (
            "; decompress the files (gdcmconv --raw), or install a decoder: pip install "
            "pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
            if compressed
            else ""
        )
        raise Refused(f"its pixels ({kind}) cannot be decoded: {said}{advice}") from error


def _by_simpleitk(path: Path) -> NDArray[Any] | None:
    import SimpleITK

    try:
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))[0]
    except RuntimeError:
        return None  # the reason that pydicom gave is told instead


def _intensities(data: Dataset, own: _Frame, stored: NDArray[Any], rescaled: bool) -> NDArray[Any]:
    slope = float(own.find("PixelValueTransformationSequence", "RescaleSlope") or 1)  # type: ignore[arg-type]
    intercept = float(own.find("PixelValueTransformationSequence", "RescaleIntercept") or 0)  # type: ignore[arg-type]
    kind = own.find("PixelValueTransformationSequence", "RescaleType")
    unit = slope != 1 or intercept != 0 or kind not in (None, "US", "")
    if data.get("PhotometricInterpretation") == "MONOCHROME1" and not unit:
        bits = int(data.BitsStored)
        signed = int(data.get("PixelRepresentation", 0)) == 1
        stored = -1 - stored.astype(np.int32) if signed else (1 << bits) - 1 - stored
    if slope == 1 and intercept == 0:
        return stored
    if not (slope.is_integer() and intercept.is_integer()):
        values = stored if rescaled else stored.astype(np.float64) * slope + intercept
        return values.astype(np.float32)
    wide = stored if rescaled else stored.astype(np.int64) * int(slope) + int(intercept)
    small = np.iinfo(np.int16)
    fits = small.min <= wide.min() and wide.max() <= small.max
    return wide.astype(np.int16 if fits else np.int32)


def _sorted(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Slices along their normal; `Refused` unless they form an even stack on one grid."""
    first = slices[0]
    for what, found in (
        ("numbers of rows and columns", Counter(plane.shape for plane in slices)),
        ("pixel spacings", Counter(plane.spacing for plane in slices)),
        ("orientations", Counter(tuple(plane.orientation.round(4)) for plane in slices)),
    ):
        if len(found) > 1:
            shown = listed([f"{value} ({count} slices)" for value, count in found.items()], 5)
            raise Refused(f"its slices have {len(found)} {what}, {shown}; a volume has one grid")
    lengths = np.linalg.norm(first.orientation.reshape(2, 3), axis=1)
    if (
        not np.allclose(lengths, 1, atol=1e-3)
        or abs(first.orientation[:3] @ first.orientation[3:]) > 1e-3
    ):
        raise Refused(f"ImageOrientationPatient {first.orientation.tolist()} has no right angle")
    ordered = sorted(slices, key=lambda plane: float(plane.position @ first.normal))
    _even(ordered)
    _upright(ordered)
    return tuple(ordered)


def _even(ordered: Sequence[Slice]) -> None:
    places = np.array([plane.position @ ordered[0].normal for plane in ordered])
    gaps = np.diff(places)
    if not gaps.size:
        return
    usual = float(np.median(gaps))
    double = [k for k, gap in enumerate(gaps) if gap < 1e-3 or gap < usual * 0.1]
    if double:
        pairs = [f"{ordered[k].file} and {ordered[k + 1].file}" for k in double]
        raise Refused(
            f"{len(double)} slice(s) lie where another does: {listed(pairs, 5)}; remove what is "
            "double (a repeated scan is a series of its own)"
        )
    uneven = [k for k, gap in enumerate(gaps) if abs(gap - usual) > EVEN * usual]
    if uneven:
        found = [
            f"{gaps[k]:.4g} mm between {ordered[k].file} and {ordered[k + 1].file}" for k in uneven
        ]
        raise Refused(
            f"slices are {usual:.4g} mm apart, but {listed(found, 5)}; slices are missing, or the "
            "series is not even: resample it"
        )


def _upright(ordered: Sequence[Slice]) -> None:
    first, last = ordered[0], ordered[-1]
    across = last.position - first.position
    along_row = abs(across @ first.orientation[:3]) / first.spacing[1]
    along_column = abs(across @ first.orientation[3:]) / first.spacing[0]
    if max(along_row, along_column) > SHEAR:
        depth = abs(across @ first.normal)
        side = np.linalg.norm(across - (across @ first.normal) * first.normal)
        angle = np.degrees(np.arctan2(side, depth))
        raise Refused(
            f"its slices are sheared by {angle:.1f} degrees against their normal (gantry tilt); "
            "resample the series to an upright grid"
        )


def _volume(ordered: Sequence[Slice], pixels: bool) -> Volume:
    first = ordered[0]
    if len(ordered) > 1:
        across = (ordered[-1].position - first.position) / (len(ordered) - 1)
        gap = float(across @ first.normal)
    elif first.thickness is None:
        raise Refused("it has one slice and no SliceThickness; a volume needs its depth")
    else:
        gap = first.thickness
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.spacing[1]
    affine[:3, 1] = first.orientation[3:] * first.spacing[0]
    affine[:3, 2] = first.normal * gap
    affine[:3, 3] = first.position
    rows, columns = first.shape
    grid = Grid(
        shape=(columns, rows, len(ordered)),
        affine=RAS @ affine,
        spacing=tuple(round(side, 6) for side in (first.spacing[1], first.spacing[0], gap)),
        unit="mm",
        dtype="" if first.pixels is None else str(first.pixels.dtype),
    )
    array = np.zeros((0, 0, 0))
    if pixels:
        array = np.stack([plane.pixels.T for plane in ordered if plane.pixels is not None], -1)
    return Volume(checked(grid), array)
