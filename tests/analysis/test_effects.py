import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from attnbench.analysis.blocks import arrange
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings

PART = AnalysisSettings(bootstrap=400)
RANDOM = np.random.default_rng(11)
MODELS = ["unet", "m1", "m2"]


def table_of(table, models=MODELS, metrics=("dice", "hd95"), part=PART):
    datasets = sorted(set(table["dataset"]))
    return compute_effects(arrange(table, datasets, models, metrics), "unet", part, {})


def flipped(by_group):
    """Two-sided p of the mean when the signs of whole groups are flipped, every pattern."""
    return stats.permutation_test(
        (by_group,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue


def of(frame, model="m1", class_="1", metric="dice"):
    return frame[
        (frame["model"] == model) & (frame["class"] == class_) & (frame["metric"] == metric)
    ].iloc[0]


def test_difference_and_p_are_those_of_the_plain_calculation(score_table):
    values, group = RANDOM.uniform(size=(3, 20, 2)), np.arange(20) % 8
    row = of(table_of(score_table(values, group, folds=group % 4)), "m2")
    difference = (values[2] - values[0]).mean(axis=1)
    by_group = [difference[group == g].mean() for g in range(8)]
    assert row["difference"] == pytest.approx(np.mean(by_group))
    assert row["benefit"] == row["difference"] and row["higher_is_better"]
    assert row["p"] == pytest.approx(flipped(by_group))
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(by_group).pvalue)
    interval = stats.t.interval(0.95, 7, np.mean(by_group), stats.sem(by_group))
    assert (row["low"], row["high"]) == pytest.approx(interval)
    assert row["low"] < row["difference"] < row["high"]
    assert row[["cases", "groups", "folds", "seeds", "dropped"]].tolist() == [20, 8, 4, 2, 0]
    assert (row["better"], row["worse"]) == ((difference > 0).sum(), (difference < 0).sum())
    per_seed = [
        [(values[2] - values[0])[group == g, seed].mean() for g in range(8)] for seed in range(2)
    ]
    assert row["seed_sd"] == pytest.approx(np.mean(per_seed, axis=1).std(ddof=1))


def test_a_smaller_distance_is_a_benefit(score_table):
    values = np.stack([np.full((8, 1), 5.0), np.full((8, 1), 3.0)])
    row = of(table_of(score_table(values, range(8), metric="hd95", unit="mm")), metric="hd95")
    assert (row["difference"], row["benefit"], row["better"], row["worse"]) == (-2.0, 2.0, 8, 0)
    assert not row["higher_is_better"] and row["unit"] == "mm"


def test_only_pairs_of_case_class_and_seed_count(score_table):
    values = RANDOM.uniform(size=(2, 7, 2, 2))
    values[1, 0, :, 0] = np.nan
    values[0, 1, 0, 0] = np.nan
    values[1, 2, :, :] = np.nan
    frame = table_of(score_table(values, range(7)))
    difference = values[1] - values[0]
    row, both = of(frame), of(frame, class_="all")
    assert row["difference"] == pytest.approx(
        np.mean([np.nanmean(difference[c, :, 0]) for c in (1, 3, 4, 5, 6)])
    )
    assert (row["cases"], row["dropped"]) == (5, 2)
    per_seed = [np.nanmean(np.nanmean(difference[c], axis=1)) for c in (0, 1, 3, 4, 5, 6)]
    assert both["difference"] == pytest.approx(np.mean(per_seed))
    assert (both["cases"], both["dropped"]) == (6, 1)


def test_half_a_study_compares_what_both_models_have(score_table):
    values = RANDOM.uniform(size=(3, 16, 2))
    table = score_table(values, range(16), folds=np.arange(16) // 8)
    half = table[~((table["model"] == "m1") & (table["fold"] == 1)) & ~(table["model"] == "m2")]
    row = of(table_of(half))
    assert row["difference"] == pytest.approx((values[1] - values[0])[:8].mean())
    assert row[["cases", "folds", "dropped"]].tolist() == [8, 1, 0]
    assert set(table_of(half)["model"]) == {"m1"}


@pytest.mark.parametrize("models", [["unet"], ["m1", "m2"]])
def test_nothing_to_compare_gives_an_empty_table_with_its_columns(score_table, models):
    frame = table_of(score_table(RANDOM.uniform(size=(3, 6, 1)), range(6)), models)
    assert frame.empty and list(frame.columns) == list(FRAMES["effects"])


def test_equal_models_differ_by_exactly_nothing(score_table):
    frame = table_of(score_table(np.repeat(RANDOM.uniform(size=(1, 9, 3)), 3, axis=0), range(9)))
    assert (
        (frame[["difference", "low", "high", "benefit", "better", "worse", "seed_sd"]] == 0)
        .all()
        .all()
    )
    assert (frame[["p", "p_holm"]] == 1).all().all()


def test_no_pair_at_all_is_a_row_that_says_so(score_table):
    values = np.full((2, 6, 1), np.nan)
    row = of(table_of(score_table(values, range(6), metric="hd95")), metric="hd95")
    assert (
        row[["difference", "low", "high", "benefit", "p", "p_holm", "dz", "superiority"]]
        .isna()
        .all()
    )
    assert row["verdict"] == "undefined"
    assert row[["cases", "groups", "dropped", "better", "worse"]].tolist() == [0, 0, 6, 0, 0]


@pytest.mark.parametrize("cases", [1, 6])
def test_one_group_has_a_difference_but_neither_interval_nor_evidence(score_table, cases):
    row = of(table_of(score_table(RANDOM.uniform(size=(2, cases, 1)), ["only"] * cases)))
    assert row["p"] == 1 and np.isnan(row["low"]) and np.isfinite(row["difference"])


def test_the_family_is_all_models_and_datasets_of_a_metric_and_level(score_table):
    tables = [
        score_table(RANDOM.uniform(size=(3, 8, 1, classes)), range(8), dataset=name, metric=metric)
        for name, classes in (("first", 1), ("second", 2))
        for metric in ("dice", "hd95")
    ]
    frame = table_of(pd.concat(tables))
    sizes = frame.groupby("family")["family_size"].agg(["size", "first"])
    assert sizes["size"].to_dict() == {
        "dice, single classes: 2 models x 2 datasets": 6,
        "dice, mean over classes: 2 models x 2 datasets": 4,
        "hd95, single classes: 2 models x 2 datasets": 6,
        "hd95, mean over classes: 2 models x 2 datasets": 4,
    }
    assert (sizes["size"] == sizes["first"]).all()
    one = frame[frame["family"] == sizes.index[0]].sort_values("p")
    assert one["p_holm"].iloc[0] == pytest.approx(
        min(1, one["family_size"].iloc[0] * one["p"].iloc[0])
    )


def planted(score_table, shift, metric="dice", groups=30, folds=5):
    noise = np.random.default_rng(3).normal(0, 0.002, groups) if shift else np.zeros(groups)
    values = 0.5 + np.stack([np.zeros(groups), shift + noise])[..., None]
    table = score_table(values, range(groups), np.arange(groups) % folds, metric=metric)
    return of(table_of(table, metrics=[metric]), metric=metric)


@pytest.mark.parametrize(
    ("shift", "metric", "verdict", "retrained", "equivalent"),
    [
        (0.05, "dice", "better", "better", False),
        (-0.05, "dice", "worse", "worse", False),
        (-0.05, "hd95", "better", "better", False),
        (0.004, "dice", "better", "better", True),
        (0.0, "dice", "undecided", "equivalent", True),
        (0.0, "hd95", "undecided", "undecided", False),
    ],
)
def test_the_verdict_is_what_the_corrected_tests_support(
    score_table, shift, metric, verdict, retrained, equivalent
):
    row = planted(score_table, shift, metric)
    assert (row["verdict"], row["verdict_retrained"]) == (verdict, retrained)
    assert row["equivalent"] == equivalent
    assert np.isnan(row["margin"]) == np.isnan(row["p_equivalence"]) == (metric == "hd95")


def test_luck_of_few_trainings_is_no_verdict_about_retrained_models(score_table):
    fold = np.arange(40) % 5
    luck = np.stack(
        [np.zeros(40), np.array([0.05, 0.0, 0.06, 0.0, 0.01])[fold] + RANDOM.normal(0, 0.005, 40)]
    )
    sure = np.stack([np.zeros(40), 0.05 + RANDOM.normal(0, 0.005, 40)])
    by_luck, surely = (
        of(table_of(score_table(v[..., None], range(40), fold))) for v in (luck, sure)
    )
    assert (by_luck["verdict"], by_luck["verdict_retrained"]) == ("better", "undecided")
    assert (surely["verdict"], surely["verdict_retrained"]) == ("better", "better")
    assert by_luck["retrained_low"] < 0 < by_luck["low"]


@pytest.mark.parametrize("folds", [2, 4])
def test_fewer_than_five_trainings_claim_nothing_of_models_trained_again(score_table, folds):
    row = planted(score_table, 0.05, folds=folds)
    assert (row["verdict"], row["verdict_retrained"]) == ("better", "too few trainings")
    assert row[["p_retrained", "p_retrained_holm", "p_equivalence"]].isna().all()
    assert row["trainings"] == folds


def test_what_fails_as_trained_is_no_claim_about_models_trained_again(score_table):
    """All folds agree, six groups do not: the larger p of the two tests decides."""
    by_group = np.array([0.05, 0.05, 0.05, 0.05, 0.05, -0.0001])
    values = 0.5 + np.stack([np.zeros(6), by_group])[..., None]
    row = of(table_of(score_table(values, range(6), [0, 1, 2, 3, 4, 4])))
    assert row["p"] > 0.05 > row["p_retrained"]
    assert row["verdict_retrained"] == "undecided"


@pytest.mark.parametrize(
    ("groups", "models", "verdict"),
    [(5, 1, "too few groups"), (6, 1, "better"), (6, 2, "too few groups"), (7, 2, "better")],
)
def test_groups_are_too_few_where_their_smallest_p_cannot_pass(
    score_table, groups, models, verdict
):
    """2^(1 - n) is the smallest p of n groups: 1/16, 1/32, 1/64; two tests double it."""
    gains = np.linspace(0.1, 0.2, groups)
    values = np.stack([np.zeros(groups), *[gains] * models])[..., None]
    rows = table_of(score_table(values, range(groups)))
    assert set(rows["verdict"]) == {verdict}
    assert of(rows)["p"] == pytest.approx(2.0 ** (1 - groups))
    assert of(rows)["superiority"] == 1
    if verdict == "too few groups":
        assert rows["p_holm"].isna().all() and not rows["significant"].any()


def test_rows_that_cannot_pass_take_nothing_from_the_level_of_the_others(score_table):
    """Twenty groups and, in two datasets more, five: only the first is a test of the family."""
    tables = []
    for name, groups in (("many", 20), ("few", 5), ("fewer", 5)):
        gains = 0.1 + RANDOM.normal(0, 0.2, groups)
        values = np.stack([np.zeros(groups), gains])[..., None]
        tables.append(score_table(values, range(groups), dataset=name))
    rows = table_of(pd.concat(tables))
    rows = rows[rows["class"] == "all"].set_index("dataset")
    assert rows["family_size"].tolist() == [1, 1, 1]
    assert rows.loc["many", "p_holm"] == rows.loc["many", "p"]
    assert set(rows.loc[["few", "fewer"], "verdict"]) == {"too few groups"}


def test_a_group_of_thirty_cases_counts_as_one_of_one(score_table):
    """Nine patients with one case gain, one with thirty loses more than they gain together."""
    group = np.concatenate([np.arange(9), np.full(30, 9)])
    gain = np.where(group == 9, -0.02, 0.05 + 0.001 * group)
    row = of(table_of(score_table(0.5 + np.stack([0 * gain, gain])[..., None], group)))
    expected = [*(0.05 + 0.001 * np.arange(9)), -0.02]
    assert gain.mean() < 0 < row["difference"] == pytest.approx(np.mean(expected))
    assert row["p"] == pytest.approx(flipped(expected)) and row["verdict"] == "better"
    assert row["low"] == pytest.approx(
        stats.t.interval(0.95, 9, np.mean(expected), stats.sem(expected))[0]
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), gain=st.floats(-0.05, 0.05), by_size=st.floats(-0.1, 0.1))
def test_verdict_and_estimate_have_one_sign(score_table, seed, gain, by_size):
    """Effects depend on a group's size: by cases and by groups the mean may differ in sign."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 31, 12)
    group = np.repeat(np.arange(12), sizes)
    effect = gain + by_size * (sizes - sizes.mean()) / 15 + random.normal(0, 0.01, 12)
    values = 0.5 + np.stack([np.zeros(group.size), effect[group]])[..., None]
    row = of(table_of(score_table(values, group, group % 6)))
    assert row["difference"] == pytest.approx(effect.mean())
    for verdict in ("verdict", "verdict_retrained"):
        if row[verdict] in ("better", "worse"):
            assert np.sign(effect.mean()) == {"better": 1, "worse": -1}[row[verdict]]
    assert np.sign(row["dz"]) == np.sign(row["benefit"])


def test_folds_that_swing_beyond_the_margin_are_not_equivalent(score_table):
    """As trained, a hundred groups pin the mean within the margin; five trainings do not."""
    fold = np.arange(100) % 5
    swing = np.array([0.03, -0.03, 0.03, -0.03, 0.0])[fold] + RANDOM.normal(0, 0.01, 100)
    values = 0.5 + np.stack([np.zeros(100), swing])[..., None]
    row = of(table_of(score_table(values, range(100), fold)))
    as_trained = ttost_paired(swing, np.zeros(100), -0.01, 0.01)[0]
    assert as_trained < 0.01 < 0.05 < row["p_equivalence"]
    assert not row["equivalent"] and row["verdict_retrained"] == "undecided"


def test_the_minimum_effect_of_a_family_is_larger(score_table):
    row = of(table_of(score_table(RANDOM.normal(0.5, 0.1, (3, 20, 1)), range(20))))
    assert (
        row["group_sd"] / 4
        < row["minimum_effect"]
        < row["minimum_effect_holm"]
        < 2 * row["group_sd"]
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), groups=st.integers(5, 9), data=st.data())
def test_names_and_order_of_models_cases_and_groups_change_nothing(score_table, seed, groups, data):
    random = np.random.default_rng(seed)
    values = random.uniform(size=(3, 12, 1))
    group = np.concatenate([np.arange(groups), random.integers(0, groups, 12 - groups)])
    frame = table_of(score_table(values, group))
    case = data.draw(st.permutations(range(12)))
    label = data.draw(st.permutations([f"g{i}" for i in range(groups)]))
    other = table_of(
        score_table(values[:, case], np.array(label)[group[case]]).sample(frac=1, random_state=1),
        ["m2", "unet", "m1"],
    )
    exact = [
        "difference",
        "benefit",
        "p",
        "p_wilcoxon",
        "low",
        "high",
        "dz",
        "superiority",
        "minimum_effect",
        "p_holm",
        "cases",
        "groups",
        "better",
        "worse",
        "dropped",
    ]
    for model in ("m1", "m2"):
        before, after = of(frame, model), of(other, model)
        np.testing.assert_allclose(
            before[exact].astype(float).tolist(), after[exact].astype(float).tolist(), atol=1e-12
        )


def test_intervals_of_a_model_do_not_depend_on_its_neighbours(score_table):
    table = score_table(RANDOM.uniform(size=(3, 10, 2)), range(10))
    pair, alone = of(table_of(table)), of(table_of(table, ["unet", "m1"]))
    assert pair[["low", "high", "p"]].tolist() == alone[["low", "high", "p"]].tolist()


def simulated(random, groups, effect, cases=3, studies=400):
    """Group-mean differences of many two-model studies with correlated cases, as models of one
    table.
    """
    shared = random.normal(0, 0.03, (studies, groups, 1))
    return (effect + shared + random.normal(0, 0.02, (studies, groups, cases))).reshape(studies, -1)


@pytest.mark.parametrize(("groups", "effect"), [(8, 0.0), (20, 0.0), (20, 0.02)])
def test_intervals_cover_and_tests_hold_their_level_where_the_truth_is_known(
    score_table, groups, effect
):
    differences = simulated(np.random.default_rng(groups), groups, effect)
    values = np.concatenate([np.zeros((1, differences.shape[1])), differences])[:, :, None]
    names = ["unet", *(f"m{i}" for i in range(1, len(values)))]
    frame = table_of(score_table(values, np.repeat(np.arange(groups), 3)), names)
    frame = frame[frame["class"] == "1"]
    coverage = ((frame["low"] <= effect) & (effect <= frame["high"])).sum()
    assert coverage >= stats.binom.ppf(1e-4, len(frame), 0.93)
    rejected = (frame["p"] < 0.05).sum()
    if effect:
        assert rejected > 0.5 * len(frame)
    else:
        assert rejected <= stats.binom.ppf(1 - 1e-4, len(frame), 0.05)


CONTROLLED = ["unet", "cbam", "cbam-parameters", "cbam_wide", "cbam-random", "cbam_wide-flops"]


def controlled(score_table, values, names=CONTROLLED, baseline="unet", **options):
    """Effects of models called `names` instead of `unet, m1, m2, ...`."""
    table = score_table(values, range(values.shape[1]), **options)
    table["model"] = table["model"].map(
        dict(zip(["unet", *(f"m{i}" for i in range(1, 9))], names, strict=False))
    )
    controls = [
        (variant, name)
        for variant in names
        for name in names
        if name.split("-")[0] == variant != name
    ]
    return compute_effects(arrange(table, ["sim"], names, ["dice"]), baseline, PART, {}, controls)


def test_a_variant_is_compared_with_each_of_its_controls_and_with_nobody_elses(score_table):
    frame = controlled(score_table, RANDOM.uniform(size=(6, 8, 1)))
    pairs = frame.loc[frame["class"] == "1", ["model", "baseline"]].itertuples(index=False)
    assert [tuple(pair) for pair in pairs] == [
        *((name, "unet") for name in CONTROLLED[1:]),
        ("cbam", "cbam-parameters"),
        ("cbam", "cbam-random"),
        ("cbam_wide", "cbam_wide-flops"),
    ]


def test_what_a_mechanism_does_is_told_from_what_its_size_does(score_table):
    """Size is worth 0.05 and the mechanism nothing: better than the plain U-Net, equal to the
    U-Net of its size.
    """
    noise = RANDOM.normal(0, 0.003, (3, 30, 1))
    values = 0.5 + noise + np.array([0, 0.05, 0.05]).reshape(3, 1, 1)
    names = ["unet", "cbam", "cbam-parameters"]
    frame = controlled(score_table, values, names, folds=np.arange(30) % 5)
    rows = frame[(frame["class"] == "all") & (frame["model"] == "cbam")].set_index("baseline")
    plain, same_size = rows.loc["unet"], rows.loc["cbam-parameters"]
    assert plain["verdict"] == plain["verdict_retrained"] == "better"
    assert plain["difference"] == pytest.approx(0.05, abs=0.005)
    assert (same_size["verdict"], same_size["verdict_retrained"]) == ("undecided", "equivalent")
    by_group = (values[1] - values[2])[:, 0]
    assert same_size["difference"] == pytest.approx(by_group.mean())
    assert same_size["p_wilcoxon"] == pytest.approx(stats.wilcoxon(by_group).pvalue)


def test_a_control_that_is_the_baseline_itself_is_no_test(score_table):
    values = RANDOM.uniform(size=(3, 10, 1))
    values[2] = values[0]
    names = ["unet", "cbam", "cbam-flops"]
    frame = controlled(score_table, values, names).set_index(["model", "baseline"])
    same = frame.loc[[("cbam-flops", "unet"), ("cbam", "cbam-flops")]]
    assert set(same["verdict"]) == set(same["verdict_retrained"]) == {"same network"}
    assert same[["p", "p_holm", "p_wilcoxon"]].isna().all(axis=None)
    assert (frame["family_size"] == 1).all() and frame.loc[("cbam", "unet"), "p"].notna().all()


def test_the_family_counts_the_comparisons_with_controls(score_table):
    frame = controlled(score_table, RANDOM.uniform(size=(6, 10, 1)))
    assert set(frame["family_size"]) == {8}
    assert set(frame["family"]) == {
        f"dice, {level}: (5 models + 3 variants with a control) x 1 datasets"
        for level in ("single classes", "mean over classes")
    }
    one = frame[frame["class"] == "1"]
    assert one["p_holm"].min() == pytest.approx(min(1, 8 * one["p"].min()))


def test_controls_change_no_other_row_but_for_the_correction(score_table):
    values = RANDOM.uniform(size=(3, 9, 2))
    names = ["unet", "cbam", "cbam-flops"]
    alone = controlled(score_table, values[:2], names[:2])
    both = controlled(score_table, values, names)
    shared = both[(both["model"] == "cbam") & (both["baseline"] == "unet")].reset_index(drop=True)
    changed = [
        "p_holm",
        "p_retrained_holm",
        "p_equivalence_holm",
        "family",
        "family_size",
        "minimum_effect_holm",
    ]
    pd.testing.assert_frame_equal(shared.drop(columns=changed), alone.drop(columns=changed))


@pytest.mark.parametrize("baseline", ["cbam", "cbam-flops"])
def test_no_pair_is_compared_twice_when_the_baseline_is_part_of_it(score_table, baseline):
    frame = controlled(
        score_table, RANDOM.uniform(size=(3, 8, 1)), ["unet", "cbam", "cbam-flops"], baseline
    )
    assert len(frame) == 4 and set(frame["baseline"]) == {baseline}


def test_controls_are_compared_while_the_baseline_has_no_scores_yet(score_table):
    frame = controlled(score_table, RANDOM.uniform(size=(2, 8, 1)), ["cbam", "cbam-flops"])
    assert frame[["model", "baseline"]].drop_duplicates().to_numpy().tolist() == [
        ["cbam", "cbam-flops"]
    ]
    assert set(frame["family_size"]) == {1}


def failing(score_table):
    """`m1` is the baseline itself but finds nothing in its two worst cases; `m2` only invents."""
    groups, rows = 12, []
    distances = np.sort(RANDOM.uniform(2, 9, groups))
    for metric, lost in (("hd95", np.nan), ("hd95_penalised", 40.0)):
        values = np.repeat(distances[None], 3, axis=0)
        status = np.full(values.shape, "ok", dtype=object)
        values[1, -2:], status[1, -2:] = lost, "prediction_empty"
        values[2, 0], status[2, 0] = lost, "reference_empty"
        rows.append(
            score_table(
                values[..., None], range(groups), np.arange(groups) % 6, metric=metric,
                unit="mm", status=status,
            )
        )  # fmt: skip
    return pd.concat(rows)


def test_a_model_that_failed_elsewhere_has_no_verdict_on_distances(score_table):
    frame = table_of(failing(score_table), metrics=["hd95", "hd95_penalised"])
    frame = frame[frame["class"] == "1"].set_index(["metric", "model"])
    plain, penalised = frame.loc[("hd95", "m1")], frame.loc[("hd95_penalised", "m1")]
    assert plain["verdict"] == plain["verdict_retrained"] == "failures differ"
    assert not plain["significant"] and plain["family_size"] == 0
    assert plain[["p", "p_holm", "p_wilcoxon", "p_retrained"]].isna().all()
    assert penalised["verdict"] == "undecided" and penalised["benefit"] < 0
    assert penalised[["p", "p_holm"]].notna().all()


def test_failures_and_false_alarms_of_both_models_are_counted(score_table):
    counts = ["failures", "failures_baseline", "false_alarms", "false_alarms_baseline", "lost_rows"]
    frame = table_of(failing(score_table), metrics=["hd95", "hd95_penalised"])
    found = frame.set_index(["metric", "class", "model"])[counts]
    for class_ in ("1", "all"):
        assert found.loc[("hd95", class_, "m1")].tolist() == [2, 0, 0, 0, 2]
        assert found.loc[("hd95", class_, "m2")].tolist() == [0, 0, 1, 0, 1]
        assert found.loc[("hd95_penalised", class_, "m1")].tolist() == [2, 0, 0, 0, 0]


def test_failing_on_the_same_cases_leaves_a_verdict(score_table):
    values = np.stack([RANDOM.uniform(2, 9, 12)] * 2)[..., None]
    values[1] -= 1
    values[:, 3] = np.nan
    status = np.where(np.isnan(values), "prediction_empty", "ok")
    table = score_table(values, range(12), np.arange(12) % 6, metric="hd95", status=status)
    row = of(table_of(table), metric="hd95")
    assert (row["verdict"], row["groups"], row["lost_rows"]) == ("better", 11, 1)


def test_where_only_the_reference_has_the_class_has_its_own_interval(score_table):
    """Dice of a false alarm is 0: it counts in `difference`, not in `difference_present`."""
    values = RANDOM.uniform(0.4, 0.6, (2, 12, 1))
    status = np.full(values.shape, "ok", dtype=object)
    values[0, :2], status[0, :2], status[1, :2] = 0, "reference_empty", "both_empty"
    values[1, :2] = 1
    row = of(table_of(score_table(values, range(12), status=status)))
    present = (values[1] - values[0])[2:, 0]
    interval = stats.t.interval(0.95, 9, present.mean(), stats.sem(present))
    assert row["difference_present"] == pytest.approx(present.mean())
    assert (row["low_present"], row["high_present"]) == pytest.approx(interval)
    assert row[["cases_present", "groups_present", "cases"]].tolist() == [10, 10, 12]
    assert row["difference"] == pytest.approx((values[1] - values[0]).mean())


def test_the_smallest_effect_of_models_trained_again_has_the_promised_power(score_table):
    values = RANDOM.normal(0.5, 0.1, (3, 20, 2))
    rows = table_of(score_table(values, range(20), np.arange(20) % 5))
    row = of(rows)
    standard = row["minimum_effect_retrained"] / row["retrained_error"]
    power = TTestPower().power(standard, 1, 0.05 / row["family_size"], df=row["free"])
    assert power == pytest.approx(0.8, abs=1e-6) and row["free"] == 4
