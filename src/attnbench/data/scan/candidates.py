"""Pairs of images whose perceptual hashes are near, found without a loop over pairs in Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = 24
"""Distance, of 64 bits, at which hashes of a pair say nothing any more: half of the bits are 32."""
_CELLS = 1 << 21


@dataclass(frozen=True)
class Candidates:
    """Views of pairs to compare, nearest first; of a pair there may be several.

    first, second: positions, first < second. turn: number of the orientation of `second`. scale:
    side of what `second` has to show over its own side for both to show the same. distance: mean
    bits of a slice, 0 to 64. reach: largest distance of what was taken. complete: nothing within
    `FARTHEST` was left out.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    turn: NDArray[np.int64]
    scale: NDArray[np.float64]
    distance: NDArray[np.float64]
    reach: float
    complete: bool

    def __len__(self) -> int:
        return len(self.first)


def nothing() -> Candidates:
    """Return the candidates among fewer than two images."""
    none, numbers = np.empty(0, np.int64), np.empty(0)
    return Candidates(none, none, none, numbers, numbers, float(FARTHEST), True)


def find_candidates(hashes: NDArray[np.uint64], zooms: tuple[float, ...], most: int) -> Candidates:
    """Return the views of pairs whose hashes are nearest, at most `most` of them.

    An image as it is is compared with every turn and zoom of all later ones, and zoomed in with
    their turns as they are. Hamming distances are counted in blocks of bit-packed hashes: memory
    for a block and for twice `most` candidates.

    Args:
        hashes: (n, orientations, zooms, words) as of `hash_views`.
        zooms: of the views; the first is 1.
        most: views to return. The distance up to which they are taken is `FARTHEST`, or less
            where there would be more.
    """
    words = hashes.shape[-1]
    limit, kept = FARTHEST * words, np.empty((0, 5), np.int32)
    waiting: list[NDArray[np.int32]] = []
    for left, right, turn, view in _compared_views(hashes, zooms):
        for block in _near(left, right, limit):
            waiting.append(_rows(*block, turn, view))
            if sum(map(len, waiting)) > most:
                kept, limit = _nearest([kept, *waiting], most, limit)
                waiting = []
    kept, limit = _nearest([kept, *waiting], most, limit)
    # Nearest first, and in one order whatever the blocks were.
    kept = kept[np.lexsort((kept[:, 3], kept[:, 2], kept[:, 1], kept[:, 0], kept[:, 4]))]
    scales = np.array([*zooms, *(1 / zoom for zoom in zooms[1:])])
    first, second, turn_of, view_of, distance = kept.astype(np.int64).T
    return Candidates(
        first,
        second,
        turn_of,
        scales[view_of],
        distance / words,
        limit / words,
        limit == FARTHEST * words,
    )


def _compared_views(
    hashes: NDArray[np.uint64], zooms: tuple[float, ...]
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64], int, int]]:
    """Yield words (words, n) of both sides, number of the turn, and number of the scale."""
    ways = [(0, zoom) for zoom in range(len(zooms))]
    ways += [(zoom, 0) for zoom in range(1, len(zooms))]
    for turn in range(hashes.shape[1]):
        for view, (own, other) in enumerate(ways):
            left, right = hashes[:, 0, own].T, hashes[:, turn, other].T
            yield np.ascontiguousarray(left), np.ascontiguousarray(right), turn, view


def _near(
    left: NDArray[np.uint64], right: NDArray[np.uint64], limit: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint16]]]:
    """Yield positions i < j and distances of pairs up to `limit`, block by block."""
    count = left.shape[1]
    step = max(1, _CELLS // max(1, count))
    for start in range(0, count, step):
        stop = min(start + step, count)
        distances = np.zeros((stop - start, count - start), np.uint16)
        for own, other in zip(left[:, start:stop], right[:, start:], strict=True):
            distances += np.bitwise_count(own[:, None] ^ other)
        i, j = np.nonzero(distances <= limit)
        later = i < j
        i, j = i[later], j[later]
        yield i + start, j + start, distances[i, j]


def _rows(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    distance: NDArray[np.uint16],
    turn: int,
    view: int,
) -> NDArray[np.int32]:
    rows = np.empty((len(first), 5), np.int32)
    rows[:, 0], rows[:, 1], rows[:, 4] = first, second, distance
    rows[:, 2:4] = turn, view
    return rows


def _nearest(
    parts: list[NDArray[np.int32]], most: int, limit: int
) -> tuple[NDArray[np.int32], int]:
    """At most `most` rows up to the distance `limit`, and the distance up to which they are."""
    rows = np.concatenate(parts)
    up_to = np.cumsum(np.bincount(rows[:, 4], minlength=limit + 1)[: limit + 1])
    limit = int(np.searchsorted(up_to, most, side="right")) - 1
    if limit < 0:  # more than that have equal hashes: some of them are as good as any
        return rows[rows[:, 4] == 0][:most], 0
    return rows[rows[:, 4] <= limit], limit
