"""RTSTRUCT: closed contours on slices become masks, by the rule of `fill_polygons`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.dicom.headers import damage_told, open_dicom
from attnbench.data.readers.dicom.polygons import fill_polygons
from attnbench.data.readers.dicom.segmentation import by_class
from attnbench.data.readers.dicom.series import RAS
from attnbench.data.readers.grid import Grid, Refused
from attnbench.errors import listed

if TYPE_CHECKING:
    from pydicom import Dataset

OUTSIDE = 1.0  # how far a contour may leave the image, in voxels
BETWEEN = 0.1  # largest distance of a contour to its slice, as a share of the slices' distance


@damage_told()
def structure_names(path: Path) -> dict[int, str]:
    """Name of every structure by its number."""
    data = open_dicom(path)
    return {int(item.ROINumber): str(item.ROIName) for item in data.StructureSetROISequence}


@damage_told()
def structures_series(path: Path) -> set[str]:
    """Identifiers of the series that structures say they were drawn on."""
    data = open_dicom(path)
    return {
        str(series.SeriesInstanceUID)
        for frame in data.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    }


@damage_told()
def load_structures(
    path: Path, grid: Grid, names: Mapping[str, int], frame_of_reference: str
) -> NDArray[np.uint8]:
    """Draw structures on a series' grid (columns, rows, slices) as classes.

    Args:
        path: of the RTSTRUCT file.
        grid: of the series, in its own axes.
        names: class by structure name, several names of one class allowed; other structures are
            left out. Where two overlap, the higher class stays.
        frame_of_reference: of the series; structures drawn in another one are refused.

    Raises:
        Refused: a structure that is missing, drawn between slices or elsewhere, or not by closed
            contours.
        OSError: the file cannot be read.
    """
    data = open_dicom(path)
    numbers = {str(item.ROIName): item for item in data.StructureSetROISequence}
    contours = {int(item.ReferencedROINumber): item for item in data.ROIContourSequence}
    mask = np.zeros(grid.shape, np.uint8)
    for number, labels in sorted(by_class(names).items()):
        found = [item for name, item in numbers.items() if name in labels]
        if not found:
            raise Refused(
                f"it has no structure {' or '.join(labels)}; it has {listed(sorted(numbers), 10)}"
            )
        for item in found:
            _refuse_other_frame(item, frame_of_reference)
            own = contours.get(int(item.ROINumber))
            drawn = own.get("ContourSequence") if own is not None else None
            if not drawn:
                raise Refused(f"structure {item.ROIName!r} has no contour")
            mask[fill_contours(_polygons(str(item.ROIName), drawn), grid)] = number
    return mask


def _refuse_other_frame(item: Dataset, frame_of_reference: str) -> None:
    frame = str(item.get("ReferencedFrameOfReferenceUID", ""))
    if frame and frame_of_reference and frame != frame_of_reference:
        raise Refused(
            f"structure {item.ROIName!r} is drawn in the frame of reference {frame}, the series is "
            f"in {frame_of_reference}; take the structures that were drawn on it"
        )


def _polygons(name: str, drawn: Any) -> list[NDArray[np.float64]]:
    """Corners (N, 3) of every contour, in millimetres towards right, anterior and superior."""
    polygons = []
    for contour in drawn:
        kind = str(contour.get("ContourGeometricType", ""))
        if kind != "CLOSED_PLANAR":
            raise Refused(f"structure {name!r} has a contour of the type {kind}, which is no area")
        corners = np.array(contour.ContourData, float).reshape(-1, 3)
        polygons.append(corners @ RAS[:3, :3])
    return polygons


def fill_contours(polygons: list[NDArray[np.float64]], grid: Grid) -> NDArray[np.bool_]:
    """Voxels (*grid.shape) of a structure.

    `polygons` are corners (N, 3) in the millimetres of the grid's affine. Raises `Refused` for one
    that lies in no slice or leaves the image.
    """
    inside = np.zeros(grid.shape, bool)
    to_voxels = np.linalg.inv(grid.affine)
    slices: dict[int, list[NDArray[np.float64]]] = {}
    for corners in polygons:
        placed = corners @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        depth = float(placed[:, 2].mean())
        if np.abs(placed[:, 2] - round(depth)).max() > BETWEEN or not (
            0 <= round(depth) < grid.shape[2]
        ):
            raise Refused(
                f"a contour lies at slice {depth:.2f} (tilted by {np.ptp(placed[:, 2]):.2f} "
                f"slices), the series has the slices 0 to {grid.shape[2] - 1}; structures are "
                "drawn on the slices of their series"
            )
        beyond = max(-placed[:, :2].min(), (placed[:, :2] - np.array(grid.shape[:2]) + 1).max())
        if beyond > OUTSIDE:
            raise Refused(
                f"a contour on slice {round(depth)} leaves the image by {beyond:.1f} voxels; "
                f"structures are drawn on their series, which has {grid}"
            )
        slices.setdefault(round(depth), []).append(placed[:, :2])
    for number, own in slices.items():
        inside[:, :, number] = fill_polygons(own, (grid.shape[0], grid.shape[1]))
    return inside
