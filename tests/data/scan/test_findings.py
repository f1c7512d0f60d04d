"""What is odd besides copies, on cases made to be odd in one way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from attnbench.data.scan.findings import find_oddities, robust_z
from attnbench.data.scan.seen import see

CLASSES = {1: "blob", 2: "rare", 3: "never"}


@pytest.fixture
def oddities(texture, case_of):
    def find(*changed, classes=None):
        plain = [case_of(f"p{k:02d}", texture(k, (40, 50))) for k in range(20)]
        cases = [*plain[: 20 - len(changed)], *changed]
        seen = [see(case, classes or {1: "blob"}, ("row", "column")) for case in cases]
        return [(one.kind, one.case) for one in find_oddities(seen, classes or {1: "blob"})]

    return find


def test_ordinary_cases_are_not_odd(oddities):
    assert oddities() == []


def test_empty_and_equal_masks_are_named(oddities, texture, case_of):
    empty, mask = np.zeros((40, 50), np.uint8), np.eye(40, 50, dtype=np.uint8)
    changed = [
        case_of("e1", texture(31, (40, 50)), mask=empty),
        case_of("e2", texture(32, (40, 50)), mask=empty),
        case_of("m1", texture(33, (40, 50)), mask=mask),
        case_of("m2", texture(34, (40, 50)), mask=mask),
    ]
    assert oddities(*changed) == [("empty mask", "e1"), ("empty mask", "e2"), ("equal mask", "m2")]


def test_one_image_with_its_mask_twice_is_no_equal_mask(oddities, texture, case_of):
    image, mask = texture(33, (40, 50)), np.eye(40, 50, dtype=np.uint8)
    assert oddities(case_of("m1", image, mask=mask), case_of("m2", image, mask=mask)) == []


def test_classes_in_few_groups_or_none_are_named(oddities, texture, case_of):
    mask = np.eye(40, 50, dtype=np.uint8) * 2
    mask[0, 30] = 1
    changed = [
        case_of(f"r{k}", texture(30 + k, (40, 50)), group="one", mask=np.roll(mask, k, axis=1))
        for k in range(6)
    ]
    assert oddities(*changed, classes=CLASSES) == [
        ("class in few groups", ""), ("class without a case", ""),
    ]  # fmt: skip


def test_outliers_are_named_by_what_they_are(oddities, texture, case_of):
    changed = [
        case_of("size", texture(30, (40, 500))),
        case_of("spacing", texture(31, (40, 50)), spacing=(1.0, 30.0)),
        case_of("bright", texture(32, (40, 50)) * 1000),
    ]
    found = oddities(*changed)
    assert set(found) == {
        ("outlier of size", "size"), ("outlier of spacing", "spacing"),
        ("outlier of intensity", "bright"),
    }  # fmt: skip


def test_many_outliers_are_kinds_of_cases(oddities, texture, case_of):
    changed = [case_of(f"s{k}", 1000 * texture(30 + k, (40, 50))) for k in range(3)]
    assert set(oddities(*changed)) == {("mixed intensity", "")}


def test_a_rounding_error_is_no_outlier(oddities, texture, case_of):
    assert oddities(case_of("s", texture(31, (40, 50)), spacing=(1.0, 1.000001))) == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40))
def test_robust_z_is_scipys_where_values_differ(values):
    values = np.array(values)
    spread = median_abs_deviation(values, scale="normal")
    if spread > 1e-6:
        np.testing.assert_allclose(
            robust_z(values), (values - np.median(values)) / spread, rtol=1e-3, atol=1e-6
        )


def test_robust_z_of_one_other_value_counts_how_rare_it_is():
    values = np.array([2.0] * 19 + [5.0])
    # Mean absolute deviation 3 / 20.
    assert robust_z(values)[-1] == pytest.approx(3 / (1.2533 * 0.15))
    assert robust_z(np.full(5, 3.0)).tolist() == [0] * 5
