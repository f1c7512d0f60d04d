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
        table = score_table(values, GROUP, GROUP % 7, metric=metric)
        return arrange(table, ["sim"], models, [metric])

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


def weighted(z, y, group):
    """Least squares with equal weight of every group, errors clustered by group: statsmodels."""
    kept = ~np.isnan(z) & ~np.isnan(y)
    z, y, group = z[kept], y[kept], group[kept]
    sizes = np.bincount(group)[group]
    clusters = {"groups": group, "use_correction": False}
    return sm.WLS(y, sm.add_constant(z), 1 / sizes).fit(cov_type="cluster", cov_kwds=clusters)


def test_slope_and_interval_are_those_of_the_jackknife_over_groups(study_scores):
    rng = np.random.default_rng(2)
    x, benefits = clustered(rng)[0], 0.1 * clustered(rng, 4)
    x[[0, 1, 2, 4, 9]] = np.nan
    found = compute_difficulty(study_scores(benefits), "unet", PART, table(measured_size=x))
    z = (x - np.nanmean(x)) / np.nanstd(x)
    for row, own in zip(found.to_dict("records"), benefits, strict=True):
        fit = weighted(z, own, GROUP)
        others = (group != GROUP for group in range(GROUPS))
        without = [weighted(z[kept], own[kept], GROUP[kept]).params[1] for kept in others]
        error = np.sqrt((GROUPS - 1) * np.var(without))
        half = stats.t.ppf(0.975, GROUPS - 1) * error
        assert row["slope"] == pytest.approx(fit.params[1])
        interval = row["slope"] - half, row["slope"] + half
        assert (row["low"], row["high"]) == pytest.approx(interval)


def test_the_slope_on_the_logit_scale_is_that_of_the_log_odds(study_scores):
    rng = np.random.default_rng(12)
    x, benefits = clustered(rng)[0], 0.1 * np.tanh(clustered(rng))
    found = compute_difficulty(study_scores(benefits), "unet", PART, table(measured_size=x))
    z = (x - x.mean()) / x.std()
    odds = np.log((0.5 + benefits[0]) / (0.5 - benefits[0]))
    assert found["slope_logit"].iloc[0] == pytest.approx(weighted(z, odds, GROUP).params[1])


def test_a_perfect_score_is_taken_half_a_voxel_inwards(study_scores):
    """Dice 1 of a class of 50 voxels counts as 1 - 1/200, of one whose size is unknown as half the
    smallest distance from a bound that there is.
    """
    rng = np.random.default_rng(13)
    x, benefits = clustered(rng)[0], np.full((1, GROUP.size), 0.3)
    benefits[0, ::3] = 0.5
    scores, z = study_scores(benefits), (x - x.mean()) / x.std()
    known = table(measured_size=x, voxels_1=np.full(GROUP.size, 50.0))
    for measures, edge in ((known, 1 / 200), (table(measured_size=x), 0.2 / 2)):
        found = compute_difficulty(scores, "unet", PART, measures)
        value = np.minimum(0.5 + benefits[0], 1 - edge)
        fit = weighted(z, np.log(value / (1 - value)), GROUP)
        assert found["slope_logit"].iloc[0] == pytest.approx(fit.params[1])
        assert set(found["measure"]) == {"size"}


def test_a_planted_interaction_is_found_with_its_sign(study_scores):
    rng = np.random.default_rng(3)
    blur, other = clustered(rng), clustered(rng)[0]
    benefits = np.concatenate([0.03 * blur, -0.03 * blur]) + 0.02 * clustered(rng, 2)
    found = compute_difficulty(
        study_scores(benefits), "unet", PART, table(measured_boundary_sharpness=other, blur=blur[0])
    )
    truth = found[found["known_truth"]].set_index("model")
    assert truth.loc["m1", "low"] > 0 > truth.loc["m2", "high"]
    assert truth["verdict"].to_dict() == {"m1": "better", "m2": "worse"}
    assert truth["verdict_retrained"].to_dict() == {"m1": "better", "m2": "worse"}
    assert set(truth["measure"]) == {"blur"}
    assert set(found.loc[~found["known_truth"], "verdict"]) == {"undecided"}


