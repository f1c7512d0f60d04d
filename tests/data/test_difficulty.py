"""Measured difficulty: against shapes and edges of known size, and against what the phantoms
were drawn with.
"""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special, stats

from attnbench.catalog import load_entry
from attnbench.data.difficulty import COLUMNS, measure_difficulty
from attnbench.data.phantom import Settings, generate
from attnbench.data.prepare import prepare_case
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.study.groups import DatasetSettings


def ball(shape, radius, spacing=None):
    spacing = spacing or (1.0,) * len(shape)
    centre = (np.array(shape) - 1) / 2
    offsets = np.indices(shape) - centre.reshape(-1, *[1] * len(shape))
    return (
        sum((offset * step) ** 2 for offset, step in zip(offsets, spacing, strict=True)) < radius**2
    ).astype(np.uint8)


def z_scored(image):
    axes = tuple(range(1, image.ndim))
    return (image - image.mean(axes, keepdims=True)) / image.std(axes, keepdims=True)


def measured(image, mask, spacing=None, region=None):
    image = np.asarray(image, np.float32)
    image = image[None] if image.ndim == mask.ndim else image
    return measure_difficulty(image, mask, spacing or (1.0,) * mask.ndim, region)


def noisy(mask, step=3.0, blur=0.0, sd=1.0, seed=0):
    level = (
        ndimage.gaussian_filter(step * mask.astype(float), blur)
        if blur
        else step * mask.astype(float)
    )
    return level + np.random.default_rng(seed).normal(0, sd, mask.shape)


@pytest.fixture(scope="module", params=["phantom2d", "phantom3d"])
def phantoms(request):
    """Known truth beside measured difficulty, one row per case."""
    cases = generate(load_entry(request.param))
    return pd.DataFrame(
        [
            {**case.facts, **measured(z_scored(case.image), case.mask, case.spacing)}
            for case in cases
        ]
    )


@pytest.mark.parametrize(
    ("truth", "measure", "sign", "at_least"),
    [
        ("blur", "boundary_sharpness", -1, 0.9),
        ("contrast", "contrast_to_noise", 1, 0.6),
        ("contrast", "boundary_contrast", 1, 0.5),
        ("clutter", "clutter", 1, 0.6),
    ],
)
def test_the_phantoms_truth_is_recovered(phantoms, truth, measure, sign, at_least):
    found = stats.spearmanr(phantoms[truth], phantoms[f"difficulty_{measure}"]).statistic
    assert sign * found > at_least


@pytest.mark.parametrize("truth", ["blur", "contrast", "clutter"])
@pytest.mark.parametrize("measure", ["boundary_sharpness", "contrast_to_noise", "clutter"])
def test_a_measure_follows_its_own_truth_most(phantoms, truth, measure):
    own = {"boundary_sharpness": "blur", "contrast_to_noise": "contrast", "clutter": "clutter"}[
        measure
    ]

    def strength(name):
        return abs(stats.spearmanr(phantoms[name], phantoms[f"difficulty_{measure}"]).statistic)

    assert truth == own or strength(truth) < strength(own)


@pytest.mark.parametrize(("radius", "shape"), [(20, (60, 60)), (12, (40, 40, 40))])
def test_a_ball_is_compact_and_one_component(radius, shape):
    mask = ball(shape, radius)
    found = measured(noisy(mask), mask)
    assert found["difficulty_compactness"] == pytest.approx(1, abs=0.08)
    assert found["difficulty_components"] == 1
    assert found["difficulty_size"] == pytest.approx(mask.mean(), rel=1e-5)


def test_compactness_is_that_of_the_object_not_of_its_pixels():
    spacing = (1.0, 1.0, 3.0)
    mask = ball((40, 40, 14), 15, spacing)
    assert measured(noisy(mask), mask, spacing)["difficulty_compactness"] == pytest.approx(
        1, abs=0.1
    )


def test_a_bar_has_the_isoperimetric_quotient_of_its_sides():
    mask = np.zeros((80, 80), np.uint8)
    mask[38:41, 10:70] = 1
    perimeter = 2 * (3 + 60) * math.pi / 4
    expected = 4 * math.pi * 180 / perimeter**2
    assert measured(noisy(mask), mask)["difficulty_compactness"] == pytest.approx(
        expected, rel=1e-5
    )


