"""MedSegBench archives (`.npz`): any case is read without the others.

Layout: `{train,val,test}_images` (N, H, W) or (N, H, W, 3) and `{train,val,test}_label` (N, H, W),
unsigned bytes. The files hold no patients (Kuş and Aydin, Scientific Data 11:1283, 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from attnbench.catalog import Entry, FileRow
from attnbench.data.case import RawCase
from attnbench.data.readers.npz import NpzArray, open_npz
from attnbench.data.readers.pictures import pixel_spacing
from attnbench.data.readers.registry import UNREADABLE, CaseFiles, reader
from attnbench.errors import DataError

PARTS = {"train": "train", "validation": "val", "test": "test"}  # our word: the archive's
PARTS_BY_WORD = {word: part for part, word in PARTS.items()}
ROLES = ("image", "mask")  # of the archive in each of its cases


@reader("medsegbench")
def read_medsegbench(files: CaseFiles) -> RawCase:
    """Read one image (1 or 3 channels) and its mask of classes from the archive.

    The case's name says which: `validation-00012`. Its label `part` is its part of the authors'
    split. The setting `nonzero` says that a mask may number objects of the one class; the setting
    `parts`, which of the archive's parts are read.
    """
    path = files.one("image")
    part, _, number = files.case.rpartition("-")
    with files.reading(path) as archive:
        arrays = opened_parts(archive, archive.stat().st_mtime_ns)
        if part not in arrays or not number.isdecimal() or int(number) >= arrays[part][0].shape[0]:
            raise files.error(f"the archive has no such case; it has {_counted(archive)}", path)
        image, mask = (array.item(int(number)) for array in arrays[part])
    if files.entry.reader.settings.get("nonzero"):
        mask = (mask > 0).astype(np.uint8)
    channels = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    labels = {"part": part}
    return RawCase(files.case, files.group, channels, mask, pixel_spacing(files), labels=labels)


def archive_cases(entry: Entry, archive: Path) -> Iterator[CaseFiles]:
    """Yield every case of a fetched archive in its order, each a group of its own.

    Raises:
        DataError: the archive is damaged, or its arrays are not as the layout has them.
    """
    try:
        names = case_names(archive)
    except UNREADABLE as error:
        raise DataError(
            f"{entry.name}: {archive} cannot be read: {error}; remove it and fetch the dataset "
            f"again (`attnbench fetch --dataset {entry.name}`)"
        ) from error
    read = [PARTS_BY_WORD[word] for word in entry.reader.settings.get("parts", PARTS_BY_WORD)]
    for name in names:
        if name.rpartition("-")[0] not in read:
            continue
        rows = tuple(FileRow(archive.name, 0, "", role, name, name) for role in ROLES)
        yield CaseFiles(entry, archive.parent, name, name, rows)


def case_names(archive: Path) -> list[str]:
    """Names of all cases: `train-00000`, ..., `validation-00000`, ...; reads no image.

    Raises:
        ValueError: the archive is damaged, or its arrays are not as the layout has them.
        OSError: it cannot be read.
    """
    parts = opened_parts(archive, archive.stat().st_mtime_ns)
    return [
        f"{part}-{number:05d}" for part, (images, _) in parts.items() for number in
        range(images.shape[0])
    ]  # fmt: skip


@lru_cache(maxsize=4)
def opened_parts(archive: Path, changed: int) -> dict[str, tuple[NpzArray, NpzArray]]:
    """Images and masks of the parts that an archive has, in their order.

    `changed`, the time of its last change, keeps the cache true. Raises as `case_names` does.
    """
    arrays = open_npz(archive)
    there = {
        part: [f"{word}_{kind}" in arrays for kind in ("images", "label")]
        for part, word in PARTS.items()
    }
    if not any(map(any, there.values())) or any(any(has) != all(has) for has in there.values()):
        raise ValueError(
            "it needs <part>_images and <part>_label for a part of train, val, test; it has "
            f"{', '.join(sorted(arrays)) or 'no array'}"
        )
    return {part: _pair(arrays, PARTS[part]) for part, has in there.items() if all(has)}


def _pair(arrays: dict[str, NpzArray], word: str) -> tuple[NpzArray, NpzArray]:
    images, masks = arrays[f"{word}_images"], arrays[f"{word}_label"]
    allowed = (masks.shape, (*masks.shape, 3))
    if len(masks.shape) != 3 or images.shape not in allowed or 0 in masks.shape[1:]:
        raise ValueError(
            f"{images.name} has shape {images.shape}, {masks.name} {masks.shape}; images are "
            "(N, H, W) or (N, H, W, 3), masks (N, H, W)"
        )
    for array in (images, masks):
        if array.dtype != np.uint8:
            raise ValueError(f"{array.name} has type {array.dtype}; the layout has uint8")
    return images, masks


def _counted(archive: Path) -> str:
    parts = opened_parts(archive, archive.stat().st_mtime_ns)
    return ", ".join(f"{images.shape[0]} of {part}" for part, (images, _) in parts.items())