def test_of_a_distance_a_slope_is_shown_and_nothing_claimed(study_scores):
    rng = np.random.default_rng(3)
    blur = clustered(rng)
    benefits = 0.03 * blur + 0.005 * clustered(rng)
    row = compute_difficulty(
        study_scores(benefits, "hd95", -1), "unet", PART, table(blur=blur[0])
    ).iloc[0]
    assert row["slope"] > row["low"] > 0 and row["p"] < 0.01
    assert row["verdict"] == row["verdict_retrained"] == "one scale"
    assert row[["slope_logit", "p_both", "p_holm"]].isna().all() and not row["significant"]


def test_false_positives_and_coverage_without_an_interaction(study_scores):
    rng = np.random.default_rng(4)
    measures = table(**{f"measured_{i}": clustered(rng)[0] for i in range(30)})
    found = compute_difficulty(study_scores(0.02 * clustered(rng, 20)), "unet", PART, measures)
    assert len(found) == 600
    assert stats.binomtest(int((found["p"] <= 0.05).sum()), 600, 0.05).pvalue > 0.01
    assert 0.91 < ((found["low"] <= 0) & (found["high"] >= 0)).mean() < 0.98
    assert (found["p_both"] <= 0.05).mean() <= (found["p"] <= 0.05).mean()
    assert not found["verdict"].isin(["better", "worse"]).any()


CEILING = np.arange(40)


def near_the_ceiling(score_table, rng, gains, luck=0.0):
    """Models whose odds are those of the baseline, times `exp(gain)` of each case: 40 groups."""
    easy = rng.normal(size=CEILING.size)
    base = 2.2 + 0.9 * easy + rng.normal(0, 0.3, CEILING.size)
    noise = rng.normal(0, 0.15, (len(gains), CEILING.size))
    trained = rng.normal(0, luck, (len(gains), 5))[:, CEILING % 5]
    logits = np.stack([base, *(base + gain(easy) for gain in gains)])
    logits[1:] += noise + trained
    values = 1 / (1 + np.exp(-logits))
    names = ["unet", *(f"m{i}" for i in range(1, len(values)))]
    blocks = arrange(score_table(values[..., None], CEILING, CEILING % 5), ["sim"], names, ["dice"])
    cases = [f"case{i:04d}" for i in CEILING]
    measures = {"sim": pd.DataFrame({"measured_contrast": easy}, index=cases)}
    return compute_difficulty(blocks, "unet", PART, measures)


def test_a_constant_gain_near_the_ceiling_is_no_interaction(score_table):
    """The same odds everywhere: less is left to gain in Dice where the baseline is near 1."""
    found = pd.concat(
        near_the_ceiling(score_table, np.random.default_rng(20 + i), [lambda easy: 0.5])
        for i in range(40)
    )
    assert (found["p"] <= 0.05).mean() > 0.8 and (found["slope"] < 0).all()
    claimed = found["verdict"].isin(["better", "worse"]).sum()
    assert claimed <= stats.binom.ppf(0.99, 40, 0.05)
    again = found["verdict_retrained"].isin(["better", "worse"]).sum()
    assert again <= stats.binom.ppf(0.99, 40, 0.05)


def test_an_interaction_in_the_odds_is_claimed(score_table):
    rng = np.random.default_rng(21)
    found = near_the_ceiling(score_table, rng, [lambda easy: 0.5 - 0.4 * easy])
    assert found["verdict"].tolist() == found["verdict_retrained"].tolist() == ["worse"]
    row = found.iloc[0]
    assert row["slope_logit"] < row["high_logit"] < 0 and row["slope"] < 0


def test_slopes_of_opposite_signs_on_the_two_scales_are_no_claim(score_table):
    """More is gained in odds where cases are easy, and less in Dice."""
    rng = np.random.default_rng(22)
    row = near_the_ceiling(score_table, rng, [lambda easy: 0.8 + 0.15 * easy]).iloc[0]
    assert row["slope"] < 0 < row["slope_logit"] and max(row["p"], row["p_logit"]) < 0.05
    assert row["p_both"] == row["p_both_retrained"] == 1 and row["verdict"] == "undecided"


