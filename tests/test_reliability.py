"""Bins of probabilities against scikit-learn's calibration curve and against counting voxel by
voxel.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from attnbench.scoring.calibration import BINS, reliability


def drawn(seed, shape=(23, 17), classes=3):
    random = np.random.default_rng(seed)
    probabilities = (
        torch.from_numpy(random.dirichlet([0.4] * classes, shape)).movedim(-1, 0).contiguous()
    )
    return (
        probabilities,
        torch.from_numpy(random.integers(0, classes, shape).astype(np.uint8)),
        random,
    )


@pytest.mark.parametrize("shape", [(23, 17), (9, 8, 7), (2**11, 2**11 + 3)])
def test_bins_are_those_of_scikit_learns_calibration_curve(shape):
    probabilities, reference, _ = drawn(1, shape)
    rows = pd.DataFrame(reliability(probabilities, reference, None, [1, 2]))
    for number in (1, 2):
        ours = rows[rows["class"] == number]
        observed, probability = calibration_curve(
            (reference == number).flatten().numpy(),
            probabilities[number].flatten().numpy(),
            n_bins=BINS,
        )
        np.testing.assert_allclose(ours["observed"], observed)
        np.testing.assert_allclose(ours["probability"], probability)
        assert ours["voxels"].sum() == reference.numel()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_only_voxels_inside_the_region_count(seed, share):
    probabilities, reference, random = drawn(seed)
    region = torch.from_numpy(random.random(reference.shape) < share)
    rows = list(reliability(probabilities, reference, region, [2]))
    values, hits = probabilities[2][region].tolist(), (reference[region] == 2).tolist()
    expected = {}
    for value, hit in zip(values, hits, strict=True):
        place = next(b for b in range(BINS) if value <= (b + 1) / BINS + 1e-9)
        expected.setdefault(place, []).append((value, hit))
    assert {row["bin"] for row in rows} == set(expected)
    for row in rows:
        members = np.array(expected[row["bin"]], dtype=float)
        assert row["voxels"] == len(members)
        np.testing.assert_allclose([row["probability"], row["observed"]], members.mean(axis=0))


def test_certainty_falls_in_the_outer_bins_and_absent_bins_have_no_row():
    certain = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    rows = list(
        reliability(torch.stack([1 - certain, certain]), torch.tensor([[1, 0, 0, 0]]), None, [1])
    )
    assert rows == [
        {"class": 1, "bin": 0, "voxels": 2, "probability": 0.0, "observed": 0.0},
        {"class": 1, "bin": 14, "voxels": 2, "probability": 1.0, "observed": 0.5},
    ]


def test_a_network_that_answers_nan_leaves_the_bin_without_a_mean():
    unsure = torch.tensor([[float("nan"), 0.01]])
    (row,) = reliability(torch.stack([unsure, unsure]), torch.tensor([[1, 0]]), None, [1])
    assert (row["voxels"], row["observed"]) == (2, 0.5) and np.isnan(row["probability"])
