import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from attnbench.analysis.blocks import arrange
from attnbench.analysis.means import compute_means
from attnbench.analysis.rank_tests import (
    compute_agreement,
    compute_rank_pairs,
    compute_rank_tests,
    critical_difference,
    friedman,
)
from attnbench.analysis.ranks import compute_ranks, rankings
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings

PART = AnalysisSettings(bootstrap=400)
RANDOM = np.random.default_rng(31)
MODELS = ["unet", "m1", "m2", "m3", "m4"]


def blocks_of(*tables):
    table = pd.concat(tables)
    return arrange(table, sorted(set(table["dataset"])), MODELS, ["dice", "hd95"])


def ranked(score_table, values, **labels):
    """The ranking over all classes of one dataset with a case per group."""
    return rankings(blocks_of(score_table(values, range(values.shape[1]), **labels)))[-1]


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_and_nemenyi_are_those_of_scipy_and_scikit_posthocs(score_table, ties):
    values = RANDOM.uniform(size=(4, 15, 1)) + np.arange(4)[:, None, None] * 0.1
    values = values.round(1) if ties else values
    ranking = ranked(score_table, values)
    row = compute_rank_tests([ranking], 0.05).iloc[0]
    expected = stats.friedmanchisquare(*values[..., 0])
    assert (row["chi2"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    pairs = compute_rank_pairs([ranking], 0.05)
    posthoc = scikit_posthocs.posthoc_nemenyi_friedman(values[..., 0].T).to_numpy()
    np.testing.assert_allclose(pairs["p"], posthoc[np.triu_indices(4, 1)], atol=1e-6)
    assert (pairs["p"] <= 0.05).equals(
        pairs["rank_difference"].abs() >= pairs["critical_difference"]
    )


def test_critical_difference_of_demsars_example():
    assert critical_difference(4, 14, 0.05) == pytest.approx(
        2.569 * np.sqrt(4 * 5 / (6 * 14)), rel=1e-3
    )


def test_iman_davenport_by_hand():
    ranks = np.array([[1.0, 2, 3], [1, 2, 3], [1, 3, 2], [2, 1, 3]])
    chi2 = 12 / (4 * 3 * 4) * (np.array([5, 8, 11]) ** 2).sum() - 3 * 4 * 4
    f = 3 * chi2 / (4 * 2 - chi2)
    assert friedman(ranks) == pytest.approx((chi2, stats.chi2.sf(chi2, 2), f, stats.f.sf(f, 2, 6)))


@pytest.mark.parametrize(("metric", "best"), [("dice", "m3"), ("hd95", "unet")])
def test_the_best_is_first_in_the_metrics_direction(score_table, metric, best):
    values = np.arange(4.0)[:, None, None] + RANDOM.uniform(0, 0.5, (4, 8, 2))
    blocks = blocks_of(score_table(values, range(8), metric=metric))
    table = compute_ranks(blocks, rankings(blocks), PART).set_index("model")
    first = table[table["class"] == "all"].loc[best]
    assert first[["mean_rank", "position", "position_low", "position_high", "first"]].tolist() == [
        1,
        1,
        1,
        1,
        1,
    ]


def test_equal_models_share_first_place(score_table):
    values = np.repeat(RANDOM.uniform(size=(1, 8, 1)), 4, axis=0)
    blocks = blocks_of(score_table(values, range(8)))
    table = compute_ranks(blocks, rankings(blocks), PART)
    assert (table["mean_rank"] == 2.5).all() and (table["position"] == 1).all()
    np.testing.assert_allclose(table["first"], 0.25)
    assert (compute_rank_tests(rankings(blocks), 0.05)[["p", "p_f"]] == 1).all().all()


def test_groups_that_miss_a_model_are_dropped_and_counted(score_table):
    values = RANDOM.uniform(size=(3, 9, 1))
    values[2, :4] = np.nan
    ranking = ranked(score_table, values, metric="hd95")
    assert ranking.ranks.shape == (5, 3) and ranking.dropped == 4
    np.testing.assert_array_equal(ranking.ranks, stats.rankdata(values[:, 4:, 0].T, axis=1))


def test_first_is_the_share_of_resampled_groups_that_the_model_wins(score_table):
    values = np.zeros((2, 10, 1))
    values[1] = np.where(np.arange(10) < 6, 1, -1)[:, None]
    blocks = blocks_of(score_table(values, range(10)))
    table = compute_ranks(blocks, rankings(blocks), AnalysisSettings(bootstrap=20_000)).set_index(
        ["class", "model"]
    )
    wins = stats.binom(10, 0.6)
    assert table.loc[("all", "m1"), "first"] == pytest.approx(
        wins.sf(5) + wins.pmf(5) / 2, abs=0.015
    )


def test_datasets_are_blocks_of_the_whole_study(score_table):
    tables = [
        score_table(
            np.arange(3.0)[:, None, None] + RANDOM.uniform(0, 0.1, (3, 7, 1)),
            range(7),
            dataset=f"d{i}",
        )
        for i in range(6)
    ]
    tables[5] = tables[5][tables[5]["model"] != "m2"]
    blocks = blocks_of(*tables)
    table = compute_ranks(blocks, rankings(blocks), PART)
    whole = table[table["dataset"] == "all"].set_index(["resampled", "model"])
    assert whole.loc[("datasets", "m2"), ["mean_rank", "first", "blocks", "dropped"]].tolist() == [
        1,
        1,
        5,
        1,
    ]
    assert whole.loc[("groups", "m2"), ["mean_rank", "first", "blocks", "dropped"]].tolist() == [
        1,
        1,
        5,
        1,
    ]
    assert set(table.loc[table["dataset"] == "d5", "model"]) == {"unet", "m1"}


@pytest.mark.parametrize("shape", [(1, 6, 1), (3, 1, 1), (3, 6, 1)])
def test_nothing_to_rank_is_a_table_without_rows_or_stability(score_table, shape):
    values = np.full(shape, np.nan) if shape == (3, 6, 1) else RANDOM.uniform(size=shape)
    blocks = blocks_of(score_table(values, range(shape[1])))
    table = compute_ranks(blocks, rankings(blocks), PART)
    assert list(table.columns) == list(FRAMES["ranks"])
    assert table["first"].isna().all() and len(table) == (6 if shape == (3, 1, 1) else 0)
    assert compute_rank_tests(rankings(blocks), 0.05)["p"].isna().all()
    assert len(compute_rank_pairs(rankings(blocks), 0.05)) == (3 if shape == (3, 1, 1) else 0)


@pytest.mark.parametrize("models", [4, 5])
def test_metrics_agree_as_much_as_kendall_says(score_table, models):
    shape = (models, 6, 1)
    dice = np.array([0.7, 0.8, 0.9, 0.85, 0.5])[:models, None, None] + np.zeros(shape)
    distance = np.array([9.0, 5.0, 7.0, 6.0, 8.0])[:models, None, None] + np.zeros(shape)
    blocks = blocks_of(
        score_table(dice, range(6)), score_table(distance, range(6), metric="hd95", unit="mm")
    )
    (row,) = compute_agreement(compute_means(blocks, PART, {})).to_dict("records")
    expected = stats.kendalltau(dice[:, 0, 0], -distance[:, 0, 0])
    # The order of four models is too little to tell anything.
    p = expected.pvalue if models == 5 else np.nan
    assert (row["tau"], row["p"]) == pytest.approx((expected.statistic, p), nan_ok=True)
    assert (row["winner_a"], row["winner_b"], row["same_winner"], row["models"]) == (
        "m2",
        "m1",
        False,
        models,
    )
