"""Preparation: normalisation against plain formulas, working grids, and what happens when a case
is broken.
"""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from attnbench.catalog import Entry
from attnbench.data.case import RawCase
from attnbench.data.difficulty import COLUMNS
from attnbench.data.prepare import normalise, prepare_case, prepare_dataset
from attnbench.data.resample import resample_image
from attnbench.data.store import CaseStore
from attnbench.errors import DataError
from attnbench.study.groups import DatasetSettings


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e4), shift=st.floats(-1e3, 1e3))
def test_every_channel_has_mean_0_and_deviation_1_whatever_its_unit(seed, scale, shift):
    image = np.random.default_rng(seed).normal(size=(2, 9, 11)).astype(np.float64)
    result = normalise(image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2)), 1, atol=1e-5)
    np.testing.assert_allclose(normalise(image * scale + shift), result, atol=1e-3)


def test_without_outliers_it_is_the_z_score():
    image = np.random.default_rng(0).uniform(size=(1, 40, 40))
    np.testing.assert_allclose(
        normalise(image), (image - image.mean()) / image.std(), rtol=1e-4, atol=1e-6
    )


def test_one_hot_pixel_changes_little():
    image = np.random.default_rng(0).normal(size=(1, 64, 64))
    hot = image.copy()
    hot[0, 5, 5] = 1e9
    difference = np.abs(normalise(hot) - normalise(image))
    difference[0, 5, 5] = 0
    assert difference.max() < 0.05
    assert normalise(hot).max() < 12


def test_an_object_of_a_thousandth_of_the_image_stands_out_of_the_noise():
    image = np.random.default_rng(0).normal(3, 1, size=(1, 100, 100))
    image[0, 50:53, 50:53] = 96
    result = normalise(image)[0]
    background = np.delete(
        result.ravel(), [r * 100 + c for r in range(50, 53) for c in range(50, 53)]
    )
    assert result[51, 51] - background.mean() > 6 * background.std()


def test_only_the_field_of_view_counts():
    rng = np.random.default_rng(0)
    fov = np.zeros((30, 30), bool)
    fov[5:25, 5:25] = True
    image = rng.normal(size=(1, 30, 30))
    other = np.where(fov, image, rng.uniform(-1000, 0, image.shape))
    result = normalise(other, fov)
    np.testing.assert_array_equal(result[:, fov], normalise(image, fov)[:, fov])
    assert result[:, fov].mean() == pytest.approx(0, abs=1e-6)
    assert result[:, fov].std() == pytest.approx(1, abs=1e-6)
    assert (result[:, ~fov] == 0).all()


@pytest.mark.parametrize("value", [0, 0.1, 255, 1.7e6])
def test_a_constant_channel_becomes_zero(value):
    np.testing.assert_allclose(normalise(np.full((1, 7, 7), value)), 0, atol=1e-6)


def test_a_channel_with_a_few_other_pixels_keeps_them():
    image = np.zeros((1, 40, 40))
    image[0, 3, 4] = 1
    result = normalise(image)
    assert np.argwhere(result > 1).tolist() == [[0, 3, 4]]


def raw_case(**changes):
    rng = np.random.default_rng(0)
    mask = (rng.random((20, 30)) > 0.7).astype(np.uint8)
    return RawCase("1", "a", rng.normal(size=(1, 20, 30)), mask, (0.5, 0.2), **changes)


@pytest.mark.parametrize(
    ("part", "shape", "spacing"),
    [
        (DatasetSettings(name="toy"), (20, 30), (0.5, 0.2)),
        (DatasetSettings(name="toy", spacing=(0.25, 0.4)), (40, 15), (0.25, 0.4)),
        (DatasetSettings(name="toy", spacing=(0.3, 0.3)), (33, 20), (10 / 33, 0.3)),
        (DatasetSettings(name="toy", size=(8, 8)), (8, 8), (1.25, 0.75)),
    ],
)
def test_the_working_grid_is_the_studys_and_the_originals_stay(part, shape, spacing):
    raw = raw_case(
        fov=np.ones((20, 30), bool), second_rater=np.ones((20, 30), np.uint8), facts={"blur": 0.5}
    )
    case = prepare_case(raw, part)
    assert case.image.shape == (1, *shape)
    assert case.mask.shape == shape
    assert case.spacing == pytest.approx(spacing)
    assert case.original_spacing == raw.spacing
    np.testing.assert_array_equal(case.reference, raw.mask)
    np.testing.assert_array_equal(case.fov, raw.fov)
    np.testing.assert_array_equal(case.second_rater, raw.second_rater)
    assert case.facts["blur"] == 0.5 and set(case.facts) == {"blur", *COLUMNS}
    assert case.image.std() == pytest.approx(1, abs=1e-5)
    smaller = resample_image(raw.image, shape)
    assert np.corrcoef(case.image.ravel(), smaller.ravel())[0, 1] > 0.999


