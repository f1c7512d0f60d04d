"""The models that are not told apart from the best, against every sign pattern written out."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attnbench.analysis.best import compute_best, compute_pairs, max_statistic_p
from attnbench.analysis.blocks import arrange
from attnbench.analysis.means import compute_means
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings

MODELS = ["unet", *(f"m{i}" for i in range(1, 9))]
PART = AnalysisSettings(bootstrap=2000)


def blocks_of(scores, *metrics):
    return arrange(scores, sorted(set(scores["dataset"])), MODELS, metrics or ["dice"])


def table_of(scores, *metrics):
    blocks = blocks_of(scores, *metrics)
    return compute_best(blocks, compute_means(blocks, PART, {}), PART)


def enumerated(rows):
    """p of every row by the largest statistic of all rows, each sign pattern in turn."""
    statistics = [
        [
            abs(sum(s * v for s, v in zip(signs, row, strict=True))) / np.linalg.norm(row)
            for row in rows
        ]
        for signs in product((1, -1), repeat=len(rows[0]))
    ]
    largest = np.array([max(pattern) for pattern in statistics])
    return [(largest >= observed - 1e-12).mean() for observed in statistics[0]]


@pytest.mark.parametrize("groups", [5, 8])
def test_the_largest_statistic_is_taken_over_every_sign_pattern(groups):
    rows = np.random.default_rng(groups).normal(0.5, 1, (4, groups))
    np.testing.assert_allclose(max_statistic_p(rows, PART), enumerated(rows))


def test_a_row_without_difference_or_groups_is_no_evidence():
    rows = np.stack([np.zeros(6), np.full(6, np.nan), np.arange(1.0, 7)])
    np.testing.assert_allclose(max_statistic_p(rows, PART), [1, np.nan, 2 / 64])


@pytest.mark.parametrize("metric", ["dice", "hd95"])
def test_every_model_is_tested_against_the_best_mean(score_table, metric):
    random = np.random.default_rng(3)
    quality = np.array([0.0, 0.05, 0.045, -0.1])[:, None, None]
    values = 0.5 + quality + 0.02 * random.normal(size=(4, 20, 2))
    group, sign = np.arange(20) // 2, -1 if metric == "hd95" else 1
    table = table_of(score_table(sign * values + 1, group, metric=metric), metric).query(
        "`class` == 'all'"
    )
    assert set(table["best"]) == {"m1"} and list(table.columns) == list(FRAMES["best"])
    found = table.set_index("model")
    means = sign * values.mean(axis=2).reshape(4, 10, 2).mean(axis=2)
    pairs = list(combinations(range(4), 2))
    p = enumerated([means[a] - means[b] for a, b in pairs])
    for number, model in enumerate(MODELS[:4]):
        difference = means[number] - means[1]
        assert found["difference"][model] == pytest.approx(difference.mean())
        assert found["groups"][model] == 10
        if model != "m1":
            expected = p[pairs.index(tuple(sorted((number, 1))))]
            assert found["p_adjusted"][model] == pytest.approx(expected)
            assert found["as_good"][model] == (expected > 0.05)
    assert found["as_good"]["m1"] and np.isnan(found["p_adjusted"]["m1"])
    assert not found["as_good"]["m3"] and found["as_good"]["m2"]


def test_none_of_nine_equal_models_is_told_from_the_best_too_often(score_table):
    random = np.random.default_rng(5)
    studies = 200
    scores = pd.concat(
        score_table(random.normal(0.5, 0.05, (9, 10, 1)), range(10), dataset=f"d{i:03d}")
        for i in range(studies)
    )
    table = table_of(scores).query("`class` == 'all'")
    lost = (~table["as_good"].astype(bool)).groupby(table["dataset"]).any().sum()
    assert lost <= stats.binom.ppf(0.999, studies, 0.05)
    # The same studies, each model against the best by a test that does not know of the choice.
    alone = 0
    for _, rows in scores.groupby("dataset"):
        values = rows.pivot_table(index="case", columns="model", values="value")
        best = values[values.mean().idxmax()]
        p = [stats.wilcoxon(values[m] - best).pvalue for m in values if m != best.name]
        alone += min(p) <= 0.05
    assert alone > stats.binom.ppf(0.999, studies, 0.05)


def test_classes_are_paired_before_they_are_averaged(score_table):
    """A class that one of the two models lacks counts for neither."""
    values = np.array(
        [[[[0.9, 0.1]], [[0.8, np.nan]]], [[[0.7, 0.5]], [[0.6, 0.6]]]]
    )  # models, cases, seeds, classes
    table = table_of(score_table(values, groups="xy")).set_index(["class", "model"])
    assert table["difference"]["all", "m1"] == pytest.approx(np.mean([np.mean([-0.2, 0.4]), -0.2]))
    # Of class 2, and so of all, the two models have means of different cases.
    assert table["best"]["1", "unet"] == "unet" and table["best"]["2", "unet"] == ""


def test_models_that_failed_on_different_cases_have_no_best(score_table):
    """`m1` loses its worst case, and so has the better mean distance; penalised it has not."""
    distances = np.arange(2.0, 12.0)
    plain, penalised = (np.repeat(distances[None], 2, axis=0)[..., None] for _ in range(2))
    plain[1, -1], penalised[1, -1] = np.nan, 40
    scores = pd.concat(
        [
            score_table(values, range(10), metric=name, unit="mm")
            for name, values in (("hd95", plain), ("hd95_penalised", penalised))
        ]
    )
    means = compute_means(blocks_of(scores, "hd95"), PART, {}).query("`class` == 'all'")
    assert means.set_index("model")["mean"].idxmin() == "m1"
    table = table_of(scores, "hd95", "hd95_penalised").query("`class` == 'all'")
    found = table.set_index(["metric", "model"])
    assert set(found.loc["hd95", "best"]) == {""}
    assert found.loc["hd95", ["as_good", "p_adjusted"]].isna().all(axis=None)
    assert set(found.loc["hd95_penalised", "best"]) == {"unet"}
    assert found.loc["hd95_penalised", "as_good"].notna().all()


@pytest.mark.parametrize(("groups", "told"), [(5, False), (6, True)])
def test_so_few_groups_that_nothing_can_be_told_leave_it_open(score_table, groups, told):
    """Five groups have no p below 2^-4."""
    better = np.arange(groups) / 100
    values = np.stack([0.1 + 0 * better, 0.5 + better])[..., None]
    table = table_of(score_table(values, range(groups))).query("`class` == 'all'")
    found = table.set_index("model")["as_good"]
    assert found["m1"] and (not found["unet"] if told else pd.isna(found["unet"]))


def test_a_model_alone_has_no_rows(score_table):
    scores = score_table(np.full((1, 3, 1), 0.5), groups="xyz")
    assert table_of(scores).empty and list(table_of(scores).columns) == list(FRAMES["best"])
    pairs = compute_pairs(blocks_of(scores), PART)
    assert pairs.empty and list(pairs.columns) == list(FRAMES["pairs"])


@pytest.mark.parametrize("metric", ["dice", "hd95"])
def test_pairs_have_the_better_model_first_and_the_posterior_that_it_is_not(score_table, metric):
    values, fold = np.random.default_rng(6).normal(0.5, 0.1, (3, 20, 2)), np.arange(20) % 5
    sign = -1 if metric == "hd95" else 1
    table = compute_pairs(
        blocks_of(score_table(values, range(20), fold, metric=metric), metric), PART
    )
    assert len(table) == 3 and list(table.columns) == list(FRAMES["pairs"])
    for row in table.itertuples():
        a, b = MODELS.index(row.model_a), MODELS.index(row.model_b)
        benefits = sign * (values[a] - values[b]).mean(axis=1)
        assert row.benefit == pytest.approx(benefits.mean()) and row.benefit > 0
        one_sided = stats.ttest_1samp(benefits, 0, alternative="greater").pvalue
        assert row.probability_false == pytest.approx(one_sided)
        means = [benefits[fold == f].mean() for f in range(5)]
        error = np.std(means, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
        assert row.probability_false_retrained == pytest.approx(
            stats.t.sf(np.mean(means) / error, 4)
        )


def test_four_folds_say_nothing_of_a_claim_about_models_trained_again(score_table):
    values = np.random.default_rng(6).normal(0.5, 0.1, (2, 20, 2))
    row = compute_pairs(blocks_of(score_table(values, range(20), np.arange(20) % 4)), PART).iloc[0]
    assert np.isnan(row["probability_false_retrained"]) and 0 < row["probability_false"] < 0.5
