"""Microscopy in the BIDS layout: a mask per class, pixel size in a JSON file (axon_sem)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase, Spacing
from attnbench.data.readers.pictures import read_binary, read_colours
from attnbench.data.readers.registry import CaseFiles, reader

MICROMETRES = {"nm": 1e-3, "um": 1.0, "mm": 1e3}


@reader("class_masks")
def read_class_masks(files: CaseFiles) -> RawCase:
    """Read image, the masks of the entry's setting `masks` (class by role), pixel size in um."""
    path = files.one("image")
    mask = _classes(files, **files.entry.reader.settings)
    return RawCase(
        files.case, files.group, read_colours(files, path), mask, _pixel_size(files, path)
    )


def _classes(files: CaseFiles, masks: Mapping[str, int], threshold: int) -> NDArray[np.uint8]:
    """One mask of all classes; where two overlap, at borders, the higher number stays."""
    shapes: dict[str, tuple[int, ...]] = {}
    mask = np.zeros(0, dtype=np.uint8)
    for role, value in sorted(masks.items(), key=lambda item: item[1]):
        path = files.one(role)
        where = read_binary(files, path, threshold)
        if not shapes:
            mask = np.zeros(where.shape, dtype=np.uint8)
        shapes[role] = where.shape
        if where.shape != mask.shape:
            raise files.error(f"masks of one case have different shapes: {shapes}", path)
        mask[where] = value
    return mask


def _pixel_size(files: CaseFiles, image: str) -> Spacing:
    """Pixel size (H, W) in um; BIDS writes [x, y], in one file for all images of an animal."""
    path = _side_file(files, image)
    with files.reading(path) as file:
        content = json.loads(file.read_text(encoding="utf-8"))
    try:
        factor = MICROMETRES[content["PixelSizeUnits"]]
        x, y = (float(side) * factor for side in content["PixelSize"])
    except (KeyError, TypeError, ValueError) as error:
        units = ", ".join(MICROMETRES)
        raise files.error(
            f"PixelSize [x, y] and PixelSizeUnits ({units}) are needed: {error!r}", path
        ) from error
    return (y, x)


def _side_file(files: CaseFiles, image: str) -> str:
    """JSON file in the image's folder whose name has the most of the image's BIDS entities."""
    picture = PurePosixPath(image)
    entities = set(picture.stem.split("_"))
    listed = (PurePosixPath(row.path) for row in files.loose if row.path.endswith(".json"))
    fitting = [
        path
        for path in listed
        if path.parent == picture.parent and set(path.stem.split("_")) <= entities
    ]
    if not fitting:
        raise files.error("no JSON file with the pixel size lies beside the image", image)
    return str(max(fitting, key=lambda path: len(path.stem.split("_"))))
