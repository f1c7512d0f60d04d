"""Copies among images: exact ones by their pixels, others by hash, then by correlation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from attnbench.data.scan.candidates import Candidates, find_candidates, nothing
from attnbench.data.scan.hashes import ZOOMS, orientations
from attnbench.data.scan.register import (
    Floats,
    Overlay,
    common_details,
    lay_over,
    own_details,
    pooled,
    refine,
)

LEAST = 0.6
"""Agreement of details from which two images are copies; docs/decisions/duplicates.md."""
_WORTH_REFINING = 0.35
_BLOCK_BYTES = 1 << 20
MOST_VIEWS = 200_000
"""Views of pairs that are laid over each other; with more, only the nearest by hash are."""


@dataclass(frozen=True)
class Near:
    """Two images, by position, that are copies of each other.

    exact: all pixels are equal. turn: what was done to the second. distance: bits of 64 between
    hashes. overlay: how the second lies over the first.
    """

    first: int
    second: int
    exact: bool
    turn: str
    distance: float
    overlay: Overlay


def exact_copies(digests: Sequence[str]) -> Iterator[Near]:
    """Yield pairs with equal digests of their pixels, in order."""
    where: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(digests):
        where[digest].append(position)
    same = Overlay(1.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    for positions in where.values():
        for first, second in combinations(positions, 2):
            yield Near(first, second, True, str(orientations(1)[0]), 0.0, same)


def near_copies(
    thumbnails: NDArray[np.uint8], hashes: NDArray[np.uint64], least: float = LEAST
) -> tuple[list[Near], Candidates]:
    """Return pairs that are copies but for coding, small shifts and scales, and 90 degree turns.

    Args:
        thumbnails: (n, S, H, W) as of `thumbnail`.
        hashes: (n, orientations, zooms, words) as of `hash_views`.
        least: correlation of details that makes a copy.
    """
    if len(thumbnails) < 2:
        return [], nothing()
    candidates = find_candidates(hashes, ZOOMS, MOST_VIEWS)
    common = common_details(thumbnails)
    coarse = np.array(
        [_quantised(pooled(own_details(thumbnail, common))) for thumbnail in thumbnails]
    )
    turns = orientations(thumbnails.shape[1])
    best: dict[tuple[int, int], tuple[Overlay, int, float]] = {}
    for rows in _alike_in_view(candidates, _BLOCK_BYTES // coarse[0].nbytes):
        turn, scale = int(candidates.turn[rows[0]]), float(candidates.scale[rows[0]])
        first, second = candidates.first[rows], candidates.second[rows]
        turned = np.stack([turns[turn].apply(coarse[position]) for position in second])
        overlays = lay_over(_floats(coarse[first]), _floats(turned), scale)
        for row, overlay in zip(rows.tolist(), overlays, strict=True):
            pair = int(candidates.first[row]), int(candidates.second[row])
            known = best[pair][0].correlation if pair in best else _WORTH_REFINING
            if overlay.correlation > known:
                best[pair] = overlay, turn, float(candidates.distance[row])
    found = []
    for (one, other), (start, number, distance) in sorted(best.items()):
        fine = [own_details(thumbnails[position], common) for position in (one, other)]
        overlay = refine(fine[0], _floats(turns[number].apply(fine[1])), start)
        if overlay.correlation >= least:
            found.append(Near(one, other, False, str(turns[number]), distance, overlay))
    return found, candidates


def _alike_in_view(candidates: Candidates, most: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows of one turn and scale, at most `most` at a time."""
    kinds = np.stack([candidates.turn, candidates.scale])
    for kind in np.unique(kinds, axis=1).T:
        rows = np.flatnonzero((kinds == kind[:, None]).all(axis=0))
        for start in range(0, len(rows), most):
            yield rows[start : start + most]


# A hundred thousand images stay in memory as bytes.
def _quantised(values: Floats) -> NDArray[np.int8]:
    return np.clip(np.rint(values * 32), -127, 127).astype(np.int8)


def _floats(values: NDArray[np.generic]) -> Floats:
    return np.ascontiguousarray(values).astype(np.float32)
