import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from attnbench.analysis.significance import holm, holm_by_family, signed_rank_p

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("groups", [1, 2, 5, 8, 14, 50, 51, 200])
def test_signed_ranks_without_ties_are_scipys(groups):
    differences = RANDOM.normal(0.2, 1, (4, groups))
    expected = [stats.wilcoxon(row, method="auto").pvalue for row in differences]
    np.testing.assert_allclose(signed_rank_p(differences), expected, rtol=1e-10)


@pytest.mark.parametrize("groups", [4, 7, 11])
def test_ties_are_exact_over_all_signs(groups):
    differences = RANDOM.integers(-3, 4, groups).astype(float)
    differences[0] = 3.0
    every = stats.PermutationMethod(n_resamples=2 ** (groups + 1))
    expected = stats.wilcoxon(differences[differences != 0], method=every).pvalue
    np.testing.assert_allclose(signed_rank_p(differences[None]), expected)


def test_many_tied_groups_agree_with_scipys_normal_approximation():
    differences = RANDOM.integers(-4, 6, (3, 120)).astype(float)
    expected = [stats.wilcoxon(row, method="asymptotic").pvalue for row in differences]
    np.testing.assert_allclose(signed_rank_p(differences), expected)


def test_no_difference_is_no_evidence_and_no_group_is_no_test():
    p = signed_rank_p(np.array([[0.0, 0.0, 0.0], [np.nan, np.nan, np.nan], [0.0, np.nan, 0.3]]))
    np.testing.assert_array_equal(p, [1.0, np.nan, 1.0])


def test_undefined_groups_are_left_out():
    differences = RANDOM.normal(size=9)
    spread = np.insert(differences, [0, 4, 9], np.nan)
    np.testing.assert_array_equal(signed_rank_p(spread[None]), signed_rank_p(differences[None]))


def test_holm_by_hand():
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, np.nan, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_largest_level_of_its_definition(values):
    p = np.array(values)
    order = np.argsort(p, kind="stable")
    expected = np.empty(len(p))
    for rank, index in enumerate(order):
        expected[index] = min(1.0, max((len(p) - r) * p[order[r]] for r in range(rank + 1)))
    np.testing.assert_allclose(holm(p), expected)


def test_families_are_corrected_apart_and_count_their_tests():
    p = np.array([0.01, 0.01, np.nan, 0.02])
    corrected, size = holm_by_family(p, np.array([0, 1, 1, 0]))
    np.testing.assert_allclose(corrected, [0.02, 0.01, np.nan, 0.02])
    assert size.tolist() == [2, 1, 1, 2]
