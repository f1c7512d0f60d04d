"""The reader of DICOM cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase
from attnbench.data.readers.dicom.headers import (
    LABEL_MAP,
    SEGMENTATION,
    STRUCTURES,
    class_of,
    is_dicom,
    require_packages,
)
from attnbench.data.readers.dicom.segmentation import load_segments
from attnbench.data.readers.dicom.series import Series, load_series
from attnbench.data.readers.dicom.structures import load_structures
from attnbench.data.readers.grid import Refused, Volume, canonical
from attnbench.data.readers.registry import CaseFiles, reader
from attnbench.data.readers.volume import as_classes, load_volume, refuse_elsewhere


@reader("dicom")
def read_dicom(files: CaseFiles) -> RawCase:
    """Read a series (all files with the role `image_slice`) and its mask, turned to RAS axes.

    The `mask` is a DICOM-SEG or RTSTRUCT file, whose segments or structures the reader's setting
    `segments` names (class by label), or a volume file on the grid of the series, with the
    settings `values` and `threshold` of the reader `volume`.
    """
    require_packages()
    settings = files.entry.reader.settings
    series = read_series(files)
    path = files.one("mask")
    with files.reading(path) as file:
        drawn = is_dicom(file)
    if drawn:
        classes = _drawn(files, path, series, settings.get("segments") or {})
        mask = canonical(Volume(series.volume.grid, classes)).array.astype(np.uint8)
        volume = canonical(series.volume)
    else:
        volume = canonical(series.volume)
        mask = _stored(files, path, volume, settings)
    return RawCase(files.case, files.group, volume.array[None], mask, volume.grid.spacing)


def read_series(files: CaseFiles, pixels: bool = True) -> Series:
    """The series of a case's slices; `DataError` says what is wrong with it. See `load_series`."""
    paths = files.paths("image_slice")
    if not paths:
        raise files.error("no file has the role 'image_slice'; a case has the slices of a series")
    try:
        with files.reading(paths[0]):
            return load_series([files.raw / path for path in paths], pixels)
    except Refused as error:
        raise files.error(str(error), f"{paths[0]} and {len(paths) - 1} more") from error


def _drawn(
    files: CaseFiles, path: str, series: Series, names: Mapping[str, int]
) -> NDArray[np.uint8]:
    try:
        with files.reading(path) as file:
            kind = class_of(file)
            if kind in (SEGMENTATION, LABEL_MAP):
                return load_segments(file, series.volume.grid, names)
            if kind == STRUCTURES:
                return load_structures(file, series.volume.grid, names, series.frame_of_reference)
    except Refused as error:
        raise files.error(str(error), path) from error
    raise files.error(
        f"is a DICOM file of the class {kind}; a mask is DICOM-SEG, RTSTRUCT or a volume file", path
    )


def _stored(
    files: CaseFiles, path: str, image: Volume, settings: Mapping[str, Any]
) -> NDArray[np.uint8]:
    try:
        with files.reading(path) as file:
            stored = canonical(load_volume(file))
    except Refused as error:
        raise files.error(str(error), path) from error
    refuse_elsewhere(files, path, stored.grid, image.grid, "its series")
    own = {key: settings[key] for key in ("values", "threshold") if key in settings}
    return as_classes(files, path, stored.array, **own)
