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
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.info import DatasetInfo
from attnbench.data.normalise import STATISTICS, Floats, statistic_column
from attnbench.errors import DataError
from attnbench.files import read_json

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.data.case import Spacing


LABEL = "label_"  # with the name of a label of cases: a column of text
TEXT = ("case", "group", "shape", "original_shape", "spacing", "original_spacing")


@dataclass(frozen=True, eq=False)
class CaseStore:
    """A prepared dataset, opened without reading its arrays, which are read-only views.

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
            DataError: a file is missing or does not fit `cases.csv`.
        """
        try:
            info = DatasetInfo.from_json(read_json(folder / "dataset.json"))
            columns = _read_columns(folder / "cases.csv")
            offsets = np.array(columns["offset"], np.int64)
            store = cls(
                folder, info, columns, _map(folder, "images"), _map(folder, "masks"), offsets
            )
            store._check()
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{folder}: not a whole case store: {error}; remove the folder and prepare the "
                "dataset again (`attnbench prepare`)"
            ) from error
        return store

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
        return {
            name: [tuple(map(int, row.split("x"))) for row in self.columns[name]]
            for name in columns
        }

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
        return {name: _map(self.folder, name) for name in self.info.original_arrays}

    def _original(self, name: str, i: int) -> NDArray[np.uint8]:
        return _cut_out(self._originals[name], self._original_offsets[i], self.original_shape(i))

    def _check(self) -> None:
        """Compare the lengths of all arrays with the last row of `cases.csv`."""
        last = len(self) - 1
        if last < 0 or len(self) != self.info.cases:
            raise ValueError(
                f"cases.csv has {len(self)} rows, dataset.json says {self.info.cases} cases"
            )
        own = int(self._original_offsets[last]) + math.prod(self.original_shape(last))
        working = int(self.offsets[last]) + math.prod(self.shape(last))
        if self.statistics.shape != (len(self), self.info.channels, len(STATISTICS)):
            raise ValueError(f"cases.csv has statistics of the shape {self.statistics.shape}")
        expected = {"images": working * self.info.channels, "masks": working}
        expected |= dict.fromkeys(self.info.original_arrays, own)
        arrays: dict[str, NDArray[Any]] = {
            "images": self.images,
            "masks": self.masks,
            **self._originals,
        }
        lengths = {name: array.size for name, array in arrays.items()}
        if expected != lengths:
            raise ValueError(f"its arrays have the lengths {lengths}, cases.csv says {expected}")


def _read_columns(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        columns: dict[str, list[str]] = {name: [] for name in rows.fieldnames or ()}
        for row in rows:
            for name, values in columns.items():
                values.append(row[name])
    return columns


def _map(folder: Path, name: str) -> NDArray[Any]:
    return np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)


def _cut_out(flat: NDArray[Any], offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return flat[int(offset) : int(offset) + math.prod(shape)].reshape(shape)
