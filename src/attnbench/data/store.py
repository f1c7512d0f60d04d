"""The case store: flat memory-mapped arrays of cases of any shape, with their tables.

`images.npy` holds every case's image flattened in C order from channel-last layout (*shape, C),
one after the other, in the file's own intensities and the narrowest type that holds them all;
`masks.npy` the masks on the same working grid; `references.npy` (only if
the study resamples), `fov.npy` and `second_rater.npy` (only where the dataset has them) are flat
too, on each case's own grid. `cases.csv` says where a case begins: `offset` (working grid) and
`original_offset` (own grid), in voxels; times C for images.
"""

from __future__ import annotations

import csv
import hashlib
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.info import TABLE, DatasetInfo
from attnbench.data.normalise import STATISTICS, Floats, statistic_column
from attnbench.errors import DataError, told
from attnbench.files import read_json

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.data.case import Spacing


LABEL = "label_"  # with the name of a label of cases: a column of text
TEXT = ("case", "group", "shape", "original_shape", "spacing", "original_spacing")
REMEDY = (
    "remove {folder} and type `attnbench rerun STUDY --missing`, which prepares the dataset anew"
)
_CHUNK = 2**24  # bytes that are hashed at a time


@dataclass(frozen=True, eq=False)
class CaseStore:
    """A prepared dataset, opened without reading its arrays, which are read-only views.

    `dataset.json` and `cases.csv` are compared with their hashes whenever a store is opened; arrays
    are compared with their headers and lengths, and with their hashes by `check_arrays`.

    `columns` is `cases.csv` as text, `images` (flat; uint8, int16, uint16 or float32) and `masks`
    (flat uint8) are the memory maps, `offsets` (int64) the first voxel of every case on the working
    grid.
    """

    folder: Path
    info: DatasetInfo
    columns: dict[str, list[str]]
    images: NDArray[np.generic]
    masks: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> CaseStore:
        """Open the store in `folder`.

        Raises:
            DataError: a file is missing, is not as it was written, or does not fit `cases.csv`.
        """
        try:
            info = read_info(folder)
            columns = _read_columns(folder / TABLE, info.digests[TABLE])
            offsets = np.array(columns["offset"], np.int64)
            arrays = {name: _map(folder, name, info) for name in ("images", "masks")}
            store = cls(folder, info, columns, arrays["images"], arrays["masks"], offsets)
            store._check()
        except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise _damaged(folder, error) from error
        return store

    def check_arrays(self, names: Iterable[str] | None = None) -> None:
        """Read arrays, by default all, and compare their content with its hash; memory stays flat.

        Raises:
            DataError: one has changed since it was written.
        """
        arrays = {"images": self.images, "masks": self.masks, **self._originals}
        for name in arrays if names is None else names:
            array = arrays[name]
            digest = hashlib.sha256()
            step = _CHUNK // array.itemsize
            for start in range(0, array.size, step):
                digest.update(array[start : start + step].data)
            if f"{array.dtype.name} {digest.hexdigest()}" != self.info.digests[name]:
                file = self.folder / f"{name}.npy"
                raise DataError(
                    f"{file}: has changed since it was written; {REMEDY.format(folder=self.folder)}"
                )

    def __len__(self) -> int:
        return len(self.offsets)

    @cached_property
    def cases(self) -> pd.DataFrame:
        """`cases.csv` as a data frame; training reads `columns`, for pandas takes long to load."""
        import pandas as pd

        text = [name for name in self.columns if name in TEXT or name.startswith(LABEL)]
        return pd.read_csv(
            self.folder / "cases.csv",
            dtype=dict.fromkeys(text, "str"),
            keep_default_na=False,
            na_values={name: [""] for name in self.columns if name not in text},
        )

    @cached_property
    def groups(self) -> dict[str, str]:
        """Group of every case, in the order of the store."""
        return dict(zip(self.columns["case"], self.columns["group"], strict=True))

    def index(self, case: str) -> int:
        """Position of a case by name; `DataError` if the store has no such case."""
        if case not in self._positions:
            raise DataError(
                f"{self.info.name}: no case {case!r} among the {len(self)} cases in {self.folder}"
            )
        return self._positions[case]

    @cached_property
    def statistics(self) -> Floats:
        """STATISTICS of every image (cases, C, 6), in the order of the store."""
        columns = [
            [statistic_column(channel, name) for name in STATISTICS]
            for channel in range(self.info.channels)
        ]
        of_channels = [[self.columns[name] for name in names] for names in columns]
        return np.moveaxis(np.array(of_channels, dtype=np.float64), -1, 0)

    def image(self, i: int) -> NDArray[np.generic]:
        """Image (C, *shape) in the file's own intensities; its channels are adjacent in memory."""
        shape, channels = self.shape(i), self.info.channels
        start = int(self.offsets[i]) * channels
        flat = self.images[start : start + math.prod(shape) * channels]
        return np.moveaxis(flat.reshape(*shape, channels), -1, 0)

    def mask(self, i: int) -> NDArray[np.uint8]:
        """Mask (*shape) on the working grid."""
        return _cut_out(self.masks, self.offsets[i], self.shape(i))

    def reference(self, i: int) -> NDArray[np.uint8]:
        """Reference (*original_shape) on the case's own grid; predictions are scored against it."""
        return self._original("references", i) if self.info.resampled else self.mask(i)

    def fov(self, i: int) -> NDArray[np.bool_] | None:
        """Field of view (*original_shape), True where scores count; None without one."""
        return self._original("fov", i).view(np.bool_) if self.info.has_fov else None

    def second_rater(self, i: int) -> NDArray[np.uint8] | None:
        """Second rater's mask (*original_shape); None if the case has none."""
        if not self.info.has_second_rater or not self._has_second_rater[i]:
            return None
        return self._original("second_rater", i)

    def shape(self, i: int) -> tuple[int, ...]:
        """Shape on the working grid."""
        return self._shapes["shape"][i]

    def original_shape(self, i: int) -> tuple[int, ...]:
        """Shape on the case's own grid."""
        return self._shapes["original_shape"][i]

    def spacing(self, i: int) -> Spacing:
        """Spacing in `info.spacing_unit` with which `shape(i)` pixels fill the case's box."""
        return self._spacings["spacing"][i]

    def original_spacing(self, i: int) -> Spacing:
        """Spacing on the case's own grid, in `info.spacing_unit`."""
        return self._spacings["original_spacing"][i]

    @cached_property
    def _shapes(self) -> dict[str, list[tuple[int, ...]]]:
        columns = ("shape", "original_shape")
        texts = {text for name in columns for text in self.columns[name]}
        # Most cases of a large dataset share theirs.
        shapes = {text: tuple(map(int, text.split("x"))) for text in texts}
        return {name: [shapes[text] for text in self.columns[name]] for name in columns}

    @cached_property
    def _spacings(self) -> dict[str, list[Spacing]]:
        columns = ("spacing", "original_spacing")
        return {
            name: [tuple(map(float, row.split("x"))) for row in self.columns[name]]
            for name in columns
        }

    @cached_property
    def _original_offsets(self) -> NDArray[np.int64]:
        return np.array(self.columns["original_offset"], np.int64)

    @cached_property
    def _has_second_rater(self) -> list[bool]:
        return [text == "True" for text in self.columns["has_second_rater"]]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {case: i for i, case in enumerate(self.columns["case"])}

    @cached_property
    def _originals(self) -> dict[str, NDArray[np.uint8]]:
        return {name: _map(self.folder, name, self.info) for name in self.info.original_arrays}

    def _original(self, name: str, i: int) -> NDArray[np.uint8]:
        return _cut_out(self._originals[name], self._original_offsets[i], self.original_shape(i))

    def _check(self) -> None:
        """Compare the lengths of all arrays with `cases.csv`, whose cases lie end to end."""
        if not len(self) or len(self) != self.info.cases:
            raise ValueError(
                f"{TABLE} has {len(self)} rows, dataset.json says {self.info.cases} cases"
            )
        working = _end(self.offsets, self._shapes["shape"], self.info.ndim)
        own = _end(self._original_offsets, self._shapes["original_shape"], self.info.ndim)
        if self.statistics.shape != (len(self), self.info.channels, len(STATISTICS)):
            raise ValueError(f"{TABLE} has statistics of the shape {self.statistics.shape}")
        expected = {"images": working * self.info.channels, "masks": working}
        expected |= dict.fromkeys(self.info.original_arrays, own)
        arrays: dict[str, NDArray[Any]] = {
            "images": self.images,
            "masks": self.masks,
            **self._originals,
        }
        lengths = {name: array.size for name, array in arrays.items()}
        if expected != lengths:
            raise ValueError(f"its arrays have the lengths {lengths}, {TABLE} says {expected}")


