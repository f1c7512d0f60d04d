"""Interaction of benefit and difficulty: against statsmodels, and against what was planted."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from attnbench.analysis.blocks import arrange
from attnbench.analysis.difficulty import (
    compute_difficulty,
    compute_difficulty_strata,
    read_difficulty,
)
from attnbench.analysis.tables import FRAMES
from attnbench.data.difficulty import MEASURES
from attnbench.files import write_csv
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout

PART = AnalysisSettings(bootstrap=400)
GROUPS, PER_GROUP = 14, 4
GROUP = np.repeat(np.arange(GROUPS), PER_GROUP)
CASES = [f"case{i:04d}" for i in range(GROUP.size)]


def clustered(rng, rows=1):
    """Values (rows, cases) that are alike within a group."""
    return rng.normal(size=(rows, GROUPS))[:, GROUP] + rng.normal(size=(rows, GROUP.size))


@pytest.fixture
def study_scores(score_table):
    """A function: benefits (models, cases) to the scores of a study whose baseline is 0.5
    everywhere.
    """

    def build(benefits, metric="dice", sign=1):
        values = (
            0.5 + np.concatenate([np.zeros((1, benefits.shape[1])), sign * benefits])[..., None]
        )
        models = ["unet", *(f"m{i}" for i in range(1, len(values)))]
        return arrange(score_table(values, GROUP, metric=metric), ["sim"], models, [metric])

    return build


def table(**measures):
    return {"sim": pd.DataFrame(measures, index=CASES)}


def test_the_slope_is_that_of_least_squares_on_the_standardised_measure(study_scores):
    rng = np.random.default_rng(1)
    x, benefits = rng.uniform(3, 9, GROUP.size), 0.1 * clustered(rng, 3)
    found = compute_difficulty(study_scores(benefits), "unet", PART, table(measured_size=x))
    z = (x - x.mean()) / x.std()
    expected = [sm.OLS(row, sm.add_constant(z)).fit().params[1] for row in benefits]
    np.testing.assert_allclose(found["slope"], expected)
    assert found[["groups", "cases"]].drop_duplicates().to_numpy().tolist() == [
        [GROUPS, GROUP.size]
    ]
    assert list(found.columns) == list(FRAMES["difficulty"])


def test_the_interval_is_as_wide_as_that_of_the_jackknife_over_groups(study_scores):
    rng = np.random.default_rng(2)
    x, benefits = clustered(rng)[0], 0.1 * clustered(rng, 40)
    found = compute_difficulty(study_scores(benefits), "unet", PART, table(measured_size=x))
    z = (x - x.mean()) / x.std()
    others = [np.flatnonzero(group != GROUP) for group in range(GROUPS)]
    without = [np.polyfit(z[kept], benefits[:, kept].T, 1)[0] for kept in others]
    error = np.sqrt((GROUPS - 1) * np.var(without, axis=0))
    wide = 2 * stats.t.ppf(0.975, GROUPS - 1) * error
    assert np.median((found["high"] - found["low"]) / wide) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("metric", "sign"), [("dice", 1), ("hd95", -1)])
def test_a_planted_interaction_is_found_with_its_sign(study_scores, metric, sign):
    rng = np.random.default_rng(3)
    blur, other = clustered(rng), clustered(rng)[0]
    benefits = np.concatenate([0.03 * blur, -0.03 * blur]) + 0.02 * clustered(rng, 2)
    scores = study_scores(benefits, metric, sign)
    found = compute_difficulty(
        scores, "unet", PART, table(measured_boundary_sharpness=other, blur=blur[0])
    )
    truth = found[found["known_truth"]].set_index("model")
    assert truth.loc["m1", "low"] > 0 > truth.loc["m2", "high"]
    assert (truth["p_holm"] < 0.05).all() and set(truth["measure"]) == {"blur"}
    assert (found.loc[~found["known_truth"], "p_holm"] > 0.05).all()


def test_false_positives_and_coverage_without_an_interaction(study_scores):
    rng = np.random.default_rng(4)
    measures = table(**{f"measured_{i}": clustered(rng)[0] for i in range(30)})
    found = compute_difficulty(study_scores(clustered(rng, 20)), "unet", PART, measures)
    assert len(found) == 600
    assert stats.binomtest(int((found["p"] <= 0.05).sum()), 600, 0.05).pvalue > 0.01
    assert 0.91 < ((found["low"] <= 0) & (found["high"] >= 0)).mean() < 0.98
    assert (found["p_holm"] > 0.05).all()


def test_holm_runs_over_models_measures_and_datasets_of_a_metric(study_scores):
    rng = np.random.default_rng(5)
    measures = table(
        measured_size=rng.normal(size=GROUP.size), measured_clutter=rng.normal(size=GROUP.size)
    )
    found = compute_difficulty(study_scores(clustered(rng, 3)), "unet", PART, measures)
    ordered = np.sort(found["p"])
    expected = np.minimum(1, np.maximum.accumulate(ordered * np.arange(6, 0, -1)))
    np.testing.assert_allclose(np.sort(found["p_holm"]), expected)
    assert set(found["family"]) == {"dice, measured difficulty: 3 models x 2 measures x 1 datasets"}


def test_strata_are_the_thirds_of_the_cases(study_scores):
    rng = np.random.default_rng(6)
    x, benefits = rng.permutation(GROUP.size).astype(float), clustered(rng, 2)
    x[rng.integers(GROUP.size)] = np.nan
    found = compute_difficulty_strata(study_scores(benefits), "unet", PART, table(measured_size=x))
    one = found[found["model"] == "m2"].set_index("stratum")
    bounds = np.nanquantile(x, [0, 1 / 3, 2 / 3, 1])
    for place, stratum in enumerate(("low", "middle", "high")):
        inside = (x <= bounds[place + 1]) & ((x > bounds[place]) if place else True)
        assert one.loc[stratum, "benefit"] == pytest.approx(benefits[1, inside].mean())
        assert one.loc[stratum, ["from", "to"]].tolist() == [x[inside].min(), x[inside].max()]
        assert one.loc[stratum, "cases"] == inside.sum()
        assert one.loc[stratum, "low"] < one.loc[stratum, "benefit"] < one.loc[stratum, "high"]
    assert list(found.columns) == list(FRAMES["difficulty_strata"])


def test_cases_without_a_measure_or_a_benefit_are_left_out(study_scores):
    rng = np.random.default_rng(7)
    x, benefits = rng.normal(size=GROUP.size), clustered(rng, 2)
    x[:5], benefits[1, 20:24] = np.nan, np.nan
    found = compute_difficulty(study_scores(benefits), "unet", PART, table(measured_size=x))
    assert found["cases"].tolist() == [GROUP.size - 5, GROUP.size - 9]
    assert found["groups"].tolist() == [GROUPS - 1, GROUPS - 2]
    kept = ~np.isnan(x) & ~np.isnan(benefits[1])
    z = (x - np.nanmean(x)) / np.nanstd(x)
    assert found["slope"].iloc[1] == pytest.approx(np.polyfit(z[kept], benefits[1, kept], 1)[0])


def test_a_measure_that_does_not_differ_or_no_measure_gives_no_row(study_scores):
    scores = study_scores(clustered(np.random.default_rng(8)))
    for measures in (
        table(measured_components=np.ones(GROUP.size)),
        {},
        table(measured_size=np.nan),
    ):
        assert compute_difficulty(scores, "unet", PART, measures).empty
        assert list(compute_difficulty_strata(scores, "unet", PART, measures).columns) == list(
            FRAMES["difficulty_strata"]
        )


def test_measures_and_known_truths_are_read_from_the_case_store(tmp_path):
    layout = Layout(tmp_path, tmp_path / "raw")
    columns = {f"difficulty_{name}": [0.5, None] for name in MEASURES}
    write_csv(
        layout.prepared("sim") / "cases.csv",
        pd.DataFrame({"case": ["007", "8"], "group": ["a", "b"], "blur": [1.0, 2.0], **columns}),
    )
    found = read_difficulty(layout, ["sim", "absent"])
    assert set(found) == {"sim"} and list(found["sim"].index) == ["007", "8"]
    assert list(found["sim"]) == [*(f"measured_{name}" for name in MEASURES), "blur"]
    assert found["sim"].loc["8"].drop("blur").isna().all()


def test_a_variant_is_also_compared_with_the_plain_unet_of_its_size(score_table):
    """Size helps where the measure is high, the mechanism nowhere: a slope against `unet`, none
    against its size.
    """
    pairs_of_size = [("cbam", "cbam-parameters")]
    rng = np.random.default_rng(9)
    x = rng.normal(size=GROUP.size)
    noise = 0.001 * rng.normal(size=(4, GROUP.size))
    values = 0.5 + noise + 0.05 * np.array([0, 1, 1, 1])[:, None] * x
    names = ["unet", "cbam", "cbam-parameters", "cbam-flops"]
    scores = score_table(values[..., None], GROUP).replace(
        {f"m{i}": name for i, name in enumerate(names)}
    )
    blocks = arrange(scores, ["sim"], names, ["dice"])
    found = compute_difficulty(blocks, "unet", PART, table(measured_size=x), pairs_of_size)
    pairs = found[["model", "baseline"]].to_numpy().tolist()
    assert pairs == [*([name, "unet"] for name in names[1:]), ["cbam", "cbam-parameters"]]
    assert set(found["family"]) == {
        "dice, measured difficulty: (3 models + 1 variants with a control) x 1 measures x 1 "
        "datasets"
    }
    plain, same_size = found["slope"].iloc[0], found["slope"].iloc[3]
    assert plain == pytest.approx(0.05, abs=0.005) and abs(same_size) < 0.001
    assert same_size == pytest.approx(
        np.polyfit((x - x.mean()) / x.std(), values[1] - values[2], 1)[0]
    )
    thirds = compute_difficulty_strata(blocks, "unet", PART, table(measured_size=x), pairs_of_size)
    assert thirds["baseline"].value_counts().to_dict() == {"unet": 9, "cbam-parameters": 3}
