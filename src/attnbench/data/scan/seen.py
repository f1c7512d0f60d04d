"""What the scan keeps of every case: a small picture, hashes and a few numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase
from attnbench.data.scan.hashes import hash_views
from attnbench.data.scan.thumbnail import thumbnail


@dataclass(frozen=True)
class Seen:
    """One case as the scan remembers it.

    thumbnail: (S, H, W) uint8. hashes: (orientations, zooms, words) as of `hash_views`. pixels
    and mask: digests of decoded values, of any dtype. constant: no two pixels differ. voxels: of
    every class. measures: the numbers in which outliers are looked for, by name.
    """

    case: str
    group: str
    thumbnail: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    pixels: str
    mask: str
    constant: bool
    voxels: Mapping[int, int]
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
    low, middle, high = np.percentile(case.image.astype(np.float64), (1, 50, 99))
    return Seen(
        case=case.case,
        group=case.group,
        thumbnail=small,
        hashes=hash_views(small),
        pixels=digest(case.image),
        mask=digest(case.mask),
        constant=bool(case.image.min() == case.image.max()),
        voxels={value: int(counts[value]) for value in classes},
        measures={
            **{f"size, {name}": float(n) for name, n in zip(axes, case.mask.shape, strict=True)},
            **{f"spacing, {name}": s for name, s in zip(axes, case.spacing, strict=True)},
            "intensity, median": float(middle),
            "intensity, range of 98 % of the pixels": float(high - low),
        },
    )


def digest(values: NDArray[np.generic]) -> str:
    """Return a digest of an array's shape and values, whatever dtype they are stored in."""
    result = hashlib.sha256(repr(values.shape).encode())
    # Part by part: a volume in 64 bits need not fit into memory. Adding 0 makes -0 and 0 one.
    for part in values:
        result.update((np.ascontiguousarray(part, np.float64) + 0.0).tobytes())
    return result.hexdigest()