def read_info(folder: Path) -> DatasetInfo:
    """What `dataset.json` of the store in `folder` says; no other file of it is read.

    Raises:
        DataError: it is missing or not as it was written.
    """
    try:
        return DatasetInfo.from_json(read_json(folder / "dataset.json"))
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, error, "dataset.json") from error


def _damaged(folder: Path, error: Exception, file: str = "") -> DataError:
    found = told(error)
    where = f"{file}: " if file and file not in found else ""
    return DataError(
        f"{folder}: not a whole case store: {where}{found}; {REMEDY.format(folder=folder)}"
    )


def _read_columns(path: Path, digest: str) -> dict[str, list[str]]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{path.name} has changed since it was written")
    rows = csv.reader(StringIO(content.decode(), newline=""))
    header = next(rows)
    columns = zip(*rows, strict=True)
    return {name: list(values) for name, values in zip(header, columns, strict=True)}


def _map(folder: Path, name: str, info: DatasetInfo) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (
        EOFError,
        SyntaxError,
        TokenError,
        ArithmeticError,
        MemoryError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        # NumPy has many words for a header that is none.
        found = str(error) or type(error).__name__
        raise ValueError(f"{path.name}: not a whole array: {found}") from error
    stated = info.digests[name].split()[0]
    if array.nbytes and path.stat().st_size != array.offset + array.nbytes:
        raise ValueError(f"{path.name}: has more bytes than its array")
    if array.ndim != 1 or array.dtype.name != stated:
        raise ValueError(
            f"{path.name}: has {array.ndim} axes and the type {array.dtype.name}; one axis and "
            f"{stated} were written"
        )
    return array.view(np.ndarray)


def _end(offsets: NDArray[np.int64], shapes: list[tuple[int, ...]], ndim: int) -> int:
    """Where the last of the cases ends, in voxels; `ValueError` unless they lie end to end."""
    voxels = {shape: math.prod(shape) for shape in set(shapes)}
    sound = all(len(shape) == ndim and min(shape) > 0 for shape in voxels)
    ends = np.cumsum(np.array([voxels[shape] for shape in shapes], np.int64))
    if not sound or (offsets != np.concatenate([[0], ends[:-1]])).any():
        raise ValueError(f"the cases in {TABLE} do not lie end to end")
    return int(ends[-1])


def _cut_out(flat: NDArray[Any], offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return flat[int(offset) : int(offset) + math.prod(shape)].reshape(shape)
