"""The plane in which a case is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnbench.data.case import PreparedCase
from attnbench.data.info import DatasetInfo
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.reporting.slices import image_plane, mask_plane, plane_of

INFO = DatasetInfo(
    name="d", title="D", task="t", modality="m", ndim=2, channels=1, classes={1: "a"},
    spacing_unit="mm", spacing=None, size=None, resampled=True,
    has_fov=False, has_second_rater=False, groups_inferred=False, licence="l", citation="c",
)  # fmt: skip


@pytest.fixture
def store_of(tmp_path):
    def write(case: PreparedCase, **changes: object) -> CaseStore:
        write_store(tmp_path / "d", [case], replace(INFO, **changes))
        return CaseStore.open(tmp_path / "d")

    return write


def test_volume_is_cut_where_the_reference_is_largest_and_stands_upright(store_of):
    reference = np.zeros((6, 4, 8), np.uint8)
    reference[0, 0, 2] = 1
    reference[5, 3, 6] = reference[4, 3, 6] = 1
    image = np.zeros((1, 3, 2, 4), np.float32)
    image[0, 2, 1, 3] = 1.0
    case = PreparedCase(
        "c", "g", image, np.zeros((3, 2, 4), np.uint8), reference, (2.0, 2.0, 2.0), (1.0, 1.0, 1.0)
    )
    store = store_of(case, ndim=3)
    plane = plane_of(store, 0)
    assert plane.index == 6 and plane.box == (6.0, 4.0)
    shown = mask_plane(store.reference(0), store, 0, plane)
    assert shown.shape == (4, 6)
    assert [tuple(place) for place in np.argwhere(shown)] == [(0, 4), (0, 5)]
    picture = image_plane(store, 0, plane)
    assert picture.shape == (2, 3) and np.unravel_index(picture.argmax(), picture.shape) == (0, 2)


def test_picture_is_black_and_nothing_counts_outside_the_field_of_view(store_of):
    fov = np.zeros((8, 10), np.bool_)
    fov[:, 5:] = True
    image = np.linspace(5, 6, 20, dtype=np.float32).reshape(1, 4, 5)
    mask = np.ones((8, 10), np.uint8)
    case = PreparedCase(
        "c", "g", image, np.ones((4, 5), np.uint8), mask, (2.0, 2.0), (1.0, 1.0), fov=fov
    )
    store = store_of(case, has_fov=True)
    plane = plane_of(store, 0)
    assert plane.index is None and plane.box == (10.0, 8.0)
    assert np.array_equal(mask_plane(mask, store, 0, plane), fov)
    picture = image_plane(store, 0, plane)
    assert picture[:, :2].max() == 0 and picture[-1, -1] == pytest.approx(1)
    assert picture.min() >= 0 and picture.max() <= 1


def test_colour_stays_colour_and_large_pictures_are_thinned(store_of):
    image = np.random.default_rng(0).random((3, 1200, 700), np.float32)
    mask = np.zeros((1200, 700), np.uint8)
    store = store_of(PreparedCase("c", "g", image, mask, mask, (1.0, 1.0), (1.0, 1.0)), channels=3)
    picture = image_plane(store, 0, plane_of(store, 0))
    assert picture.shape[2] == 3 and max(picture.shape[:2]) <= 640
    assert picture.shape[0] / picture.shape[1] == pytest.approx(1200 / 700, rel=0.01)