def test_a_claim_needs_both_scales(score_table):
    rng = np.random.default_rng(23)
    found = near_the_ceiling(
        score_table, rng, [lambda easy, slope=slope: 0.3 - slope * easy for slope in (0.1, 0.2)]
    )
    agree = np.sign(found["slope"]) == np.sign(found["slope_logit"])
    assert agree.all()
    for name in ("p", "p_retrained"):
        both = found[name.replace("p", "p_both", 1)]
        np.testing.assert_array_equal(both, np.maximum(found[name], found[f"{name}_logit"]))


def test_the_luck_of_folds_in_a_slope_is_no_claim_about_a_mechanism(score_table):
    """Some trainings gain where cases are easy, the others nowhere."""
    rng = np.random.default_rng(24)
    fold, easy = CEILING % 5, rng.normal(size=40)
    luck = np.array([0.05, 0.0, 0.05, 0.0, -0.01])[fold] * easy
    values = 0.5 + np.stack([0 * luck, luck + rng.normal(0, 0.003, 40)])[..., None]
    blocks = arrange(score_table(values, CEILING, fold), ["sim"], ["unet", "m1"], ["dice"])
    cases = [f"case{i:04d}" for i in CEILING]
    measures = {"sim": pd.DataFrame({"measured_contrast": easy}, index=cases)}
    row = compute_difficulty(blocks, "unet", PART, measures).iloc[0]
    assert (row["verdict"], row["verdict_retrained"]) == ("better", "undecided")
    assert row["retrained_low"] < 0 < row["low"]


def test_the_slope_of_models_trained_again_is_the_corrected_t_of_the_influences(score_table):
    """One group a case and equal folds: by the influence of each case on the slope."""
    rng = np.random.default_rng(25)
    easy, fold = rng.normal(size=40), CEILING % 5
    gain = 0.01 * easy + rng.normal(0, 0.01, 40) + rng.normal(0, 0.01, 5)[fold]
    values = 0.5 + np.stack([0 * gain, gain])[..., None]
    blocks = arrange(score_table(values, CEILING, fold), ["sim"], ["unet", "m1"], ["dice"])
    cases = [f"case{i:04d}" for i in CEILING]
    measures = {"sim": pd.DataFrame({"measured_contrast": easy}, index=cases)}
    row = compute_difficulty(blocks, "unet", PART, measures).iloc[0]
    z = (easy - easy.mean()) / easy.std()
    slope, constant = np.polyfit(z, gain, 1)
    influence = slope + z * (gain - constant - slope * z)
    means = [influence[fold == f].mean() for f in range(5)]
    error = np.std(means, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert row["p_retrained"] == pytest.approx(2 * stats.t.sf(abs(slope) / error, 4))
    half = stats.t.ppf(0.975, 4) * error
    assert (row["retrained_low"], row["retrained_high"]) == pytest.approx(
        (slope - half, slope + half)
    )


def test_holm_runs_over_models_measures_and_datasets_of_a_metric(study_scores):
    rng = np.random.default_rng(5)
    measures = table(
        measured_size=rng.normal(size=GROUP.size), measured_clutter=rng.normal(size=GROUP.size)
    )
    found = compute_difficulty(study_scores(0.02 * clustered(rng, 3)), "unet", PART, measures)
    ordered = np.sort(found["p_both"])
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
        by_group = [
            benefits[1, inside & (group == GROUP)].mean() for group in np.unique(GROUP[inside])
        ]
        assert one.loc[stratum, "benefit"] == pytest.approx(np.mean(by_group))
        assert one.loc[stratum, "groups"] == len(by_group)
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
    z = (x - np.nanmean(x)) / np.nanstd(x)
    assert found["slope"].iloc[1] == pytest.approx(weighted(z, benefits[1], GROUP).params[1])


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
