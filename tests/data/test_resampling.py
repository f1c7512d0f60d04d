"""Resampling against closed formulas, Pillow, scipy.ndimage and torch."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from attnbench.data.resample import (
    resample_image,
    resample_mask,
    shape_at_spacing,
    spacing_of_shape,
)

sides = st.integers(1, 23)
seeds = st.integers(0, 2**32 - 1)


def ball(shape, radius, centre=None):
    centre = centre or [(n - 1) / 2 for n in shape]
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return (sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2).astype(
        np.uint8
    )


@given(seed=seeds, shape=st.tuples(sides, sides), new=st.tuples(sides, sides))
@settings(max_examples=60, deadline=None)
def test_2d_equals_pillow(seed, shape, new):
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    expected = Image.fromarray(image).resize(new[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resample_image(image[None], new)[0], np.asarray(expected), atol=2e-5)


@given(seed=seeds, shape=st.tuples(sides, sides), new=st.tuples(sides, sides))
@settings(max_examples=60, deadline=None)
def test_cubic_equals_pillows(seed, shape, new):
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize(new[::-1], Image.Resampling.BICUBIC))
    np.testing.assert_allclose(resample_image(image[None], new, "cubic")[0], expected, atol=3e-5)


@given(n=st.integers(1, 200), m=st.integers(1, 200))
def test_nearest_takes_the_pixel_around_each_centre(n, m):
    found = resample_image(np.arange(n)[None], (m,), "nearest")[0]
    centres = [(Fraction(o) + Fraction(1, 2)) * n / m for o in range(m)]
    assert found.tolist() == [math.floor(centre) for centre in centres]


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarging_3d_equals_scipy(factor):
    image = np.random.default_rng(0).normal(size=(5, 4, 6))
    expected = ndimage.zoom(image, factor, order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(resample_image(image[None], expected.shape)[0], expected, atol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(40, 20), (40, 10), (30, 10), (20, 40), (17, 50)])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_linear_ramp_stays_the_same_ramp_in_physical_coordinates(n, m, axis):
    shape, new = [6, 6, 6], [6, 6, 6]
    shape[axis - 1], new[axis - 1] = n, m
    ramp = np.moveaxis(np.broadcast_to(np.arange(n) + 0.5, (1, 6, 6, n)), -1, axis)
    result = np.moveaxis(resample_image(ramp, new)[0], axis - 1, -1)
    expected = (np.arange(m) + 0.5) * n / m
    inner = slice(2, -2)
    np.testing.assert_allclose(
        result[..., inner], np.broadcast_to(expected, result.shape)[..., inner], rtol=1e-5
    )


def test_stripes_finer_than_the_working_grid_average_out():
    stripes = np.broadcast_to(np.arange(64) % 2, (1, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(resample_image(stripes, (16, 16))[..., 1:-1], 0.5, atol=1e-5)


@given(seed=seeds, shape=st.tuples(sides, sides, sides), new=st.tuples(sides, sides, sides))
@settings(max_examples=40, deadline=None)
def test_image_stays_within_its_range_and_mask_invents_no_class(seed, shape, new):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    mask = rng.choice([0, 1, 3], size=shape).astype(np.uint8)
    result = resample_image(image, new)
    assert result.shape == (1, *new)
    assert result.min() >= image.min() - 1e-5
    assert result.max() <= image.max() + 1e-5
    smaller = resample_mask(mask, new)
    assert smaller.shape == new
    assert smaller.dtype == np.uint8
    assert set(np.unique(smaller)) <= set(np.unique(mask))


@given(seed=seeds, shape=st.tuples(sides, sides))
def test_the_same_grid_changes_nothing(seed, shape):
    rng = np.random.default_rng(seed)
    image, mask = (
        rng.normal(size=(1, *shape)).astype(np.float32),
        rng.integers(0, 4, shape).astype(np.uint8),
    )
    np.testing.assert_array_equal(resample_image(image, shape), image)
    np.testing.assert_array_equal(resample_mask(mask, shape), mask)


@pytest.mark.parametrize("new", [(20, 31), (30, 25), (61, 60), (120, 90), (90, 133)])
def test_a_disc_keeps_its_area_and_its_place(new):
    disc = ball((60, 60), 17, (25, 33))
    result = resample_mask(disc, new)
    assert result.mean() == pytest.approx(disc.mean(), rel=0.02)
    scale = np.array(disc.shape) / new
    centre = (np.array(ndimage.center_of_mass(result)) + 0.5) * scale - 0.5
    np.testing.assert_allclose(centre, (25, 33), atol=0.25)


def test_two_classes_of_a_ball_keep_their_volumes():
    mask = ball((40, 40, 40), 15) + ball((40, 40, 40), 9)
    result = resample_mask(mask, (22, 27, 33))
    for value in (1, 2):
        assert np.mean(result == value) == pytest.approx(np.mean(mask == value), rel=0.03)


def test_thin_lines_stay_whole_where_argmax_would_lose_them():
    mask = np.zeros((96, 96), np.uint8)
    mask[:, 7::12] = 1
    result = resample_mask(mask, (32, 32))
    assert np.flatnonzero(result.any(axis=0)).tolist() == list(range(2, 32, 4))
    assert result[:, 2::4].all()
    share_of_foreground = resample_image(mask[None], (32, 32))[0]
    assert share_of_foreground.max() < 0.5


def test_a_single_foreground_voxel_survives_shrinking():
    mask = np.zeros((40, 40), np.uint8)
    mask[21, 9] = 2
    result = resample_mask(mask, (5, 5))
    assert np.argwhere(result == 2).tolist() == [[2, 1]]
    assert np.count_nonzero(result) == 1


@pytest.mark.parametrize("new", [(64, 80), (90, 70)])
def test_enlarged_and_brought_back_as_documented_a_mask_is_the_same(new):
    mask = ball((32, 40), 10) + ball((32, 40), 5)
    share = (
        functional.one_hot(torch.from_numpy(resample_mask(mask, new)).long(), 3)
        .movedim(-1, 0)
        .float()
    )
    back = (
        functional.interpolate(share[None], mask.shape, mode="bilinear", align_corners=False)[0]
        .argmax(0)
        .numpy()
    )
    assert np.mean(back != mask) < 0.01
    assert ndimage.center_of_mass(back) == pytest.approx(ndimage.center_of_mass(mask), abs=0.1)


@given(
    shape=st.tuples(sides, sides),
    spacing=st.tuples(st.floats(0.05, 5), st.floats(0.05, 5)),
    target=st.tuples(st.floats(0.05, 5), st.floats(0.05, 5)),
)
def test_the_working_grid_covers_the_same_box(shape, spacing, target):
    new = shape_at_spacing(shape, spacing, target)
    box = np.multiply(shape, spacing)
    np.testing.assert_allclose(np.multiply(new, spacing_of_shape(shape, spacing, new)), box)
    assert all(
        abs(n - size / t) <= 0.5 + 1e-9 or n == 1
        for n, size, t in zip(new, box, target, strict=True)
    )
