"""Candidates against a loop over all pairs, turns and zooms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnbench.data.scan import candidates
from attnbench.data.scan.candidates import FARTHEST, find_candidates

ZOOMS = (1.0, 0.5)


def bits(value) -> int:
    return bin(int(value)).count("1")


def slowly(hashes, limit):
    """Every view (first, second, turn, scale, distance) up to a distance, by plain loops."""
    count, turns, _, words = hashes.shape
    found = set()
    for i, j in itertools.combinations(range(count), 2):
        for turn in range(turns):
            for own, other, scale in ((0, 0, 1.0), (0, 1, 0.5), (1, 0, 2.0)):
                distance = sum(
                    bits(hashes[i, 0, own, word] ^ hashes[j, turn, other, word])
                    for word in range(words)
                )
                if distance <= limit:
                    found.add((i, j, turn, scale, distance / words))
    return found


def rows(found):
    return list(
        zip(
            found.first.tolist(), found.second.tolist(), found.turn.tolist(),
            found.scale.tolist(), found.distance.tolist(), strict=True,
        )
    )  # fmt: skip


near_zero = st.integers(0, 63).map(lambda shift: 1 << shift) | st.integers(0, 2**64 - 1)
some_hashes = st.integers(1, 2).flatmap(
    lambda words: st.integers(0, 7).flatmap(
        lambda count: hnp.arrays(np.uint64, (count, 3, 2, words), elements=near_zero)
    )
)


@settings(deadline=None, max_examples=60)
@given(hashes=some_hashes, cells=st.sampled_from([1, 7, 1 << 21]))
def test_all_views_within_reach_are_found_whatever_the_blocks(hashes, cells):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_CELLS", cells)
        found = find_candidates(hashes, ZOOMS, 10_000)
    assert found.complete and found.reach == FARTHEST
    assert len(found) == len(set(rows(found)))
    assert set(rows(found)) == slowly(hashes, FARTHEST * hashes.shape[-1])


@settings(deadline=None, max_examples=60)
@given(hashes=some_hashes, most=st.integers(1, 20))
def test_of_too_many_the_nearest_are_kept(hashes, most):
    found, everything = find_candidates(hashes, ZOOMS, most), slowly(hashes, 64 * 2)
    assert len(found) <= most
    assert found.distance.tolist() == sorted(found.distance.tolist())
    words = hashes.shape[-1]
    allowed = slowly(hashes, FARTHEST * words)
    assert set(rows(found)) <= allowed
    assert found.complete == (len(allowed) <= most)
    if found.reach > 0:  # below it nothing is missing
        within = {row for row in everything if row[4] <= found.reach}
        assert set(rows(found)) == within


def test_of_equal_hashes_some_are_kept():
    found = find_candidates(np.zeros((50, 1, 2, 1), np.uint64), ZOOMS, 100)
    assert len(found) == 100 and found.reach == 0 and not found.complete
