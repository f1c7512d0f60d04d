import baycomp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attnbench.analysis.across import compute_across, signed_rank, student
from attnbench.analysis.blocks import arrange
from attnbench.analysis.mixed import fit_mixed
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings
from attnbench.study.split import Split

PART = AnalysisSettings(bootstrap=200)
RANDOM = np.random.default_rng(41)


def table_of(*tables, primary="dice", part=PART):
    table = pd.concat(tables)
    blocks = arrange(table, sorted(set(table["dataset"])), ["unet", "m1"], ["dice", "hd95"])
    return compute_across(blocks, "unet", part, primary)


def test_datasets_as_units_are_students_t(score_table):
    values = [
        np.stack([np.zeros((6, 2)), RANDOM.normal(m, 0.01, (6, 2))]) for m in (0.01, 0.03, 0.05)
    ]
    table = table_of(*(score_table(v, range(6), dataset=f"d{i}") for i, v in enumerate(values)))
    row = table[(table["method"] == "datasets")].iloc[0]
    per_dataset = [v[1].mean() for v in values]
    expected = stats.ttest_1samp(per_dataset, 0)
    assert (row["difference"], row["p"]) == pytest.approx((np.mean(per_dataset), expected.pvalue))
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row[["datasets", "groups", "cases", "runs"]].tolist() == [3, 18, 18, 6]


