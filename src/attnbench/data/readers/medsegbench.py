"""Cases of a MedSegBench archive (`.npz`), streamed: memory for one case, whatever the archive.

Layout: `{train,val,test}_images` (N, H, W) or (N, H, W, 3) and `{train,val,test}_label` (N, H, W),
unsigned bytes. The files hold no patients (Kuş and Aydin, Scientific Data 11:1283, 2024).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import Entry, FileRow
from attnbench.data.case import RawCase
from attnbench.data.readers.pictures import pixel_spacing
from attnbench.data.readers.registry import UNREADABLE, CaseFiles, reader
from attnbench.errors import DataError

PARTS = {"train": "train", "val": "validation", "test": "test"}  # the archive's word: ours


@reader("medsegbench")
def read_medsegbench(files: CaseFiles) -> RawCase:
    """Read one image (1 or 3 channels) and its mask of classes, as `npz_cases` unpacked them.

    Its label `part` is its part of the authors' split. The setting `nonzero` says that a mask may
    number objects of the one class; the setting `parts`, which of the archive's parts are read.
    """
    with files.reading(files.one("image")) as path:
        image = np.load(path)
    with files.reading(files.one("mask")) as path:
        mask = np.load(path)
    if files.entry.reader.settings.get("nonzero"):
        mask = (mask > 0).astype(np.uint8)
    channels = np.moveaxis(image, -1, 0) if image.ndim == 3 else image[None]
    labels = {"part": files.case.partition("-")[0]}
    return RawCase(files.case, files.group, channels, mask, pixel_spacing(files), labels=labels)


def npz_cases(entry: Entry, archive: Path) -> Iterator[CaseFiles]:
    """Yield the archive's cases in its order: `train-00000`, ..., `validation-00000`, ...

    A case has one `image` and one `mask` in a folder that is gone when the next case is asked
    for, and is a group of its own, for nothing is known of patients. What is read of the archive
    is read once.

    Raises:
        DataError: the archive is damaged, or its arrays are not as the layout has them.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            read = entry.reader.settings.get("parts", PARTS)
            for word in parts_of(opened):
                if word in read:
                    yield from _part(entry, opened, word)
    except (zipfile.BadZipFile, NotImplementedError, *UNREADABLE) as error:
        raise DataError(
            f"{entry.name}: {archive} is no whole archive of MedSegBench's layout ({error}); "
            "fetch or copy it again"
        ) from error


def parts_of(opened: zipfile.ZipFile) -> list[str]:
    """The archive's words for the parts that it has, in their order; `ValueError` without one."""
    names = set(opened.namelist())
    found = {
        word: [f"{word}_{kind}.npy" in names for kind in ("images", "label")] for word in PARTS
    }
    halves = [word for word, there in found.items() if any(there) and not all(there)]
    parts = [word for word, there in found.items() if all(there)]
    if halves or not parts:
        raise ValueError(
            "it needs <part>_images and <part>_label for a part of train, val, test; it has "
            f"{', '.join(sorted(names)) or 'nothing'}"
        )
    return parts


def _part(entry: Entry, opened: zipfile.ZipFile, word: str) -> Iterator[CaseFiles]:
    with ExitStack() as stack:
        images, masks = (
            open_stack(stack, opened, f"{word}_{kind}.npy") for kind in ("images", "label")
        )
        if len(images.shape) < 3 or len(masks.shape) < 3 or images.shape[:3] != masks.shape:
            raise ValueError(
                f"{word}_images has shape {images.shape}, {word}_label {masks.shape}; images are "
                "(N, H, W) or (N, H, W, 3), masks (N, H, W)"
            )
        for number in range(images.shape[0]):
            with TemporaryDirectory() as folder:
                yield _unpack(entry, Path(folder), word, number, images, masks)
        images.finish()
        masks.finish()


def _unpack(
    entry: Entry, folder: Path, word: str, number: int, images: Stack, masks: Stack
) -> CaseFiles:
    case = f"{PARTS[word]}-{number:05d}"
    rows = []
    for role, name, stack in (("image", "images", images), ("mask", "label", masks)):
        path = f"{word}_{name}[{number}].npy"
        np.save(folder / path, stack.next())
        rows.append(FileRow(path, 0, "", role, case, case))
    return CaseFiles(entry, folder, case, case, tuple(rows))


@dataclass(frozen=True)
class Stack:
    """An array of an open archive, read item by item along its first axis."""

    name: str
    stream: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def next(self) -> NDArray[np.generic]:
        """The next item; `ValueError` where the array ends too early."""
        shape = self.shape[1:]
        size = math.prod(shape) * self.dtype.itemsize
        data = self.stream.read(size)
        if len(data) != size:
            raise ValueError(f"{self.name} ends too early")
        return np.frombuffer(data, self.dtype).reshape(shape)

    def finish(self) -> None:
        """Read to the end, where the archive's checksum is compared."""
        if self.stream.read(1):
            raise ValueError(f"{self.name} is longer than its header says")


def open_stack(stack: ExitStack, opened: zipfile.ZipFile, name: str) -> Stack:
    """Open one array of the archive; `ValueError` if it is no array of unsigned bytes."""
    stream = stack.enter_context(opened.open(name))
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"{name} has NumPy's format {version}; known are 1.0 and 2.0")
    shape, fortran, dtype = read[version](stream)
    if dtype != np.uint8 or fortran:
        order = "Fortran" if fortran else "C"
        raise ValueError(f"{name} has type {dtype} in {order} order; it has uint8 in C order")
    return Stack(name, stream, shape, dtype)
