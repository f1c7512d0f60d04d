"""Models trained again: the corrected resampled t test against scipy, baycomp and slow loops."""

import baycomp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from attnbench.analysis.blocks import arrange
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.retraining import Retrained, retrained
from attnbench.study.groups import AnalysisSettings
from attnbench.study.split import Split

RANDOM = np.random.default_rng(51)
PART = AnalysisSettings(bootstrap=200)


@pytest.fixture
def trained(score_table):
    """A function: differences (rows, cases, trainings) to their `Retrained`."""

    def build(values, folds, groups=None, outer=None, external=False):
        """`folds` is (cases, repeats), or a number where every fold's training tests every case."""
        values = np.asarray(values, dtype=float)
        groups = range(values.shape[1]) if groups is None else groups
        folds = np.tile(np.arange(folds), (values.shape[1], 1)) if external else np.array(folds)
        seeds = values.shape[2] // folds.shape[1]
        any_value = np.zeros((1, values.shape[1], seeds))
        tables = [score_table(any_value, groups, fold) for fold in folds.T]
        splits = {"sim": Split("cross_validation", outer)} if outer else None
        (block,) = arrange(pd.concat(tables), ["sim"], ["unet"], ["dice"], splits, external)
        return retrained(block, values)

    return build


def corrected(means, outer):
    """Mean, error and p of the corrected resampled t test of equally large folds."""
    number, q = len(means), 1 / outer
    error = np.std(means, ddof=1) * np.sqrt(1 / number + q / (1 - q))
    return np.mean(means), error, 2 * stats.t.sf(abs(np.mean(means)) / error, number - 1)


@pytest.mark.parametrize("outer", [5, 10])
def test_of_equal_folds_it_is_the_closed_formula(trained, outer):
    fold = np.arange(40) % outer
    values = RANDOM.normal(0.02, 0.05, (1, 40, 1)) + RANDOM.normal(0, 0.02, outer)[fold, None]
    found = trained(values, fold[:, None])
    mean, error, p = corrected([values[0, fold == f].mean() for f in range(outer)], outer)
    assert (found.mean[0], found.error[0], found.p()[0]) == pytest.approx((mean, error, p))
    low, high = stats.t.interval(0.9, outer - 1, mean, error)
    assert np.ravel(found.interval(0.9)) == pytest.approx([low, high])
    assert (found.free[0], found.trainings[0]) == (outer - 1, outer)


def test_repeats_are_trainings_and_their_degrees_of_freedom_are_counted(trained):
    first, second = np.arange(40) % 5, RANDOM.permutation(40) % 5
    values = RANDOM.normal(0.02, 0.05, (1, 40, 2))
    found = trained(values, np.column_stack([first, 5 + second]), outer=5)
    means = [
        values[0, fold == f, repeat].mean()
        for repeat, fold in enumerate((first, second))
        for f in range(5)
    ]
    mean, error, p = corrected(means, 5)
    assert (found.mean[0], found.error[0], found.p()[0]) == pytest.approx((mean, error, p))
    assert (found.free[0], found.trainings[0]) == (9, 10)


def test_seeds_are_averaged_and_not_counted(trained):
    fold = (np.arange(40) % 5)[:, None]
    values = RANDOM.normal(0.02, 0.05, (1, 40, 3))
    many, one = trained(values, fold), trained(values.mean(axis=2, keepdims=True), fold)
    assert many.trainings[0] == one.trainings[0] == 5
    np.testing.assert_allclose([many.mean, many.error], [one.mean, one.error])
    copied = trained(values[:, :, :1].repeat(8, axis=2), fold)
    np.testing.assert_allclose(copied.error, trained(values[:, :, :1], fold).error)


def test_a_fold_weighs_as_many_groups_as_it_tests(trained):
    """Unequal folds, unequal groups, undefined values: written out in loops."""
    group = RANDOM.integers(0, 23, 60)
    fold = np.array([0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4, *[0] * 5, *range(5), 1])[:23][group]
    values = RANDOM.normal(0.02, 0.05, (2, 60, 2))
    values[1][RANDOM.random((60, 2)) < 0.2] = np.nan
    found = trained(values, fold[:, None], groups=group)
    for row, own in enumerate(values):
        by_group, of_fold = [], []
        for g in sorted(set(group)):
            cases = [np.nanmean(v) for v in own[group == g] if not np.isnan(v).all()]
            if cases:
                by_group.append(np.mean(cases))
                of_fold.append(fold[group == g][0])
        by_group, of_fold = np.array(by_group), np.array(of_fold)
        weights = np.array([(of_fold == f).mean() for f in range(5)])
        means = np.array([by_group[of_fold == f].mean() for f in range(5)])
        spread = np.sum(weights * (means - by_group.mean()) ** 2) * 5 / 4
        error = np.sqrt(spread * (np.sum(weights**2) + 1 / 4))
        assert (found.mean[row], found.error[row]) == pytest.approx((by_group.mean(), error))
    assert found.free.tolist() == [4, 4]


@pytest.mark.parametrize("folds", [5, 3])
def test_elsewhere_the_luck_of_trainings_is_added_to_that_of_patients(trained, folds):
    values = RANDOM.normal(0.02, 0.05, (1, 12, folds * 2))
    found = trained(values, folds, outer=folds, external=True)
    per_training = values[0].reshape(12, folds, 2).mean(axis=(0, 2))
    q = 1 / folds
    luck = per_training.var(ddof=1) * (1 / folds + q / (1 - q))
    patients = values[0].mean(axis=1).var(ddof=1) / 12
    assert found.error[0] == pytest.approx(np.sqrt(luck + patients))
    assert (found.free[0], found.trainings[0]) == (folds - 1, folds)


