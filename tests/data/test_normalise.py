"""Normalisation: every scheme against its plain formula, and the statistics of a fold that belong
to its training cases alone.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from attnbench.data.case import PreparedCase
from attnbench.data.folds import fewer_groups, load_folds, write_folds
from attnbench.data.info import DatasetInfo
from attnbench.data.intensities import load_normalisation, measure_fold, write_statistics
from attnbench.data.normalise import Normalisation, measure_image, moments, normalise
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError
from attnbench.study.groups import FoldsSettings

TYPES = (np.uint8, np.int16, np.uint16, np.float32)


def images(channels=2):
    """Images (channels, H, W) of every stored type, among them constant and sparse ones."""
    shape = st.tuples(st.just(channels), st.integers(2, 9), st.integers(2, 9))

    def of(dtype):
        values = (
            st.floats(-1e4, 1e4, width=32)
            if dtype == np.float32
            else st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
        )
        return arrays.arrays(dtype, shape, elements=values, fill=st.just(dtype(7)))

    return st.sampled_from(TYPES).flatmap(of)


def applied(image, scheme, inside=None, of_fold=None):
    return normalise(image, Normalisation(scheme, of_fold).numbers(measure_image(image, inside)))


@given(image=images(), seed=st.integers(0, 999))
@settings(max_examples=60)
def test_statistics_are_those_of_numpy_in_double_precision(image, seed):
    inside = np.random.default_rng(seed).random(image.shape[1:]) < 0.7
    inside.flat[0] = True
    for region in (None, inside):
        for channel, found in zip(image, measure_image(image, region), strict=True):
            values = (channel if region is None else channel[region]).astype(np.float64).ravel()
            low, high = np.percentile(values, (0.5, 99.5))
            if low == high:
                low, high = values.min(), values.max()
            clipped = np.clip(values, low, high)
            expected = [values.mean(), values.std(), low, high, clipped.mean(), clipped.std()]
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)


def test_moments_of_more_values_than_are_read_at_once():
    values = np.random.default_rng(0).integers(-2000, 3000, 9_000_001).astype(np.int16)
    wide = values.astype(np.float64)
    assert moments(values) == pytest.approx((wide.mean(), wide.std()), rel=1e-12)
    clipped = np.clip(wide, -500, 500)
    assert moments(values, -500, 500) == pytest.approx((clipped.mean(), clipped.std()), rel=1e-12)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1, 1e4), shift=st.floats(-1e3, 1e3))
@settings(max_examples=50)
@pytest.mark.parametrize("scheme", ["z_score", "percentile"])
def test_schemes_of_the_image_give_mean_0_and_deviation_1_in_any_unit(scheme, seed, scale, shift):
    image = np.random.default_rng(seed).normal(size=(2, 9, 11))
    result = applied(image, scheme)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(applied(image * scale + shift, scheme), result, atol=2e-3)


@given(image=images(1))
@settings(max_examples=50)
def test_percentile_clips_and_z_score_does_not(image):
    values = image.astype(np.float64)
    deviation = values.std() or 1.0
    np.testing.assert_allclose(
        applied(image, "z_score"), (values - values.mean()) / deviation, atol=1e-2, rtol=1e-3
    )
    low, high = np.percentile(values, (0.5, 99.5))
    if low < high:
        clipped = np.clip(values, low, high)
        expected = (clipped - clipped.mean()) / clipped.std()
        np.testing.assert_allclose(applied(image, "percentile"), expected, atol=1e-2, rtol=1e-3)


@given(image=images())
def test_none_leaves_every_value_as_it_is(image):
    np.testing.assert_array_equal(applied(image, "none"), image.astype(np.float32))


@pytest.mark.parametrize("scheme", ["z_score", "percentile"])
@pytest.mark.parametrize("value", [0, 0.1, 255, 1.7e6])
def test_a_constant_channel_becomes_zero(value, scheme):
    for dtype in (np.float32, np.float64):
        image = np.full((1, 7, 7), value, dtype)
        np.testing.assert_allclose(applied(image, scheme), 0, atol=0.1)
        assert np.ptp(applied(image, scheme)) == 0


def test_a_percentile_of_a_channel_with_a_few_other_pixels_keeps_them():
    image = np.zeros((1, 40, 40), np.uint8)
    image[0, 3, 4] = 1
    assert np.argwhere(applied(image, "percentile") > 1).tolist() == [[0, 3, 4]]


def test_only_the_field_of_view_counts():
    rng = np.random.default_rng(0)
    fov = np.zeros((30, 30), bool)
    fov[5:25, 5:25] = True
    image = rng.normal(size=(1, 30, 30))
    other = np.where(fov, image, rng.uniform(-1000, 0, image.shape))
    for scheme in ("z_score", "percentile"):
        result = applied(other, scheme, fov)[:, fov]
        np.testing.assert_array_equal(result, applied(image, scheme, fov)[:, fov])
        assert result.mean() == pytest.approx(0, abs=1e-6)
        assert result.std() == pytest.approx(1, abs=1e-6)


CASES = 24


def make_store(folder, change=lambda number, image, mask: None, channels=2):
    info = DatasetInfo(
        name="toy", title="Toy", task="two things", modality="CT", ndim=2, channels=channels,
        classes={1: "thing", 2: "other"}, spacing_unit="mm", spacing=None, size=None,
        resampled=False, has_fov=False, has_second_rater=False, groups_inferred=False,
        licence="MIT", citation="nobody",
    )  # fmt: skip
    cases = []
    for number in range(CASES):
        rng = np.random.default_rng(number)
        shape = tuple(rng.integers(8, 14, 2))
        mask = rng.choice([0, 0, 1, 2], size=shape).astype(np.uint8)
        image = rng.normal(90.0 * mask - 400 + 20 * number, 300, (channels, *shape))
        image = image.round().astype(np.int16)
        change(number, image, mask)
        case = f"c{number:02d}"
        cases.append(
            PreparedCase(case, f"g{number // 2}", image, mask, mask, (1.0, 1.0), (1.0, 1.0))
        )
    write_store(folder, cases, info)
    return CaseStore.open(folder)


@pytest.fixture
def split(tmp_path):
    """Store, folds and file of statistics of `ct`."""
    store = make_store(tmp_path / "toy")
    write_folds(store.folder, FoldsSettings(outer=3, inner=3), tmp_path / "folds.json")
    write_statistics(store.folder, tmp_path / "folds.json", "ct", tmp_path / "statistics.json")
    return store, load_folds(tmp_path / "folds.json", store), tmp_path / "statistics.json"


def of_run(split, k=0, fold=None, scheme="ct"):
    store, folds, path = split
    return load_normalisation(path, scheme, store, folds, k, fold or folds.fold(k))


def test_ct_is_nnunets_on_the_foreground_voxels_of_the_training_cases(split):
    """nnU-Net v2: `DatasetFingerprintExtractor` on concatenated voxels, then `CTNormalization`."""
    store, folds, _ = split
    for k, fold in enumerate(folds.folds):
        normalisation = of_run(split, k)
        training = [store.index(case) for case in fold.train]
        for channel in range(2):
            pixels = np.concatenate(
                [store.image(i)[channel][store.mask(i) > 0].astype(np.float64) for i in training]
            )
            low, high = np.percentile(pixels, 0.5), np.percentile(pixels, 99.5)
            for index in range(len(store)):  # of any case, tested ones as well
                image = store.image(index)[channel].astype(np.float64)
                expected = (np.clip(image, low, high) - pixels.mean()) / max(pixels.std(), 1e-8)
                found = normalisation.image(store, index)[channel]
                np.testing.assert_allclose(found, expected, atol=1e-4)


def test_statistics_of_a_fold_see_neither_its_test_nor_its_validation_cases(tmp_path, split):
    store, folds, _ = split
    fold = folds.fold(1)
    unseen = {*fold.validation, *fold.test}

    def change(number, image, mask):
        if f"c{number:02d}" in unseen:
            image += 5000

    changed = make_store(tmp_path / "changed", change)
    np.testing.assert_array_equal(measure_fold(changed, fold.train), of_run(split, 1).of_fold)
    assert (measure_fold(changed, fold.test) != measure_fold(store, fold.test)).any()


def test_a_share_of_the_training_groups_has_statistics_of_its_own(split):
    store, folds, _ = split
    few = fewer_groups(folds.fold(0), store.groups, 40, seed=0)
    found = of_run(split, 0, few).of_fold
    np.testing.assert_array_equal(found, measure_fold(store, few.train))
    assert (found != of_run(split, 0).of_fold).any()


def test_schemes_of_the_image_need_no_file(split):
    store, _, path = split
    write_statistics(store.folder, path.with_name("folds.json"), "z_score", path)
    assert json.loads(path.read_text())["folds"] == []
    path.unlink()
    assert of_run(split, scheme="z_score") == Normalisation("z_score")


def test_an_image_outside_every_store_is_normalised_like_one_in_it(split):
    store = split[0]
    for scheme in ("z_score", "percentile", "ct"):
        normalisation = of_run(split, scheme=scheme)
        image = np.array(store.image(3))
        alone = normalise(image, normalisation.numbers(measure_image(image)))
        np.testing.assert_array_equal(alone, normalisation.image(store, 3))


def altered(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "not a file of statistics: .*No such file"),
        (lambda path: path.write_text("{"), "not a file of statistics: .*not valid JSON"),
        (lambda path: path.write_text("[]"), "not a file of statistics"),
        (lambda path: altered(path, folds=[]), "altered"),
        (lambda path: altered(path, folds_hash="0" * 64), "altered"),
    ],
)
def test_a_damaged_file_is_refused(split, damage, message):
    damage(split[2])
    with pytest.raises(DataError, match=rf"statistics\.json: {message}.*attnbench folds"):
        of_run(split)


def test_statistics_of_other_folds_data_or_scheme_are_refused(tmp_path, split):
    store, folds, path = split
    with pytest.raises(DataError, match="measured for another folds_hash"):
        of_run((store, replace(folds, hash="0" * 64), path))
    elsewhere = make_store(tmp_path / "other", lambda number, image, mask: image.__iadd__(1))
    with pytest.raises(DataError, match="measured for another data_hash"):
        of_run((elsewhere, folds, path))
    write_statistics(store.folder, path.with_name("folds.json"), "z_score", path)
    with pytest.raises(DataError, match=r"another scheme \(found z_score, now ct\)"):
        of_run(split)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda number, image, mask: mask.fill(0), "none of the 24 training cases has a voxel"),
        (
            lambda number, image, mask: image.__setitem__(0, 77),
            r"foreground voxels of the 24 training cases have the value 77 in channel 0",
        ),
    ],
)
def test_without_intensities_to_divide_by_ct_is_refused(tmp_path, change, message):
    store = make_store(tmp_path / "toy", change)
    with pytest.raises(DataError, match=rf"toy: .*{message}.*`normalisation: z_score`"):
        measure_fold(store, store.columns["case"])


def test_of_very_many_voxels_some_are_taken_of_every_case(tmp_path, monkeypatch):
    store = make_store(tmp_path / "toy")
    exact = measure_fold(store, store.columns["case"])
    monkeypatch.setattr("attnbench.data.intensities._MOST", 300)
    some = measure_fold(store, store.columns["case"])
    assert (some != exact).any()
    deviation = exact[:, 3:]
    np.testing.assert_allclose(some[:, 2] - exact[:, 2], 0, atol=4 * deviation.max() / 300**0.5)
