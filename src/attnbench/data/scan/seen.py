"""What the scan keeps of every case: a small picture, hashes and a few numbers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase
from attnbench.data.scan.hashes import hash_views
from attnbench.data.scan.thumbnail import sampled, thumbnail
from attnbench.errors import DataError

if TYPE_CHECKING:
    from attnbench.catalog import Entry
    from attnbench.data.readers import CaseFiles

_PART = 1 << 20
_BYTES_PER_VOXEL = 20  # of the image, that seeing a case takes at its peak


@dataclass(frozen=True)
class Seen:
    """One case as the scan remembers it.

    thumbnail: (S, H, W) uint8. hashes: (orientations, zooms, words) as of `hash_views`. pixels
    and mask: digests of decoded values, of any dtype. constant: no two pixels differ. voxels: of
    every class. size: values of the image, in all channels. measures: the numbers in which
    outliers are looked for, by name.
    """

    case: str
    group: str
    thumbnail: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    pixels: str
    mask: str
    constant: bool
    voxels: Mapping[int, int]
    size: int
    measures: Mapping[str, float]


def see(case: RawCase, classes: Mapping[int, str], axes: tuple[str, ...]) -> Seen:
    """Return what the scan keeps of a case.

    Args:
        case: as it was read.
        classes: name by number.
        axes: what each spatial axis is.
    """
    small = thumbnail(case.image)
    counts = np.bincount(case.mask.reshape(-1), minlength=max(classes) + 1)
    low, middle, high = np.percentile(sampled(case.image).astype(np.float64), (1, 50, 99))
    return Seen(
        case=case.case,
        group=case.group,
        thumbnail=small,
        hashes=hash_views(small),
        pixels=digest(case.image),
        mask=digest(case.mask),
        constant=bool(case.image.min() == case.image.max()),
        voxels={value: int(counts[value]) for value in classes},
        size=case.image.size,
        measures={
            **{f"size, {name}": float(n) for name, n in zip(axes, case.mask.shape, strict=True)},
            **{f"spacing, {name}": s for name, s in zip(axes, case.spacing, strict=True)},
            "intensity, median": float(middle),
            "intensity, range of 98 % of the pixels": float(high - low),
        },
    )


def digest(values: NDArray[np.generic]) -> str:
    """Return a digest of an array's shape and values, whatever dtype they are stored in."""
    result, flat = hashlib.sha256(repr(values.shape).encode()), values.reshape(-1)
    # Part by part: a volume in 64 bits need not fit into memory. Adding 0 makes -0 and 0 one.
    for start in range(0, flat.size, _PART):
        result.update((flat[start : start + _PART].astype(np.float64) + 0.0).tobytes())
    return result.hexdigest()


def see_all(entry: Entry, raw: Path, workers: int, memory_mb: int) -> list[Seen]:
    """Return what the scan keeps of every case in `raw`, in the order of the cases.

    The first case tells how long the others take, and whether processes are worth their start.

    Raises:
        DataError: one or more cases cannot be read or break their contract; names up to twenty.
    """
    from attnbench.data.many import or_problems
    from attnbench.data.read import unread_cases

    work = partial(_seen, entry.classes, entry.axes)
    return list(or_problems(_worked(work, unread_cases(entry, raw), entry, workers, memory_mb)))


def _worked(
    work: Callable[[CaseFiles | RawCase], list[Seen] | DataError],
    unread: Iterator[CaseFiles | RawCase],
    entry: Entry,
    workers: int,
    memory_mb: int,
) -> Iterator[list[Seen] | DataError]:
    from attnbench.data.many import WORTH_S, in_order

    start = time.perf_counter()
    for first in islice(unread, 1):
        done = work(first)
        worth = (time.perf_counter() - start) * (entry.cases - 1) > WORTH_S
        voxels = 1 if isinstance(done, DataError) else max(one.size for one in done)
        at_once = max(1, int(memory_mb * 1e6 / (voxels * _BYTES_PER_VOXEL)))
        yield done
        yield from in_order(work, unread, min(workers, at_once) if worth else 1)


def _seen(
    classes: Mapping[int, str], axes: tuple[str, ...], files: CaseFiles | RawCase
) -> list[Seen] | DataError:
    """See what one case's files hold, or return what is wrong: others are read all the same."""
    from attnbench.data.read import cases_of

    try:
        cases = [files] if isinstance(files, RawCase) else cases_of(files)
        return [see(case, classes, axes) for case in cases]
    except DataError as error:
        return error
