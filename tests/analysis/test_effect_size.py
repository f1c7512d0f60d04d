import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from attnbench.analysis.effect_size import (
    POWER,
    equivalence_p,
    minimum_effect,
    standardised,
    superiority,
)
from attnbench.analysis.significance import attainable_level, sign_flip_p, signed_rank_p

RANDOM = np.random.default_rng(21)


@pytest.mark.parametrize("groups", [2, 6, 11])
def test_few_groups_are_permuted_exhaustively_as_in_scipy(groups):
    sums, counts = RANDOM.normal(0.5, 1, (3, groups)), np.ones((3, groups))
    expected = [
        stats.permutation_test(
            (row,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        for row in sums
    ]
    np.testing.assert_allclose(sign_flip_p(sums, counts, 100, 0), expected)


def test_many_groups_are_permuted_at_random_close_to_the_normal_limit():
    sums = RANDOM.normal(0.02, 0.1, (4, 60))
    z = sums.sum(axis=1) / np.sqrt((sums**2).sum(axis=1))
    found = sign_flip_p(sums, np.ones_like(sums), 20_000, 0)
    np.testing.assert_allclose(found, 2 * stats.norm.sf(np.abs(z)), atol=0.015)
    assert sign_flip_p(np.full((1, 60), 0.1), np.ones((1, 60)), 999, 0) == pytest.approx(1 / 1000)


def test_permutation_without_difference_or_groups():
    sums, counts = (
        np.array([[0.0, 0, 0], [0, 0, 0], [0.3, 0, 0]]),
        np.array([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]),
    )
    np.testing.assert_array_equal(sign_flip_p(sums, counts, 100, 0), [1.0, np.nan, 1.0])


def test_standardised_effect_and_superiority_by_hand():
    groups = np.array(
        [[1.0, 2.0, 3.0, np.nan], [0.0, -1.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0], [np.nan] * 4]
    )
    np.testing.assert_allclose(standardised(groups), [2.0, 0.0, np.nan, np.nan])
    np.testing.assert_allclose(superiority(groups), [1.0, 0.5, 1.0, np.nan])


@pytest.mark.parametrize("groups", [5, 8, 40])
def test_equivalence_is_statsmodels_tost(groups):
    differences = RANDOM.normal(0.002, 0.02, (5, groups))
    expected = [ttost_paired(row, np.zeros(groups), -0.01, 0.01)[0] for row in differences]
    np.testing.assert_allclose(equivalence_p(differences, np.full(5, 0.01)), expected, rtol=1e-9)


def test_equivalence_without_variation_margin_or_groups():
    groups = np.repeat([[0.0], [0.02], [0.0], [0.0]], 6, axis=1)
    groups[2:, 0] = 0.1
    groups[3, 2:] = np.nan
    found = equivalence_p(groups, np.array([0.01, 0.01, np.nan, 0.01]))
    np.testing.assert_array_equal(found, [0.0, 1.0, np.nan, np.nan])


def test_a_few_equal_groups_are_no_proof_of_equivalence():
    assert np.isnan(equivalence_p(np.zeros((1, 4)), np.array([0.01]))).all()


@pytest.mark.parametrize("groups", [6, 12, 30, 80])
def test_the_minimum_effect_has_the_promised_power_in_statsmodels(groups):
    found = minimum_effect(np.array([2.0]), np.array([groups]), np.array([0.05]))[0] / 2.0
    level = attainable_level(groups, 0.05)
    lower = TTestPower().power(found, groups * 3 / np.pi, level, df=groups - 1)
    assert lower == pytest.approx(POWER, abs=0.01)


@pytest.mark.parametrize("groups", [8, 25])
def test_the_minimum_effect_is_found_as_often_as_promised(groups):
    size = minimum_effect(np.array([1.0]), np.array([groups]), np.array([0.05]))[0]
    p = signed_rank_p(RANDOM.normal(size, 1, (2000, groups)))
    assert (p <= 0.05).mean() == pytest.approx(POWER, abs=0.05)


def test_too_few_groups_can_never_reach_the_level():
    found = minimum_effect(np.array([1.0, 1.0, np.nan]), np.array([5, 1, 20]), np.full(3, 0.05))
    np.testing.assert_array_equal(found, [np.inf, np.inf, np.nan])


@pytest.mark.parametrize("groups", [6, 9, 14])
def test_the_attainable_level_is_the_largest_p_of_the_test_below_it(groups):
    every = {
        float(
            signed_rank_p(
                np.where(RANDOM.random(groups) < 0.2, -1, 1)[None] * (np.arange(groups) + 1.0)
            )[0]
        )
        for _ in range(3000)
    }
    assert attainable_level(groups, 0.05) == pytest.approx(max(p for p in every if p <= 0.05))
