import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attnbench.analysis.across import compute_across, student
from attnbench.analysis.blocks import arrange
from attnbench.analysis.mixed import fit_mixed
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings

PART = AnalysisSettings(bootstrap=200)
RANDOM = np.random.default_rng(41)


def table_of(*tables):
    table = pd.concat(tables)
    return compute_across(
        arrange(table, sorted(set(table["dataset"])), ["unet", "m1"], ["dice", "hd95"]),
        "unet",
        PART,
    )


def crossed(groups, runs, group_sd, run_sd, rest_sd, mean=0.02):
    """Differences of every group in every run, one fold."""
    group, run = np.indices((groups, runs)).reshape(2, -1)
    value = mean + RANDOM.normal(0, group_sd, groups)[group] + RANDOM.normal(0, run_sd, runs)[run]
    value = value + RANDOM.normal(0, rest_sd, len(group))
    return pd.DataFrame(
        {"dataset": 0, "fold": 0, "run": run, "group": group, "case": group, "value": value}
    )


def test_a_balanced_mixed_model_has_the_variances_of_the_analysis_of_variance():
    rows = crossed(20, 6, 0.03, 0.02, 0.01)
    fit = fit_mixed(rows, 0.95)
    wide = rows.pivot_table(index="group", columns="run", values="value").to_numpy()
    rest = wide - wide.mean(axis=0) - wide.mean(axis=1, keepdims=True) + wide.mean()
    square = (rest**2).sum() / (19 * 5)
    group = 6 * wide.mean(axis=1).var(ddof=1)
    run = 20 * wide.mean(axis=0).var(ddof=1)
    assert fit["converged"] and fit["difference"] == pytest.approx(wide.mean(), abs=1e-6)
    assert fit["sd_rest"] == pytest.approx(np.sqrt(square), rel=0.01)
    assert fit["sd_group"] == pytest.approx(np.sqrt((group - square) / 6), rel=0.01)
    assert fit["sd_run"] == pytest.approx(np.sqrt((run - square) / 20), rel=0.01)
    error = np.sqrt((group + run - square) / 120)
    half = stats.t.ppf(0.975, fit["free"]) * error
    assert (fit["low"], fit["high"]) == pytest.approx(
        (wide.mean() - half, wide.mean() + half), rel=0.01
    )
    assert 5 < fit["free"] < 24


def test_luck_of_trainings_widens_the_interval():
    calm, lucky = (
        fit_mixed(crossed(30, 4, 0.02, 0.0, 0.01), 0.95),
        fit_mixed(crossed(30, 4, 0.02, 0.05, 0.01), 0.95),
    )
    assert lucky["high"] - lucky["low"] > 3 * (calm["high"] - calm["low"])
    assert lucky["free"] < 5 < calm["free"]


def test_a_large_fit_averages_cases_and_says_so():
    rows = pd.concat(
        [
            crossed(60, 4, 0.02, 0.02, 0.01).assign(case=lambda r, c=c: r["group"] * 10 + c)
            for c in range(2)
        ]
    )
    fit = fit_mixed(rows, 0.95)
    assert fit["converged"] and "cases averaged" in fit["note"]
    assert fit["difference"] == pytest.approx(rows["value"].mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (crossed(8, 2, 0, 0, 0), "every difference is the same"),
        (crossed(700, 2, 0.1, 0.1, 0.1), "1400 differences are too many"),
        (crossed(9, 1, 0.1, 0.1, 0.1), "no fold, run, group or case repeats"),
        (crossed(1, 1, 0.1, 0.1, 0.1), "every difference is the same"),
    ],
)
def test_what_cannot_be_fitted_says_why(rows, note):
    fit = fit_mixed(rows, 0.95)
    assert not fit["converged"] and note in fit["note"] and "low" not in fit


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
        ["all", "mixed"], ["all", "datasets"], ["d0", "mixed"], ["d1", "mixed"],
    ]  # fmt: skip
    assert list(table.columns) == list(FRAMES["across"])
    assert (table["note"].notna()).all()


def test_distances_in_different_units_are_not_averaged(score_table):
    values = RANDOM.normal(5, 1, (2, 8, 1))
    table = table_of(
        *(
            score_table(values, range(8), np.arange(8) % 2, dataset=d, metric="hd95", unit=u)
            for d, u in (("a", "mm"), ("b", "px"))
        )
    )
    assert set(table["dataset"]) == {"a", "b"}


def test_nothing_to_compare_is_an_empty_table_with_its_columns(score_table):
    assert list(compute_across([], "unet", PART).columns) == list(FRAMES["across"])
    table = compute_across(
        arrange(score_table(np.ones((1, 4, 1)), range(4)), ["sim"], ["unet"], ["dice"]),
        "unet",
        PART,
    )
    assert table.empty and list(table.columns) == list(FRAMES["across"])


def test_one_dataset_has_a_mean_without_interval():
    assert student(np.array([0.3]), 0.95) == {
        "difference": 0.3, "free": 0, "note": "one dataset: no interval across datasets",
    }  # fmt: skip
    assert student(np.zeros(3), 0.95)["p"] == 1


def test_variants_are_compared_with_their_controls_after_the_baseline(score_table):
    # Every level varies: without that the variances lie on their boundary, and whether a fit
    # converges there depends on the rounding of the machine's linear algebra.
    rng = np.random.default_rng(12)
    names, fold = ["unet", "cbam", "cbam-random"], np.arange(12) % 3
    values = 0.5 + rng.normal(0, 0.1, (3, 12, 1)) + rng.normal(0, 0.02, (3, 12, 2))
    values += rng.normal(0, 0.05, (3, 3, 2))[:, fold]
    values += 0.2 * np.array([[0, 0, 0], [-1, 0, 1], [1, 0, -1]])[:, fold, None]
    table = score_table(values, np.arange(12), fold).replace({"m1": names[1], "m2": names[2]})
    found = compute_across(
        arrange(table, ["sim"], names, ["dice"]),
        "unet",
        AnalysisSettings(),
        [("cbam", "cbam-random")],
    )
    assert found[["model", "baseline"]].to_numpy().tolist() == [
        ["cbam", "unet"], ["cbam-random", "unet"], ["cbam", "cbam-random"],
    ]  # fmt: skip
    assert found["converged"].all() and (found["note"] == "").all()
    assert found["difference"].iloc[2] == pytest.approx((values[1] - values[2]).mean(), abs=1e-6)