def test_every_dataset_and_all_of_them_have_a_mixed_row(score_table):
    values = RANDOM.normal(0.5, 0.05, (2, 12, 2))
    table = table_of(
        *(
            score_table(values, np.arange(12) // 2, np.arange(12) // 4, dataset=f"d{i}")
            for i in range(2)
        )
    )
    assert table[["dataset", "method"]].to_numpy().tolist() == [
        ["all", "mixed"], ["all", "datasets"], ["all", "signed_rank"],
        ["d0", "mixed"], ["d1", "mixed"],
    ]  # fmt: skip
    assert list(table.columns) == list(FRAMES["across"])
    assert (table["note"].notna()).all()


def test_distances_in_different_units_are_not_averaged(score_table):
    values = RANDOM.normal(5, 1, (2, 8, 1))
    table = table_of(
        *(
            score_table(values, range(8), np.arange(8) % 2, dataset=d, metric="hd95", unit=u)
            for d, u in (("a", "mm"), ("b", "px"))
        ),
        primary="hd95",
    )
    assert set(table["dataset"]) == {"a", "b"}


def test_nothing_to_compare_is_an_empty_table_with_its_columns(score_table):
    assert list(compute_across([], "unet", PART, "dice").columns) == list(FRAMES["across"])
    table = compute_across(
        arrange(score_table(np.ones((1, 4, 1)), range(4)), ["sim"], ["unet"], ["dice"]),
        "unet",
        PART,
        "dice",
    )
    assert table.empty and list(table.columns) == list(FRAMES["across"])


def test_one_dataset_has_a_mean_without_interval():
    assert student(np.array([0.3]), 0.95) == {
        "difference": 0.3, "free": 0, "note": "one dataset: no interval across datasets",
    }  # fmt: skip
    assert student(np.zeros(3), 0.95)["p"] == 1


def test_variants_are_compared_with_their_controls_after_the_baseline(score_table):
    rng = np.random.default_rng(12)
    names, fold = ["unet", "cbam", "cbam-random"], np.arange(15) % 5
    values = 0.5 + rng.normal(0, 0.1, (3, 15, 1)) + rng.normal(0, 0.02, (3, 15, 2))
    values += rng.normal(0, 0.05, (3, 5, 2))[:, fold]
    table = score_table(values, np.arange(15), fold).replace({"m1": names[1], "m2": names[2]})
    found = compute_across(
        arrange(table, ["sim"], names, ["dice"]),
        "unet",
        AnalysisSettings(),
        "dice",
        [("cbam", "cbam-random")],
    )
    assert found[["model", "baseline"]].to_numpy().tolist() == [
        ["cbam", "unet"], ["cbam-random", "unet"], ["cbam", "cbam-random"],
    ]  # fmt: skip
    assert found["converged"].all() and (found["note"] == "").all()
    assert found["difference"].iloc[2] == pytest.approx((values[1] - values[2]).mean(), abs=1e-6)


def test_only_the_primary_metric_is_modelled(score_table):
    values, fold = RANDOM.uniform(size=(2, 10, 2)), np.arange(10) % 5
    table = table_of(
        score_table(values, range(10), fold),
        score_table(values, range(10), fold, metric="hd95", unit="mm"),
    )
    assert set(table["metric"]) == {"dice"} and len(table) == 1


def test_four_folds_have_no_mixed_model_of_their_study(score_table):
    values = RANDOM.uniform(size=(2, 12, 3))
    row = table_of(score_table(values, range(12), np.arange(12) % 4)).iloc[0]
    assert not row["converged"] and "4 folds" in row["note"]
    assert row[["p", "low", "difference"]].isna().all()


def test_the_row_of_a_dataset_is_the_model_of_its_groups_in_every_run(score_table):
    """Repeated splits, two seeds, several cases in a group: the rows written out one by one."""
    group, splits = np.arange(30) // 2, [np.arange(15) % 5, (np.arange(15) * 7 + 1) // 3 % 5 + 5]
    values = RANDOM.normal(0.5, 0.1, (2, 30, 4)) + RANDOM.normal(0, 0.1, 15)[group][:, None]
    tables = [
        score_table(values[..., 2 * r : 2 * r + 2], group, fold[group])
        for r, fold in enumerate(splits)
    ]
    blocks = arrange(
        pd.concat(tables), ["sim"], ["unet", "m1"], ["dice"], {"sim": Split("cross_validation", 5)}
    )
    row = compute_across(blocks, "unet", PART, "dice").iloc[0]
    rows = [
        {
            "dataset": 0, "fold": fold[g], "run": f"{fold[g]}-{s}", "group": g,
            "value": np.diff(values[:, group == g, 2 * r + s].mean(axis=1), axis=0)[0],
        }
        for r, fold in enumerate(splits) for g in range(15) for s in range(2)
    ]  # fmt: skip
    expected = fit_mixed(pd.DataFrame(rows), 0.95)
    assert row["converged"] and expected["converged"]
    for name in ("difference", "low", "high", "free", "sd_fold", "sd_run", "sd_group"):
        assert row[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
    assert row[["groups", "cases", "runs", "differences"]].tolist() == [15, 30, 20, 120]


@pytest.mark.parametrize("rope", [0.0, 0.01])
def test_the_signed_rank_is_baycomps(rope):
    benefits = np.array([0.03, -0.0213, 0.0121, 0.001, 0.04, -0.005, 0.007])
    theirs = baycomp.SignedRankTest.probs(
        np.zeros(7), benefits, rope=rope, nsamples=20_000, random_state=1
    )
    found = signed_rank(benefits, rope, 20_000, 0)
    assert found["probability_worse"] == pytest.approx(theirs[0], abs=0.02)
    assert found["probability_better"] == pytest.approx(theirs[-1], abs=0.02)
    assert found["probability_equal"] == pytest.approx(theirs[1] if rope else 0, abs=0.02)


@pytest.mark.parametrize(("metric", "better"), [("dice", True), ("hd95", False)])
def test_the_signed_rank_takes_the_metrics_direction(score_table, metric, better):
    tables = [
        score_table(
            RANDOM.normal(0.5, 0.01, (2, 6, 1)) + np.array([0, gain]).reshape(2, 1, 1),
            range(6), dataset=f"d{i}", metric=metric,
        )
        for i, gain in enumerate((0.05, 0.06, 0.04, 0.07, 0.05))
    ]  # fmt: skip
    row = table_of(*tables, primary=metric).query("method == 'signed_rank'").iloc[0]
    assert (row["probability_better"] > 0.9) == better
    assert (row["probability_worse"] > 0.9) != better


def test_four_datasets_are_too_few_to_rank():
    assert "4 datasets are too few" in signed_rank(np.ones(4), 0.01, 100, 0)["note"]
