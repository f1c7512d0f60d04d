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
    grey: its channels are several and all equal. reading: number of the reading that gives it.
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
    reading: int

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
    """All cases in the listing's order, and what is wrong with those that cannot be read.

    A case's files are read again by the reading of that number: `readings[case.reading]()`.
    """

    cases: tuple[CaseFacts, ...]
    failures: tuple[str, ...]
    readings: tuple[Callable[[], list[RawCase]], ...]


def survey_cases(entry: Entry, raw: Path) -> Survey:
    """Read every case of a dataset, several at a time, with progress; no failure hides another."""
    readings = tuple(case_readings(entry, raw))
    with show_progress(f"{entry.name}: reading", len(readings), 0) as progress:

        def look(number: int) -> list[CaseFacts] | str:
            try:
                cases = readings[number]()
                progress.transferred(sum(case.image.nbytes for case in cases))
                found: list[CaseFacts] | str = [
                    facts_of(case, entry.classes, number) for case in cases
                ]
            except AttnBenchError as error:
                found = str(error)
            except Exception as error:  # a damaged file can break a decoder in any way
                found = f"{entry.name}: case {number + 1}: {type(error).__name__}: {error}"
            progress.verified()
            return found

        with ThreadPoolExecutor(AT_ONCE) as pool:
            looked = list(pool.map(look, range(len(readings))))
    return Survey(
        tuple(case for found in looked if not isinstance(found, str) for case in found),
        tuple(found for found in looked if isinstance(found, str)),
        readings,
    )


def facts_of(case: RawCase, classes: Iterable[int], reading: int) -> CaseFacts:
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
        reading=reading,
    )
