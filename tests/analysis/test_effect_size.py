import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from attnbench.analysis.effect_size import minimum_effect, standardised, superiority
from attnbench.analysis.significance import attainable_level, sign_flip_p, smallest_p

RANDOM = np.random.default_rng(21)


@pytest.mark.parametrize("groups", [2, 6, 11])
def test_few_groups_are_permuted_exhaustively_as_in_scipy(groups):
    rows = RANDOM.normal(0.5, 1, (3, groups))
    expected = [
        stats.permutation_test(
            (row,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        for row in rows
    ]
    np.testing.assert_allclose(sign_flip_p(rows, 100, 0), expected)


def test_many_groups_are_permuted_at_random_close_to_the_normal_limit():
    rows = RANDOM.normal(0.02, 0.1, (4, 60))
    z = rows.sum(axis=1) / np.sqrt((rows**2).sum(axis=1))
    found = sign_flip_p(rows, 20_000, 0)
    np.testing.assert_allclose(found, 2 * stats.norm.sf(np.abs(z)), atol=0.015)
    # Beyond what 999 flips resolve: Student's p, and never below that of all 2^60 patterns.
    far = RANDOM.normal(0.1, 0.1, (1, 60))
    student = stats.ttest_1samp(far[0], 0).pvalue
    assert student < 1 / 1000
    assert sign_flip_p(far, 999, 0) == pytest.approx(student)
    assert sign_flip_p(np.full((1, 60), 0.1), 999, 0) == pytest.approx(2.0**-59)


def test_permutation_without_difference_or_groups():
    rows = np.array([[0.0, 0, 0], [np.nan, np.nan, np.nan], [0.3, np.nan, np.nan]])
    np.testing.assert_array_equal(sign_flip_p(rows, 100, 0), [1.0, np.nan, 1.0])


def test_undefined_groups_are_left_out_of_the_permutation():
    row = RANDOM.normal(0.3, 1, 9)
    spread = np.insert(row, [0, 4, 9], np.nan)
    assert sign_flip_p(spread[None], 100, 0) == sign_flip_p(row[None], 100, 0)


def test_standardised_effect_and_superiority_by_hand():
    groups = np.array(
        [[1.0, 2.0, 3.0, np.nan], [0.0, -1.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0], [np.nan] * 4]
    )
    np.testing.assert_allclose(standardised(groups), [2.0, 0.0, np.nan, np.nan])
    np.testing.assert_allclose(superiority(groups), [1.0, 0.5, 1.0, np.nan])


@pytest.mark.parametrize("groups", [6, 12, 30, 80])
def test_the_minimum_effect_has_the_promised_power_in_statsmodels(groups):
    found = minimum_effect(np.array([2.0]), np.array([groups]), np.array([0.05]))[0] / 2.0
    level = attainable_level(groups, 0.05)
    assert TTestPower().power(found, groups, level) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("groups", [8, 14])
def test_the_minimum_effect_is_found_as_often_as_promised(groups):
    size = minimum_effect(np.array([1.0]), np.array([groups]), np.array([0.05]))[0]
    p = sign_flip_p(RANDOM.normal(size, 1, (2000, groups)), 5000, 0)
    assert (p <= 0.05).mean() == pytest.approx(0.8, abs=0.04)


def test_too_few_groups_can_never_reach_the_level():
    found = minimum_effect(np.array([1.0, 1.0, np.nan]), np.array([5, 1, 20]), np.full(3, 0.05))
    np.testing.assert_array_equal(found, [np.inf, np.inf, np.nan])


@pytest.mark.parametrize("groups", [6, 9, 11])
def test_the_attainable_level_is_the_largest_p_of_the_test_below_it(groups):
    """Of powers of two no two sums are equal, so that every p that there can be comes up."""
    signs = 1 - 2.0 * (np.arange(2**groups)[:, None] >> np.arange(groups) & 1)
    p = sign_flip_p(signs * 2.0 ** np.arange(groups), 100, 0)
    assert attainable_level(groups, 0.05) == pytest.approx(p[p <= 0.05].max())
    assert smallest_p(np.array([groups]))[0] == pytest.approx(p.min())
