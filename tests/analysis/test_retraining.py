import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from attnbench.analysis.retraining import retrained

RANDOM = np.random.default_rng(51)
GROUP, FOLD = np.repeat(np.arange(12), 2), np.repeat(np.arange(12), 2) % 4


def test_the_variance_is_statsmodels_two_way_clustered():
    values = RANDOM.normal(0.1, 0.1, (1, 24, 3)) + RANDOM.normal(0, 0.1, 12)[GROUP][:, None]
    values += RANDOM.normal(0, 0.2, (4, 3))[FOLD]
    group = np.repeat(GROUP, 3)
    run = np.repeat(FOLD, 3) * 3 + np.tile(np.arange(3), 24)
    both = group * 3 + np.tile(np.arange(3), 24)
    variances = []
    for labels in (group, run, both):
        clusters = {"groups": labels, "use_correction": False}
        fit = sm.OLS(values.ravel(), np.ones(72)).fit(cov_type="cluster", cov_kwds=clusters)
        size = len(set(labels.tolist()))
        variances.append(fit.cov_params()[0, 0] * size / (size - 1))
    variance = max(variances[0] + variances[1] - variances[2], *variances[:2])
    half = stats.t.ppf(0.95, 11) * np.sqrt(variance)
    low, high, p = retrained(values, GROUP, FOLD, 0.9)
    assert (low[0], high[0]) == pytest.approx((values.mean() - half, values.mean() + half))
    assert p[0] == pytest.approx(2 * stats.t.sf(values.mean() / np.sqrt(variance), 11))


def test_with_one_seed_and_equal_folds_it_is_students_t_of_the_folds():
    values = RANDOM.normal(0, 0.01, (1, 24, 1)) + RANDOM.normal(0.1, 0.2, 4)[FOLD][:, None]
    per_fold = [values[0, fold == FOLD].mean() for fold in range(4)]
    expected = stats.ttest_1samp(per_fold, 0)
    low, high, p = retrained(values, GROUP, FOLD, 0.95)
    assert p[0] == pytest.approx(expected.pvalue)
    assert (low[0], high[0]) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_one_training_or_one_group_says_nothing_about_others():
    values = RANDOM.normal(size=(1, 24, 1))
    assert np.isnan(retrained(values, GROUP, FOLD * 0, 0.95)).all()
    assert np.isnan(retrained(values.repeat(2, axis=2), GROUP * 0, FOLD, 0.95)).all()


def test_undefined_scores_are_as_if_they_were_not_there():
    values = RANDOM.normal(size=(2, 24, 2))
    values[1, 20:] = np.nan
    alone = retrained(values[1:, :20], GROUP[:20], FOLD[:20], 0.95)
    np.testing.assert_allclose(
        [row[1] for row in retrained(values, GROUP, FOLD, 0.95)], np.ravel(alone)
    )
    assert np.isnan(retrained(values * np.nan, GROUP, FOLD, 0.95)).all()


def test_no_difference_is_no_evidence():
    low, high, p = retrained(np.zeros((1, 24, 2)), GROUP, FOLD, 0.95)
    assert (low[0], high[0], p[0]) == (0, 0, 1)