def test_on_the_working_grid_the_field_of_view_still_counts_alone():
    fov = np.zeros((20, 30), bool)
    fov[:, 12:] = True
    case = prepare_case(raw_case(fov=fov), DatasetSettings(name="toy", size=(10, 15)))
    assert (case.image[..., :6] == 0).all()
    assert case.image[..., 6:].mean() == pytest.approx(0, abs=1e-6)
    assert case.image[..., 6:].std() == pytest.approx(1, abs=1e-6)


@pytest.fixture
def originals(tmp_path):
    """Three ragged pictures with mask, field of view and, for one of them, a second rater."""
    rng = np.random.default_rng(1)
    rows = [("path", "bytes", "sha256", "role", "case", "group")]
    for case, shape in (("01", (16, 20)), ("02", (18, 14)), ("03", (15, 15))):
        pictures = {"image": rng.integers(0, 256, shape), "mask": 255 * (rng.random(shape) > 0.6)}
        pictures["fov"] = np.full(shape, 255)
        if case == "02":
            pictures["mask_second_rater"] = pictures["mask"]
        for role, pixels in pictures.items():
            path = f"{role}-{case}.png"
            (tmp_path / "raw").mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "raw" / path)
            rows.append((path, "1", "0" * 64, role, case, f"child{case}"))
    with (tmp_path / "toy.files.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    entry = Entry(
        name="toy", title="Toy", short="Toy", task="vessels", modality="b", ndim=2, channels=1,
        classes={1: "vessel"}, cases=3, groups=3, groups_inferred=False,
        licence="MIT", citation="nobody", listing=tmp_path / "toy.files.csv",
        origin={"kind": "files", "url": "http://localhost/{path}", "page": "http://localhost"},
        reader="binary_mask", axes=("a", "b"), mirror={"axes": (0,), "reason": "e"},
    )  # fmt: skip
    return entry, tmp_path / "raw", tmp_path / "prepared" / "toy"


def test_a_prepared_dataset_holds_every_case_in_both_grids(originals):
    entry, raw, folder = originals
    prepare_dataset(entry, DatasetSettings(name="toy", size=(8, 8)), raw, folder)
    store = CaseStore.open(folder)
    info = json.loads((folder / "dataset.json").read_text())
    assert (info["resampled"], info["has_fov"], info["has_second_rater"], info["size"]) == (
        True,
        True,
        True,
        [8, 8],
    )
    assert (info["cases"], info["groups"], info["spacing_unit"]) == (3, 3, "px")
    assert store.cases["group"].tolist() == ["child01", "child02", "child03"]
    for i, case in enumerate(("01", "02", "03")):
        mask = np.asarray(Image.open(raw / f"mask-{case}.png")) > 127
        np.testing.assert_array_equal(store.reference(i), mask)
        assert store.cases["voxels_1"][i] == mask.sum()
        assert store.image(i).shape == (1, 8, 8)
        assert store.spacing(i) == (mask.shape[0] / 8, mask.shape[1] / 8)
        assert (store.second_rater(i) is None) == (case != "02")
        assert store.fov(i).all()


def test_without_a_working_grid_the_stored_mask_is_the_reference(originals):
    entry, raw, folder = originals
    prepare_dataset(entry, DatasetSettings(name="toy"), raw, folder)
    store = CaseStore.open(folder)
    assert not (folder / "references.npy").exists()
    assert [store.shape(i) for i in range(3)] == [(16, 20), (18, 14), (15, 15)]
    assert all(np.shares_memory(store.reference(i), store.masks) for i in range(3))


def test_preparing_twice_gives_the_same_bytes(originals):
    entry, raw, folder = originals
    contents = []
    for name in ("one", "two"):
        prepare_dataset(
            entry, DatasetSettings(name="toy", spacing=(1.7, 1.7)), raw, folder.with_name(name)
        )
        contents.append({path.name: path.read_bytes() for path in folder.with_name(name).iterdir()})
    assert contents[0] == contents[1]
    prepare_dataset(entry, DatasetSettings(name="toy", spacing=(1.6, 1.7)), raw, folder)
    hashes = [CaseStore.open(folder.with_name(name)).info.content_hash for name in ("one", "toy")]
    assert hashes[0] != hashes[1]


def test_a_broken_case_leaves_no_store(originals):
    entry, raw, folder = originals
    (raw / "mask-03.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"toy: case '03', file mask-03.png: cannot be read"):
        prepare_dataset(entry, DatasetSettings(name="toy"), raw, folder)
    assert list(folder.parent.iterdir()) == []