def test_components_are_counted_within_each_class():
    mask = np.zeros((60, 60), np.uint8)
    mask[5:12, 5:12] = mask[30:40, 30:40] = 1
    mask[34:38, 40:50] = 2
    assert measured(noisy(mask), mask)["difficulty_components"] == 3


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_sharpness_of_a_straight_edge_is_that_of_the_blur(sigma):
    mask = np.zeros((80, 80), np.uint8)
    mask[:40] = 1
    depth = 39.5 - np.arange(80)[:, None]
    edge = np.repeat((1 + special.erf(depth / (sigma * math.sqrt(2)))) / 2, 80, axis=1)
    image = 10 * edge + np.random.default_rng(0).normal(0, 0.1, edge.shape)
    adjacent = edge[39, 0] - edge[40, 0]
    window = edge[36:40, 0].mean() - edge[40:43, 0].mean()
    assert measured(image, mask)["difficulty_boundary_sharpness"] == pytest.approx(
        adjacent / window, rel=0.02
    )


@pytest.mark.parametrize("step", [-4.0, 2.0, 6.0])
def test_contrast_is_the_step_in_units_of_the_noise(step):
    mask = ball((100, 100), 30)
    found = measured(noisy(mask, step), mask)
    assert found["difficulty_contrast_to_noise"] == pytest.approx(abs(step), rel=0.1)
    assert found["difficulty_boundary_contrast"] == pytest.approx(abs(step), rel=0.1)


def test_the_channel_with_most_contrast_counts():
    mask = ball((60, 60), 15)
    blind, seeing = noisy(mask, 0.0, seed=1), noisy(mask, 5.0, seed=2)
    both, alone = measured(np.stack([blind, seeing]), mask), measured(seeing, mask)
    for name in ("boundary_contrast", "boundary_sharpness", "contrast_to_noise"):
        assert both[f"difficulty_{name}"] == alone[f"difficulty_{name}"]


def test_clutter_is_what_looks_like_the_object_outside_the_field_of_view_nothing():
    mask = ball((100, 100), 10)
    decoys = np.roll(mask, (30, 30), (0, 1)) | np.roll(mask, (-30, 30), (0, 1))
    region = np.ones(mask.shape, bool)
    region[:, 62:] = False
    with_decoys, without = noisy(mask | decoys, 6.0), noisy(mask, 6.0)
    assert measured(without, mask)["difficulty_clutter"] == 0
    assert measured(with_decoys, mask)["difficulty_clutter"] > 0.01
    assert measured(with_decoys, mask, region=region)["difficulty_clutter"] == 0


def test_an_empty_reference_has_no_difficulty():
    found = measured(noisy(np.zeros((30, 30))), np.zeros((30, 30), np.uint8))
    assert set(found) == set(COLUMNS) and all(math.isnan(value) for value in found.values())


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(1, 24), min_size=2, max_size=3),
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    constant=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_mask_gives_finite_or_missing_values(seed, shape, share, constant):
    rng = np.random.default_rng(seed)
    mask = (rng.uniform(size=shape) < share).astype(np.uint8) * rng.integers(
        1, 4, size=shape
    ).astype(np.uint8)
    image = np.zeros((2, *shape)) if constant else rng.normal(size=(2, *shape))
    found = measured(image, mask)
    assert set(found) == set(COLUMNS)
    assert not any(math.isinf(value) for value in found.values())
    assert math.isnan(found["difficulty_size"]) == (not mask.any())


def test_a_store_gives_back_what_was_measured_and_gaps_as_gaps(tmp_path):
    from attnbench.data.prepare import describe

    entry, part = load_entry("phantom2d"), DatasetSettings(name="phantom2d")
    settings_ = Settings.of(entry)
    first = next(generate(entry))
    case = prepare_case(first, part)
    empty = prepare_case(
        type(first)(
            "empty",
            "other",
            first.image,
            np.zeros_like(first.mask),
            first.spacing,
            facts=first.facts,
        ),
        part,
    )
    write_store(tmp_path / "store", [case, empty], describe(entry, part))
    cases = CaseStore.open(tmp_path / "store").cases
    assert settings_.size == case.mask.shape
    assert cases.loc[0, list(COLUMNS)].to_dict() == {name: case.facts[name] for name in COLUMNS}
    assert cases.loc[1, list(COLUMNS)].isna().all()
    assert (cases["blur"] == first.facts["blur"]).all()
