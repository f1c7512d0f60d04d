"""Cropped and shared, every value is medpy's on the whole arrays, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from medpy.metric import binary
from scipy.ndimage import binary_erosion, generate_binary_structure

from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import MASK_METRICS
from attnbench.scoring.surface import surface

OVERLAP = {
    "dice": binary.dc,
    "iou": binary.jc,
    "precision": binary.precision,
    "recall": binary.recall,
}
DISTANCE = {"hd": binary.hd, "hd95": binary.hd95, "assd": binary.assd}


def _scores(prediction, reference, spacing, metrics=(*OVERLAP, *DISTANCE)):
    masks = prediction.astype(np.uint8), reference.astype(np.uint8)
    rows = score_masks(*masks, spacing, "mm", [1], metrics)
    return {row["metric"]: row["value"] for row in rows}


@pytest.mark.parametrize("block", range(10))
def test_equals_medpy_on_whole_arrays_bit_for_bit(block, random_pair):
    for seed in range(30 * block, 30 * block + 30):
        prediction, reference, spacing = random_pair(seed)
        if not prediction.any():
            prediction[(0,) * prediction.ndim] = True
        expected = {name: compute(prediction, reference) for name, compute in OVERLAP.items()}
        expected |= {
            name: compute(prediction, reference, spacing) for name, compute in DISTANCE.items()
        }
        assert _scores(prediction, reference, spacing) == expected, f"seed {seed}"


@pytest.mark.parametrize("shift", [0, 2, 40])
def test_equals_medpy_bit_for_bit_in_pixels(shift, random_pair):
    """Where spacing is 1 distances are searched ring by ring; masks far from each other go
    beyond all rings.
    """
    for seed in range(40):
        prediction, reference, _ = random_pair(seed)
        prediction = np.pad(prediction, ((shift, 0), *[(0, 0)] * (prediction.ndim - 1)))
        reference = np.pad(reference, ((0, shift), *[(0, 0)] * (reference.ndim - 1)))
        spacing = (1.0,) * prediction.ndim
        expected = {
            name: compute(prediction, reference, spacing) for name, compute in DISTANCE.items()
        }
        assert _scores(prediction, reference, spacing, tuple(DISTANCE)) == expected, f"seed {seed}"


@settings(max_examples=80, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7)))
def test_surface_is_what_a_face_connected_erosion_takes_away(mask):
    eroded = binary_erosion(mask, generate_binary_structure(mask.ndim, 1))
    np.testing.assert_array_equal(surface(mask), mask ^ eroded)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=3),
)
def test_background_around_the_masks_changes_no_score(random_pair, seed, margins):
    prediction, reference, spacing = random_pair(seed)
    if not prediction.any():
        prediction[:] = True
    pad = margins[: prediction.ndim]
    padded = _scores(np.pad(prediction, pad), np.pad(reference, pad), spacing, MASK_METRICS)
    assert padded == _scores(prediction, reference, spacing, MASK_METRICS)
