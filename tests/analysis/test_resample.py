import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.resample import (
    MIN_GROUPS,
    bootstrap_interval,
    group_weights,
    interval_of_totals,
    student_interval,
)

RANDOM = np.random.default_rng(7)


def test_the_interval_of_differences_is_students_of_the_groups():
    groups = RANDOM.normal(size=(3, 12))
    groups[1, 7:] = np.nan
    groups[2, MIN_GROUPS - 1 :] = np.nan
    low, high = student_interval(groups, 0.9)
    expected = [
        stats.t.interval(0.9, kept.size - 1, kept.mean(), stats.sem(kept))
        for kept in (row[~np.isnan(row)] for row in groups[:2])
    ]
    np.testing.assert_allclose(np.column_stack([low, high])[:2], expected)
    assert np.isnan([low[2], high[2]]).all()


@pytest.mark.parametrize("groups", [6, 10, 20])
def test_rare_losses_are_covered_as_often_as_promised(groups):
    """One group in twelve loses a case of one model or the other: rare, large, either sign."""
    random = np.random.default_rng(groups)
    lost = random.random((4000, groups)) < 1 / 12
    values = random.normal(0, 0.01, lost.shape) + np.where(
        lost, random.choice([-0.3, 0.3], lost.shape), 0
    )
    low, high = student_interval(values, 0.95)
    missed = ((low > 0) | (high < 0)).sum()
    assert missed <= stats.binom.ppf(1 - 1e-4, 4000, 0.05)


@pytest.mark.parametrize("groups", [6, 24])
def test_the_interval_of_scores_is_the_studentised_one_written_out(groups):
    resamples, values = 400, RANDOM.exponential(size=(1, groups))
    low, high = bootstrap_interval(values, 0.9, resamples, seed=4)
    mean, error = values.mean(), values.std() / np.sqrt(groups)
    t = []
    for weights in group_weights(groups, resamples, 4):
        drawn = np.repeat(values[0], weights.astype(int))
        with np.errstate(divide="ignore"):
            t.append((drawn.mean() - mean) / (drawn.std() / np.sqrt(groups)))
    expected = mean - np.quantile(t, 0.95) * error, mean - np.quantile(t, 0.05) * error
    bounds = values.min(), values.max()
    np.testing.assert_allclose((low[0], high[0]), np.clip(expected, *bounds))


def test_a_ratio_of_totals_is_resampled_with_its_counts():
    groups, resamples = 24, 400
    counts = RANDOM.integers(1, 5, groups).astype(float)
    sums = counts * RANDOM.exponential(size=groups)
    low, high = interval_of_totals(sums[None], counts[None], 0.9, resamples, seed=4)

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


def test_undefined_groups_are_as_if_they_were_not_there():
    values = RANDOM.normal(size=(3, 12))
    values[1, 8:] = np.nan
    values[2, MIN_GROUPS - 1 :] = np.nan
    low, high = bootstrap_interval(values, 0.95, 1000, seed=0)
    alone = bootstrap_interval(values[1:2, :8], 0.95, 1000, seed=0)
    assert (low[1], high[1]) == (alone[0][0], alone[1][0])
    assert np.isnan([low[2], high[2]]).all()
    assert (low[0] < values[0].mean() < high[0]) and np.isfinite([low[0], high[0]]).all()


def test_for_many_normal_means_it_is_students():
    values = RANDOM.normal(size=(1, 60))
    low, high = bootstrap_interval(values, 0.95, 20_000, seed=0)
    student = stats.t.interval(0.95, 59, values.mean(), stats.sem(values[0]))
    np.testing.assert_allclose((low[0], high[0]), student, atol=0.06 * (student[1] - student[0]))


@pytest.mark.parametrize("groups", [10, 20, 50])
def test_skewed_scores_are_covered_as_often_as_promised(groups):
    random = np.random.default_rng(groups)
    values = random.exponential(size=(1500, groups)) - 1
    low, high = bootstrap_interval(values, 0.95, 500, seed=0)
    covered = ((low <= 0) & (high >= 0)).sum()
    assert covered >= stats.binom.ppf(1e-4, 1500, 0.93)


def test_one_odd_group_never_takes_an_end_beyond_the_groups():
    values = np.zeros((1, 30))
    values[0, 3] = 0.9
    low, high = bootstrap_interval(values, 0.95, 2000, seed=0)
    assert low[0] == 0 and 0.03 < high[0] <= 0.9


@pytest.mark.parametrize("value", [0.0, 0.05])
@pytest.mark.parametrize("groups", [9, 25])
def test_equal_values_have_an_interval_without_width(value, groups):
    equal = np.full((1, groups), value)
    for interval in (bootstrap_interval(equal, 0.95, 500, seed=0), student_interval(equal, 0.95)):
        np.testing.assert_allclose(np.ravel(interval), value, rtol=0, atol=1e-15 * bool(value))
