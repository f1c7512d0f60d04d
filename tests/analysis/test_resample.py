import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.resample import (
    MIN_GROUPS,
    STUDENTISED_FROM,
    bootstrap_interval,
    group_weights,
    widened_tail,
)

RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize("groups", [6, 12, STUDENTISED_FROM - 1])
def test_the_interval_is_scipys_percentile_interval_of_the_clustered_mean(groups):
    group = np.repeat(np.arange(groups), RANDOM.integers(1, 4, groups))
    values = RANDOM.normal(0.8, 0.1, (2, len(group))) + RANDOM.normal(0, 0.05, groups)[group]
    low, high = bootstrap_interval(values, group, groups, 0.95, 20_000, seed=1)
    for row in range(2):
        sums = np.bincount(group, values[row])
        counts = np.bincount(group)
        reference = stats.bootstrap(
            (sums, counts),
            lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=20_000,
            method="percentile",
            confidence_level=1 - 2 * widened_tail(0.95, groups),
            rng=np.random.default_rng(2),
        )
        width = reference.confidence_interval.high - reference.confidence_interval.low
        np.testing.assert_allclose(
            (low[row], high[row]), reference.confidence_interval, atol=0.06 * width
        )


def test_for_normal_means_the_widened_interval_is_students():
    values = RANDOM.normal(size=(1, 15))
    low, high = bootstrap_interval(values, np.arange(15), 15, 0.95, 50_000, seed=0)
    student = stats.t.interval(0.95, 14, values.mean(), stats.sem(values[0]))
    np.testing.assert_allclose((low[0], high[0]), student, atol=0.08 * (student[1] - student[0]))


def test_a_group_counts_once_however_many_cases_it_has():
    one_case_each = RANDOM.normal(size=(1, 10))
    copied = np.repeat(one_case_each, 50, axis=1)
    few = bootstrap_interval(one_case_each, np.arange(10), 10, 0.95, 2000, seed=3)
    many = bootstrap_interval(copied, np.repeat(np.arange(10), 50), 10, 0.95, 2000, seed=3)
    np.testing.assert_allclose(few, many)


def test_undefined_groups_are_as_if_they_were_not_there():
    values = RANDOM.normal(size=(3, 12))
    values[1, 8:] = np.nan
    values[2, MIN_GROUPS - 1 :] = np.nan
    low, high = bootstrap_interval(values, np.arange(12), 12, 0.95, 1000, seed=0)
    alone = bootstrap_interval(values[1:2, :8], np.arange(8), 8, 0.95, 1000, seed=0)
    assert (low[1], high[1]) == (alone[0][0], alone[1][0])
    assert np.isnan([low[2], high[2]]).all()
    assert (low[0] < values[0].mean() < high[0]) and np.isfinite([low[0], high[0]]).all()


def test_from_twenty_groups_on_it_is_the_studentised_interval_written_out():
    groups, resamples = 24, 400
    group = np.repeat(np.arange(groups), RANDOM.integers(1, 5, groups))
    values = RANDOM.exponential(size=(1, len(group)))
    low, high = bootstrap_interval(values, group, groups, 0.9, resamples, seed=4)
    sums, counts = np.bincount(group, values[0]), np.bincount(group)

    def mean_and_error(drawn):
        s, n = sums[drawn], counts[drawn]
        return s.sum() / n.sum(), np.sqrt(((s - s.sum() / n.sum() * n) ** 2).sum()) / n.sum()

    mean, error = mean_and_error(np.arange(groups))
    draws = (
        np.repeat(np.arange(groups), row.astype(int)) for row in group_weights(groups, resamples, 4)
    )
    t = [(m - mean) / e for m, e in map(mean_and_error, draws)]
    expected = mean - np.quantile(t, 0.95) * error, mean - np.quantile(t, 0.05) * error
    np.testing.assert_allclose((low[0], high[0]), expected)


def test_for_many_normal_means_it_is_students():
    values = RANDOM.normal(size=(1, 60))
    low, high = bootstrap_interval(values, np.arange(60), 60, 0.95, 20_000, seed=0)
    student = stats.t.interval(0.95, 59, values.mean(), stats.sem(values[0]))
    np.testing.assert_allclose((low[0], high[0]), student, atol=0.06 * (student[1] - student[0]))


@pytest.mark.parametrize("groups", [STUDENTISED_FROM, 50])
def test_skewed_differences_are_covered_as_often_as_promised(groups):
    random = np.random.default_rng(groups)
    values = random.exponential(size=(1500, groups)) - 1
    low, high = bootstrap_interval(values, np.arange(groups), groups, 0.95, 500, seed=0)
    covered = ((low <= 0) & (high >= 0)).sum()
    assert covered >= stats.binom.ppf(1e-4, 1500, 0.93)


def test_one_odd_group_never_takes_an_end_beyond_the_groups():
    values = np.zeros((1, 30))
    values[0, 3] = 0.9
    low, high = bootstrap_interval(values, np.arange(30), 30, 0.95, 2000, seed=0)
    assert low[0] == 0 and 0.03 < high[0] <= 0.9


@pytest.mark.parametrize("value", [0.0, 0.05])
def test_many_equal_values_have_an_interval_without_width(value):
    interval = bootstrap_interval(
        np.full((1, 80), value), np.arange(80) % 25, 25, 0.95, 500, seed=0
    )
    np.testing.assert_allclose(np.ravel(interval), value, rtol=0, atol=1e-15 * bool(value))


def test_equal_values_have_an_interval_without_width():
    low, high = bootstrap_interval(np.full((1, 9), 0.25), np.arange(9), 9, 0.95, 500, seed=0)
    np.testing.assert_allclose((low[0], high[0]), 0.25)
