"""Every case of a dataset read once, through the reader that a study uses: what was found in it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attnbench.catalog import Entry
from attnbench.data.case import RawCase, Spacing
from attnbench.data.download.progress import show_progress
from attnbench.data.read import cases_of, unread_cases
from attnbench.errors import AttnBenchError

if TYPE_CHECKING:
    from attnbench.data.readers import CaseFiles

AT_ONCE = 4  # decoders leave the interpreter's lock; each holds a whole case in memory


@dataclass(frozen=True)
class CaseFacts:
    """What one case is: shape and spacing of its grid, its intensities, voxels per class.

    low, high: smallest and largest intensity of all channels. voxels: by class, of the reference.
    grey: its channels are several and all equal. files: number of the files that it comes from.
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
    files: int

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

    A case is read again from its files: `cases_of(files[case.files])`.
    """

    cases: tuple[CaseFacts, ...]
    failures: tuple[str, ...]
    files: tuple[CaseFiles, ...]


def survey_cases(entry: Entry, raw: Path) -> Survey:
    """Read every case of a dataset, several at a time, with progress; no failure hides another."""
    # A user's own files are there all the time: nothing comes that is read already.
    files = tuple(own for own in unread_cases(entry, raw) if not isinstance(own, RawCase))
    with show_progress(f"{entry.name}: reading", len(files), 0) as progress:

        def look(number: int) -> list[CaseFacts] | str:
            try:
                cases = cases_of(files[number])
                progress.transferred(sum(case.image.nbytes for case in cases))
                found: list[CaseFacts] | str = [
                    facts_of(case, entry.classes, number) for case in cases
                ]
            except AttnBenchError as error:
                found = str(error)
            except Exception as error:  # a damaged file can break a decoder in any way
                found = (
                    f"{entry.name}: case {files[number].case!r}: {type(error).__name__}: {error}"
                )
            progress.verified()
            return found

        with ThreadPoolExecutor(AT_ONCE) as pool:
            looked = list(pool.map(look, range(len(files))))
    return Survey(
        tuple(case for found in looked if not isinstance(found, str) for case in found),
        tuple(found for found in looked if isinstance(found, str)),
        files,
    )


def facts_of(case: RawCase, classes: Iterable[int], files: int) -> CaseFacts:
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
        files=files,
    )
