"""Corruptions: each level is worse than the one before, and each kind does what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.filters import gaussian

from attnbench.errors import DataError
from attnbench.shift.corrupt import SEVERITY, corrupt
from attnbench.study.shift import CORRUPTIONS, LEVELS

KINDS = tuple(SEVERITY)
SHAPES = ((1, 48, 40), (3, 33, 50), (1, 20, 24, 18))


def drawn(seed, shape):
    """Blobs over every scale on an offset: structure that blur, resolution and ghosts can take
    away.
    """
    random = np.random.default_rng(seed)
    channels = [gaussian_filter(random.normal(size=shape[1:]), 1.5) + 3 for _ in range(shape[0])]
    return np.stack(channels).astype(np.float32)


def distance(first, second):
    return float(np.sqrt(((first.astype(float) - second.astype(float)) ** 2).mean()))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES), kind=st.sampled_from(KINDS))
def test_every_level_is_further_from_the_image_than_the_one_before(seed, shape, kind):
    image = drawn(seed, shape)
    levels = [corrupt(image, kind, level, seed) for level in LEVELS]
    distances = [distance(image, changed) for changed in levels]
    assert distances[0] > 0 and all(np.diff(distances) > 0)
    assert all(changed.shape == image.shape and changed.dtype == np.float32 for changed in levels)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_image_and_the_original_stays(kind):
    image = drawn(1, SHAPES[1])
    before = image.copy()
    first, again, other = (corrupt(image, kind, 3, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)
    assert np.array_equal(first, other) == (kind not in ("noise", "bias_field"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 16, 12), (1, 9, 8, 7), (1, 5, 1)])
def test_an_image_without_contrast_stays_as_it_is(kind, shape):
    image = np.full(shape, 2.5, np.float32)
    np.testing.assert_allclose(corrupt(image, kind, 5, 0), image, rtol=1e-6)


def test_noise_has_the_stated_share_of_each_channels_spread():
    image = drawn(2, (2, 200, 200)) * np.array([1, 10], np.float32).reshape(2, 1, 1)
    for level, share in zip(LEVELS, SEVERITY["noise"], strict=True):
        added = corrupt(image, "noise", level, 0) - image
        np.testing.assert_allclose(
            added.std(axis=(1, 2)) / image.std(axis=(1, 2)), share, rtol=0.03
        )
        np.testing.assert_allclose(added.mean(axis=(1, 2)) / image.std(axis=(1, 2)), 0, atol=0.02)


def test_blur_is_scikit_images_gaussian():
    image = drawn(3, (1, 40, 30))
    expected = gaussian(image[0].astype(float), sigma=2.0, mode="nearest")
    np.testing.assert_allclose(corrupt(image, "blur", 4, 0)[0], expected, rtol=1e-6)


def test_contrast_keeps_the_mean_and_scales_the_spread():
    image = drawn(4, (1, 30, 30))
    changed = corrupt(image, "contrast", 5, 0)
    assert changed.mean() == pytest.approx(image.mean(), rel=1e-5)
    assert changed.std() == pytest.approx(0.2 * image.std(), rel=1e-4)


def test_a_bias_field_is_smooth_positive_and_within_its_strength():
    image = drawn(5, (1, 40, 40)) + 1
    image[0, 0, 0] = 0
    ratio = np.log(corrupt(image, "bias_field", 5, 1)[0].ravel()[1:] / image[0].ravel()[1:])
    assert 0.5 < np.abs(ratio).max() <= 0.7 + 1e-4
    rows, columns = (axis.ravel()[1:] for axis in np.mgrid[-1:1:40j, -1:1:40j])
    cubic = np.stack([rows**i * columns**j for i in range(4) for j in range(4 - i)], axis=1)
    residual = ratio - cubic @ np.linalg.lstsq(cubic, ratio, rcond=None)[0]
    assert np.abs(residual).max() < 1e-4


def test_resolution_removes_what_is_finer_than_its_pixels_and_keeps_what_is_coarse():
    x = np.arange(96)
    fine, coarse = (
        np.tile(np.sin(2 * np.pi * x / period), (1, 96, 1)).astype(np.float32) for period in (4, 96)
    )
    assert corrupt(fine, "resolution", 4, 0).std() < 0.05 * fine.std()
    assert corrupt(coarse, "resolution", 4, 0).std() > 0.95 * coarse.std()


def test_ghosts_of_a_point_lie_a_quarter_of_the_image_apart():
    image = np.zeros((1, 8, 64), np.float32)
    image[0, 3, 10] = 1
    changed = corrupt(image, "ghosting", 5, 0)[0]
    assert set(np.argsort(-np.abs(changed[3]))[:4]) == {10, 26, 42, 58}
    np.testing.assert_allclose(changed[3, [26, 42, 58]], -0.8 / 4 + 0.8 / 64, atol=1e-6)
    assert np.abs(np.delete(changed, 3, axis=0)).max() == 0


def test_unknown_kinds_and_levels_are_refused():
    with pytest.raises(DataError, match="did you mean 'noise'"):
        corrupt(drawn(0, SHAPES[0]), "noize", 1, 0)
    for level in (0, 6):
        with pytest.raises(DataError, match="levels are 1, 2, 3, 4, 5"):
            corrupt(drawn(0, SHAPES[0]), "blur", level, 0)


def test_a_study_may_ask_for_every_kind_and_no_other():
    assert set(CORRUPTIONS) == set(SEVERITY)
