"""The writer of case stores: a stream with one case in memory, whole or not at all."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from attnbench.data.case import PreparedCase, case_error
from attnbench.data.info import TABLE, DatasetInfo
from attnbench.data.normalise import STATISTICS, statistic_column
from attnbench.data.store import LABEL
from attnbench.errors import DataError
from attnbench.files import sha256_of, temporary_folder, write_csv, write_json

IMAGE_TYPES: tuple[np.dtype[Any], ...] = tuple(
    map(np.dtype, (np.uint8, np.int16, np.uint16, np.float32))
)
"""Types of stored images; a store has the narrowest one that holds those of all its cases."""
_CHUNK = 2**24  # bytes that are read at a time


class _FlatArray:
    """A growing one-dimensional `.npy` file, whose type can become wider.

    Numpy leaves room in the header for any length, so it can be written again at the end.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype), 0
        self.digest = hashlib.sha256()
        self.stream: IO[bytes] = path.open("wb")
        self._header()

    def _header(self) -> None:
        layout = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.stream, layout)

    def append(self, array: NDArray[Any]) -> None:
        data = np.ascontiguousarray(array, dtype=self.dtype).reshape(-1)
        self.stream.write(data.data)
        self.digest.update(data.data)
        self.length += data.size

    def hold(self, dtype: np.dtype[Any]) -> None:
        """Take a type that holds `dtype`, too, and write again what is there."""
        if np.can_cast(dtype, self.dtype):
            return
        both = np.result_type(self.dtype, dtype)
        # 16-bit integers with and without a sign meet in float32, which holds each of them.
        wide = both if both in IMAGE_TYPES else np.dtype(np.float32)
        self.close()
        old, narrow = self.path.with_suffix(".narrow"), self.dtype
        self.path.rename(old)
        self.dtype, self.length, self.digest = wide, 0, hashlib.sha256()
        self.stream = self.path.open("wb")
        self._header()
        with old.open("rb") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            while piece := stream.read(_CHUNK):
                self.append(np.frombuffer(piece, narrow))
        old.unlink()

    def close(self) -> None:
        self.stream.seek(0)
        self._header()
        self.stream.close()


def write_store(folder: Path, cases: Iterable[PreparedCase], info: DatasetInfo) -> DatasetInfo:
    """Write `cases` to `folder` one at a time (memory for one case) and return `info` completed.

    The store is built in a temporary folder beside `folder` and renamed; an older store is
    replaced only then. The content hash covers the bytes of all arrays, `cases.csv` and what
    identifies the preparation.

    Raises:
        DataError: there is no case, a name occurs twice, or a case lacks what `info` promises.
    """
    with temporary_folder(folder) as temporary:
        complete = _write(temporary, cases, info)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    return complete


def _write(folder: Path, cases: Iterable[PreparedCase], info: DatasetInfo) -> DatasetInfo:
    import pandas as pd

    arrays = {name: _FlatArray(folder / f"{name}.npy", np.uint8) for name in info.arrays}
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    try:
        for case in cases:
            if case.case in names:
                raise case_error(
                    info.name, case.case, "occurs twice; every case needs its own name"
                )
            flat = _flat(case, info)
            rows.append(_row(case, info, rows[-1] if rows else None))
            names.add(case.case)
            arrays["images"].hold(case.image.dtype)  # cases of a dataset may differ
            for name, array in arrays.items():
                array.append(flat[name])
    finally:
        for array in arrays.values():
            array.close()
    if not rows:
        raise DataError(f"{info.name}: no case was read; a dataset has at least one")
    table = pd.DataFrame(rows)
    write_csv(folder / TABLE, table)
    digests = {
        name: f"{array.dtype.name} {array.digest.hexdigest()}" for name, array in arrays.items()
    }
    digests[TABLE] = sha256_of(folder / TABLE)
    complete = info.completed(len(table), table["group"].nunique(), digests)
    write_json(folder / "dataset.json", complete.to_json())
    return complete


def _flat(case: PreparedCase, info: DatasetInfo) -> dict[str, NDArray[Any]]:
    """The case's arrays by file, in stored layout; zeros where a second rater is missing."""
    own, grid = case.reference.shape, case.mask.shape
    expected = {"image": (info.channels, *grid), "fov": own, "second_rater": own}
    for name, shape in expected.items():
        array = getattr(case, name)
        if array is not None and array.shape != shape:
            raise case_error(
                info.name, case.case, f"{name} has shape {array.shape}; {shape} is needed"
            )
    if case.image.dtype not in IMAGE_TYPES:
        allowed = ", ".join(map(str, IMAGE_TYPES))
        raise case_error(
            info.name, case.case, f"image is {case.image.dtype}; a store holds {allowed}"
        )
    if (case.fov is not None) != info.has_fov:
        has = "has a" if case.fov is not None else "has no"
        raise case_error(
            info.name, case.case, f"{has} field of view; either all cases have one or none"
        )
    if case.second_rater is not None and not info.has_second_rater:
        raise case_error(
            info.name, case.case, "has a second rater; the dataset is described without one"
        )
    if not info.resampled and own != grid:
        raise case_error(
            info.name, case.case, f"is resampled from {own} to {grid}; the store is not"
        )
    empty = np.zeros(own, dtype=np.uint8)
    return {
        "images": np.moveaxis(case.image, 0, -1),
        "masks": case.mask,
        "references": case.reference,
        "fov": empty if case.fov is None else case.fov,
        "second_rater": empty if case.second_rater is None else case.second_rater,
    }


def _row(case: PreparedCase, info: DatasetInfo, last: Mapping[str, Any] | None) -> dict[str, Any]:
    """The case's row of `cases.csv`, its offsets after those of the last row."""
    counts = np.bincount(case.reference.reshape(-1), minlength=max(info.classes) + 1)
    return {
        "case": case.case,
        "group": case.group,
        "shape": _joined(case.mask.shape),
        "original_shape": _joined(case.reference.shape),
        "spacing": _joined(map(float, case.spacing)),
        "original_spacing": _joined(map(float, case.original_spacing)),
        "offset": _end(last, "") if last else 0,
        "original_offset": _end(last, "original_") if last else 0,
        "has_second_rater": case.second_rater is not None,
        **{f"voxels_{value}": int(counts[value]) for value in sorted(info.classes)},
        **case.facts,
        **{
            statistic_column(channel, name): float(value)
            for channel, row in enumerate(case.statistics)
            for name, value in zip(STATISTICS, row, strict=True)
        },
        **{f"{LABEL}{name}": text for name, text in case.labels.items()},
    }


def _joined(numbers: Iterable[float]) -> str:
    return "x".join(map(repr, numbers))


def _end(row: Mapping[str, Any], grid: str) -> int:
    return row[f"{grid}offset"] + math.prod(map(int, row[f"{grid}shape"].split("x")))
