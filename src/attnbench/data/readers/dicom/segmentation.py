"""DICOM-SEG through highdicom: segments placed on the grid of their series by their positions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.dicom.headers import damage_told, open_dicom
from attnbench.data.readers.dicom.series import RAS
from attnbench.data.readers.grid import TOLERANCE, Grid, Refused
from attnbench.errors import listed

if TYPE_CHECKING:
    from highdicom.seg import Segmentation


@damage_told()
def segment_names(path: Path) -> dict[int, str]:
    """Label of every segment by its number."""
    data = open_dicom(path, pixels=False)
    return {int(item.SegmentNumber): str(item.SegmentLabel) for item in data.SegmentSequence}


@damage_told()
def referenced_series(path: Path) -> set[str]:
    """Identifiers of the series that a segmentation says it was drawn on."""
    data = open_dicom(path, pixels=False)
    return {str(item.SeriesInstanceUID) for item in data.get("ReferencedSeriesSequence") or []}


@damage_told()
def load_segments(path: Path, grid: Grid, names: Mapping[str, int]) -> NDArray[np.uint8]:
    """Draw segments on a series' grid (columns, rows, slices) as classes.

    Args:
        path: of the DICOM-SEG file.
        grid: of the series, in its own axes.
        names: class by segment label, several labels of one class allowed; other segments are
            left out. Where two overlap, the higher class stays.

    Raises:
        Refused: fractions instead of a mask, a segment that is missing, or frames that do not lie
            on the grid.
        OSError: the file cannot be read.
    """
    import highdicom

    data = open_dicom(path)
    try:
        segments = highdicom.seg.Segmentation.from_dataset(data, copy=False)
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise OSError(f"no whole DICOM-SEG file: {error}") from error
    if str(segments.segmentation_type.value) == "FRACTIONAL":
        raise Refused(
            "it holds fractions (FRACTIONAL), not a mask; write it as BINARY or LABELMAP, cut at "
            "the fraction that you mean"
        )
    mask = np.zeros(grid.shape, np.uint8)
    there = segment_names(path)
    for number, labels in sorted(by_class(names).items()):
        found = [key for key, label in there.items() if label in labels]
        if not found:
            raise Refused(
                f"it has no segment {' or '.join(labels)}; it has {listed([*there.values()], 10)}"
            )
        for key in found:
            _draw(mask, segments, key, number, grid)
    return mask


def by_class(names: Mapping[str, int]) -> dict[int, list[str]]:
    """Labels by class: different hands may have given a class different labels."""
    classes: dict[int, list[str]] = {}
    for label, number in names.items():
        classes.setdefault(number, []).append(label)
    return classes


def _draw(
    mask: NDArray[np.uint8], segments: Segmentation, key: int, number: int, grid: Grid
) -> None:
    try:
        volume = segments.get_volume(segment_numbers=[key])
    except (RuntimeError, ValueError) as error:
        raise Refused(f"its frames form no even volume: {error}") from error
    array = np.asarray(volume.array)[..., 0] > 0  # (slices, rows, columns)
    where = np.argwhere(array)
    if not len(where):
        return
    # Index in the segmentation -> millimetres -> index in the series.
    to_series = np.linalg.inv(grid.affine) @ RAS @ np.asarray(volume.affine)
    placed = where @ to_series[:3, :3].T + to_series[:3, 3]
    whole = np.rint(placed)
    off = np.abs(placed - whole).max()
    inside = ((whole >= 0) & (whole < grid.shape)).all()
    sides = np.linalg.norm(to_series[:3, :3], axis=0)
    if off > TOLERANCE or not inside or not np.allclose(sides, 1, atol=0.01):
        own = " x ".join(f"{side:.4g}" for side in np.asarray(volume.spacing)[::-1])
        shape = " x ".join(map(str, array.shape[::-1]))
        raise Refused(
            f"its frames ({shape} voxels of {own}) do not lie on the grid of the series ({grid}); "
            "segment the series itself, or resample"
        )
    mask[tuple(whole.astype(int).T)] = number
