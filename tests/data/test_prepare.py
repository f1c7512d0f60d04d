"""Preparation: intensities stay the file's own, working grids, and what happens when a case is
broken.
"""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from attnbench.catalog import Entry
from attnbench.data.case import RawCase
from attnbench.data.difficulty import COLUMNS
from attnbench.data.prepare import prepare_case, prepare_dataset
from attnbench.data.resample import resample_image
from attnbench.data.store import CaseStore
from attnbench.errors import DataError
from attnbench.study.groups import DatasetSettings


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
    assert case.image.dtype == np.float32
    expected = raw.image if shape == (20, 30) else resample_image(raw.image, shape)
    np.testing.assert_allclose(case.image, expected, rtol=1e-6)


def pixels_of(dtype, shape=(2, 20, 30)):
    rng = np.random.default_rng(1)
    return (1000 * rng.random(shape)).astype(dtype)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.uint8, np.uint8), (np.int16, np.int16), (">i2", np.int16), (">u2", np.uint16),
        (np.float32, np.float32), (">f4", np.float32), (np.float64, np.float32),
        (np.float16, np.float32), (np.int32, np.float32), (np.int8, np.float32),
        (np.uint32, np.float32), (bool, np.float32),
    ],
)  # fmt: skip
def test_without_resampling_a_case_keeps_its_type_and_every_value(given, stored):
    image = pixels_of(given)
    case = prepare_case(replace(raw_case(), image=image), DatasetSettings(name="toy"))
    assert case.image.dtype == np.dtype(stored) and case.image.dtype.isnative
    np.testing.assert_array_equal(case.image, image.astype(stored))
    same_grid = DatasetSettings(name="toy", size=(20, 30))
    assert prepare_case(replace(raw_case(), image=image), same_grid).image.dtype == stored
    resampled = prepare_case(
        replace(raw_case(), image=image), DatasetSettings(name="toy", size=(8, 8))
    )
    assert resampled.image.dtype == np.float32


def test_an_intensity_beyond_float32_is_refused():
    image = np.full((1, 20, 30), 1e39)
    with pytest.raises(DataError, match=r"toy: case '1': intensities reach 1e\+39; float32"):
        prepare_case(replace(raw_case(), image=image), DatasetSettings(name="toy"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("size", [None, (10, 15)])
def test_outside_the_field_of_view_lies_the_mean_inside(dtype, size):
    fov = np.zeros((20, 30), bool)
    fov[:, 12:] = True
    image = pixels_of(dtype)
    raw = replace(raw_case(fov=fov), image=image)
    case = prepare_case(raw, DatasetSettings(name="toy", size=size))
    edge = 6 if size else 12
    inside = case.image[..., edge:].astype(np.float64)
    expected = resample_image(image, size) if size else image
    np.testing.assert_allclose(inside, expected[..., edge:], rtol=1e-6)
    for channel, outside in zip(inside, case.image[..., :edge], strict=True):
        whole = case.image.dtype.kind != "f"
        np.testing.assert_allclose(outside, channel.mean(), atol=0.5 if whole else 1e-3)
        assert np.ptp(outside) == 0
    found = case.statistics[:, :2]
    axes = (1, 2)
    np.testing.assert_allclose(found[:, 0], inside.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], inside.std(axes), rtol=1e-6)


def test_the_choices_of_channels_and_of_resampling_are_those_of_the_study():
    image = pixels_of(np.uint8, (3, 20, 30))
    chosen = DatasetSettings(name="toy", channels=[2, 0], size=(10, 15), interpolation="nearest")
    case = prepare_case(replace(raw_case(), image=image), chosen)
    np.testing.assert_array_equal(case.image, image[[2, 0], 1::2, 1::2])
    assert case.statistics.shape == (2, 6)


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
            rows.append((path, "1", "", role, case, f"child{case}"))
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
        picture = np.asarray(Image.open(raw / f"image-{case}.png"))
        np.testing.assert_allclose(store.image(i), resample_image(picture[None], (8, 8)))
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
    assert store.images.dtype == np.uint8
    for i, case in enumerate(("01", "02", "03")):
        picture = np.asarray(Image.open(raw / f"image-{case}.png"))
        np.testing.assert_array_equal(store.image(i)[0], picture)
        np.testing.assert_allclose(
            store.statistics[i, 0, :2], (picture.mean(), picture.std()), rtol=1e-12
        )


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