def test_one_training_says_nothing_about_others(trained):
    found = trained(RANDOM.normal(size=(1, 24, 2)), np.zeros((24, 1), int))
    assert np.isnan([found.error, found.free, found.p(), *found.interval(0.95)]).all()
    assert np.isfinite(found.mean).all()


def test_undefined_scores_are_as_if_they_were_not_there(trained):
    values, fold = RANDOM.normal(size=(2, 24, 2)), (np.arange(24) % 6)[:, None]
    values[1, 20:] = np.nan
    both, alone = trained(values, fold), trained(values[1:, :20], fold[:20])
    assert (both.mean[1], both.error[1]) == pytest.approx((alone.mean[0], alone.error[0]))
    nothing = trained(values * np.nan, fold)
    assert np.isnan([nothing.mean, nothing.error, nothing.p()]).all()


def test_no_difference_is_no_evidence(trained):
    found = trained(np.zeros((1, 24, 2)), (np.arange(24) % 6)[:, None])
    assert (found.p()[0], *np.ravel(found.interval(0.95))) == (1, 0, 0)
    assert found.equivalence_p(np.array([0.01]))[0] == 0


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("rope", [0.0, 0.01])
def test_the_posterior_is_baycomps_correlated_t_test(trained, runs, rope):
    splits = [RANDOM.permutation(40) % 5 for _ in range(runs)]
    values = RANDOM.normal(0.005, 0.05, (1, 40, runs))
    folds = np.column_stack([5 * number + fold for number, fold in enumerate(splits)])
    found = trained(values, folds, outer=5)
    means = np.array(
        [values[0, fold == f, r].mean() for r, fold in enumerate(splits) for f in range(5)]
    )
    theirs = baycomp.two_on_single(np.zeros(means.size), means, rope=rope, runs=runs)
    worse, better = theirs[0], theirs[-1]
    for sign, expected in ((1.0, (better, worse)), (-1.0, (worse, better))):
        ours = np.ravel(found.probabilities(np.array([sign]), np.array([rope])))
        assert (ours[0], ours[2]) == pytest.approx(expected)
        assert ours.sum() == pytest.approx(1)


def test_equivalence_is_tost_at_the_error_given():
    differences = RANDOM.normal(0.002, 0.01, (4, 9))
    mean, error = differences.mean(axis=1), stats.sem(differences, axis=1)
    found = Retrained(mean, error, np.full(4, 8.0), np.full(4, 9))
    margin = np.full(4, 0.01)
    expected = [ttost_paired(row, np.zeros(9), -0.01, 0.01)[0] for row in differences]
    np.testing.assert_allclose(found.equivalence_p(margin), expected)
    assert np.isnan(found.equivalence_p(margin * np.nan)).all()
    few = Retrained(mean, error, np.full(4, 3.0), np.full(4, 4))
    assert np.isnan(few.equivalence_p(margin)).all()


def naive(values, group, fold, seed):
    """p of the mean with errors clustered by group and by training, as if trainings (fold and seed)
    were independent. One study: values of every group and seed.
    """
    mean, variances = values.mean(), []
    training = fold * 100 + seed
    for labels in (group, training, group * 1000 + seed):
        _, cluster = np.unique(labels, return_inverse=True)
        sums = np.bincount(cluster, values - mean)
        variances.append((sums**2).sum() / values.size**2 * sums.size / (sums.size - 1))
    variance = max(variances[0] + variances[1] - variances[2], *variances[:2])
    free = min(np.unique(group).size, np.unique(training).size) - 1
    return 2 * stats.t.sf(abs(mean) / np.sqrt(variance), free)


@pytest.mark.parametrize("shared", [0.0, 0.25])
def test_luck_that_seeds_share_is_not_taken_for_an_effect(trained, shared):
    """No effect, 40 groups in 5 folds of 3 seeds. A fold's trainings share their luck, and a part
    of it with the other folds, most of whose cases they are trained on as well.
    """
    random, studies = np.random.default_rng(8), 300
    fold = np.arange(40) % 5
    luck = np.sqrt(1 - shared) * random.normal(0, 0.03, (studies, 5))
    luck += np.sqrt(shared) * random.normal(0, 0.03, (studies, 1))
    values = luck[:, fold, None] + random.normal(0, 0.03, (studies, 40, 1))
    values = values + random.normal(0, 0.01, (studies, 40, 3))
    most = stats.binom.ppf(0.999, studies, 0.05)
    found = (trained(values, fold[:, None]).p() <= 0.05).sum()
    group, seed = np.indices((40, 3)).reshape(2, -1)
    before = sum(naive(v.ravel(), group, fold[group], seed) <= 0.05 for v in values)
    assert found <= most < before


def test_below_five_folds_there_is_no_p_whatever_the_number_of_seeds(score_table):
    values = np.stack([np.full((24, 9), 0.5), 0.6 + RANDOM.normal(0, 0.01, (24, 9))])
    for folds, word in ((4, "too few trainings"), (5, "better")):
        table = score_table(values, range(24), np.arange(24) % folds)
        blocks = arrange(table, ["sim"], ["unet", "m1"], ["dice"])
        rows = compute_effects(blocks, "unet", PART, {})
        assert set(rows["verdict_retrained"]) == {word}
        assert rows["p_retrained"].isna().all() == (folds == 4)
