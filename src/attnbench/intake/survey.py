"""Every case of a dataset read once, through the reader that a study uses: what was found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnbench.catalog import Entry
from attnbench.data.case import RawCase, Spacing
from attnbench.data.download.progress import show_progress
from attnbench.data.read import case_readings
from attnbench.errors import AttnBenchError

AT_ONCE = 4  # decoders leave the interpreter's lock; each holds a whole case in memory


@dataclass(frozen=True)
class CaseFacts:
    """What one case is: shape and spacing of its grid, its intensities, voxels per class.

    low, high: smallest and largest intensity of all channels. voxels: by class, of the reference.
    grey: its channels are several and all equal.
    """

    case: str
    group: str
    shape: tuple[int, ...]
    spacing: Spacing
    dtype: str
    low: float
    high: float
    voxels: dict[int, int]
    grey: bool

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    @property
    def foreground(self) -> float:
        """Share of the voxels that is no background."""
        return sum(self.voxels.values()) / self.size


@dataclass(frozen=True)
class Survey:
    """All cases in the listing's order, and what is wrong with those that cannot be read."""

    cases: tuple[CaseFacts, ...]
    failures: tuple[str, ...]


def survey_cases(entry: Entry, raw: Path) -> Survey:
    """Read every case of a dataset, several at a time, with progress; no failure hides another."""
    readings = list(case_readings(entry, raw))
    with show_progress(f"{entry.name}: reading", len(readings), 0) as progress:

        def look(reading: tuple[str, Callable[[], RawCase]]) -> CaseFacts | str:
            name, read = reading
            try:
                found: CaseFacts | str = facts_of(read(), entry.classes)
            except AttnBenchError as error:
                found = str(error)
            except Exception as error:  # a damaged file can break a decoder in any way
                found = f"{entry.name}: case {name!r}: {type(error).__name__}: {error}"
            progress.verified()
            return found

        with ThreadPoolExecutor(AT_ONCE) as pool:
            looked = list(pool.map(look, readings))
    return Survey(
        tuple(found for found in looked if isinstance(found, CaseFacts)),
        tuple(found for found in looked if isinstance(found, str)),
    )


def facts_of(case: RawCase, classes: Iterable[int]) -> CaseFacts:
    """Measure one case."""
    counts = np.bincount(case.mask.ravel(), minlength=256)
    return CaseFacts(
        case=case.case,
        group=case.group,
        shape=case.mask.shape,
        spacing=case.spacing,
        dtype=str(case.image.dtype),
        low=float(case.image.min()),
        high=float(case.image.max()),
        voxels={number: int(counts[number]) for number in classes},
        grey=len(case.image) > 1 and bool((case.image == case.image[:1]).all()),
    )
