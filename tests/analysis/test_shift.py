"""Models away from their training data: against slow calculations, numpy.polyfit, and what was
planted.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attnbench.analysis.blocks import arrange, read_scores
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.runs import compute_runs
from attnbench.analysis.shift import (
    case_slopes,
    compute_corruption_levels,
    compute_corruption_slopes,
    compute_data_efficiency,
    compute_missing_shift,
    compute_shift,
    compute_transfer,
    read_shift_scores,
)
from attnbench.analysis.tables import FRAMES
from attnbench.files import write_csv
from attnbench.study.paths import Run
from attnbench.study.settings import Study

GROUP = np.repeat(np.arange(8), 2)
FOLD = GROUP % 2


@pytest.fixture
def random():
    return np.random.default_rng(5)


def study_of(output, **keys):
    models = ["unet", {"name": "m1", "slots": {}}, {"name": "m2", "slots": {}}]
    rest = {
        "name": "s",
        "models": models,
        "seeds": [0, 1],
        "folds": {"outer": 2},
        "metrics": ["dice"],
    }
    return Study(
        **{**rest, "datasets": ["sim"], "analysis": {"bootstrap": 300}, "output": output, **keys}
    )


def row(frame, **wanted):
    kept = frame[np.logical_and.reduce([frame[key] == value for key, value in wanted.items()])]
    assert len(kept) == 1
    return kept.iloc[0]


def elsewhere(score_table, values):
    """Scores (models, folds, cases, seeds) of the models of every fold of `sim` on every case of
    `other`.
    """
    folds = [score_table(values[:, fold], GROUP, np.full(16, fold), "sim") for fold in range(2)]
    return pd.concat(folds, ignore_index=True).assign(test="other")


@pytest.fixture
def both(score_table, random):
    """A study of two datasets, its scores, values of the models of `sim` on `other`, and their
    scores.
    """
    study = study_of(None, datasets=["sim", "other"], transfer=[{"train": "sim", "test": "other"}])
    own = [
        score_table(random.uniform(size=(3, 16, 2)), GROUP, FOLD, name) for name in ("sim", "other")
    ]
    values = random.uniform(size=(3, 2, 16, 2))
    return study, pd.concat(own, ignore_index=True), values, elsewhere(score_table, values)


def test_elsewhere_a_case_is_the_mean_over_all_trainings_and_groups_are_the_evidence(both):
    study, scores, values, away = both
    table = compute_transfer(study, scores, away)
    found = row(table, train="sim", test="other", model="m1", **{"class": "1"})
    assert found["mean"] == pytest.approx(values[1].mean())
    per_case = (values[1] - values[0]).mean(axis=(0, 2))
    assert found["difference"] == pytest.approx(per_case.mean())
    by_group = [per_case[group == GROUP].mean() for group in range(8)]
    every = {"permutation_type": "samples", "n_resamples": np.inf}
    p = stats.permutation_test((by_group,), np.mean, **every).pvalue
    assert found["p"] == pytest.approx(p)
    assert found["difference_low"] < found["difference"] < found["difference_high"]
    assert found[["cases", "groups", "folds", "seeds", "failures"]].tolist() == [16, 8, 2, 2, 0]
    assert list(table.columns) == list(FRAMES["transfer"])


def test_the_diagonal_of_transfer_is_what_the_effects_say(both):
    study, scores, _, away = both
    table = compute_transfer(study, scores, away)
    models = [part.name for part in study.models]
    whole = compute_effects(
        arrange(scores, ["sim", "other"], models, ["dice"]), "unet", study.analysis, {}
    )
    for name in ("sim", "other"):
        ours = row(table, train=name, test=name, model="m2", **{"class": "all"})
        theirs = row(whole, dataset=name, model="m2", **{"class": "all"})
        assert ours[
            ["difference", "difference_low", "difference_high", "p", "folds", "seeds"]
        ].tolist() == (theirs[["difference", "low", "high", "p", "folds", "seeds"]].tolist())


def test_holm_counts_every_cell_of_a_metric_with_single_classes_and_their_mean_apart(both):
    study, scores, _, away = both
    table = compute_transfer(study, scores, away)
    one = table[(table["class"] == "1") & table["p"].notna()].sort_values("p")
    assert len(one) == 6
    expected = np.minimum(1, np.maximum.accumulate(one["p"] * np.arange(6, 0, -1)))
    np.testing.assert_allclose(one["p_holm"], expected)


def test_a_fold_without_scores_elsewhere_is_left_out_of_the_mean_and_the_counts(both):
    study, scores, values, away = both
    lost = away[~((away["model"] == "m1") & (away["fold"] == 1))]
    found = row(
        compute_transfer(study, scores, lost),
        train="sim",
        test="other",
        model="m1",
        **{"class": "1"},
    )
    assert found["mean"] == pytest.approx(values[1, 0].mean())
    assert found["difference"] == pytest.approx((values[1, 0] - values[0, 0]).mean())
    assert found[["folds", "seeds"]].tolist() == [1, 2]


def test_failures_are_rows_in_which_one_mask_alone_is_empty(both):
    study, scores, _, away = both
    status = np.array(["ok"] * len(away), dtype=object)
    mine = np.flatnonzero(away["model"] == "m2")
    status[mine[:3]], status[mine[3]], status[mine[4]] = (
        "prediction_empty",
        "both_empty",
        "reference_empty",
    )
    table = compute_transfer(study, scores, away.assign(status=status))
    assert row(table, test="other", train="sim", model="m2", **{"class": "1"})["failures"] == 4
    assert row(table, test="other", train="sim", model="m1", **{"class": "1"})["failures"] == 0


def corrupted(score_table, values, kind="noise"):
    """Scores (levels 1 to 5, models, cases, seeds)."""
    tables = [
        score_table(v, GROUP, FOLD).assign(corruption=kind, level=level)
        for level, v in enumerate(values, 1)
    ]
    return pd.concat(tables, ignore_index=True)


def test_slopes_are_numpys_polyfit_of_every_case(score_table, random):
    values = random.uniform(size=(6, 3, 16, 2))
    scores, bad = score_table(values[0], GROUP, FOLD), corrupted(score_table, values[1:])
    slopes = case_slopes(scores.sample(frac=1, random_state=1), bad.sample(frac=1, random_state=2))
    (block,) = arrange(slopes, ["sim"], ["unet", "m1", "m2"], ["dice"])
    expected = np.polyfit(np.arange(6), values.reshape(6, -1), 1)[0].reshape(3, 16, 2)
    np.testing.assert_allclose(block.values[0, 0], expected)
    table = compute_corruption_slopes(study_of(None, corruptions=["noise"]), scores, bad)
    found = row(table, model="m2", **{"class": "1"})
    assert found["slope"] == pytest.approx(expected[2].mean())
    assert found["difference"] == pytest.approx((expected[2] - expected[0]).mean())
    assert list(table.columns) == list(FRAMES["corruption_slopes"])


def test_planted_slopes_are_found_and_equal_models_do_not_differ(score_table, random):
    slope = np.array([-0.05, -0.02, -0.05]).reshape(3, 1, 1)
    start = 0.9 + random.normal(0, 0.02, (1, 16, 1))
    values = np.stack([start + slope * level + np.zeros((3, 16, 2)) for level in range(6)])
    values[:, 1] += random.normal(0, 0.002, values[:, 1].shape)
    scores, bad = score_table(values[0], GROUP, FOLD), corrupted(score_table, values[1:], "blur")
    table = compute_corruption_slopes(study_of(None, corruptions=["blur", "noise"]), scores, bad)
    assert set(table["corruption"]) == {"blur"}
    sturdy, equal = (row(table, model=name, **{"class": "all"}) for name in ("m1", "m2"))
    assert sturdy["slope"] == pytest.approx(-0.02, abs=0.001)
    assert sturdy["difference_low"] < 0.03 < sturdy["difference_high"] and sturdy["p_holm"] < 0.05
    assert equal["slope"] == pytest.approx(-0.05) and abs(equal["difference"]) < 1e-12
    assert row(table, model="unet", **{"class": "all"})[["difference", "p", "p_holm"]].isna().all()


def test_a_case_that_is_undefined_at_a_level_has_no_slope_but_counts_at_the_other_levels(
    score_table, random
):
    values = random.uniform(size=(6, 3, 16, 2))
    values[5, 1, 3] = np.nan
    scores, bad = score_table(values[0], GROUP, FOLD), corrupted(score_table, values[1:])
    study = study_of(None, corruptions=["noise"])
    slopes, levels = (
        compute_corruption_slopes(study, scores, bad),
        compute_corruption_levels(study, scores, bad),
    )
    assert row(slopes, model="m1", **{"class": "1"})["cases"] == 15
    assert [
        row(levels, model="m1", level=level, **{"class": "1"})["cases"] for level in range(6)
    ] == [16] * 5 + [15]
    kept = np.polyfit(np.arange(6), values[:, 1].reshape(6, -1), 1)[0].reshape(16, 2)
    left = [np.nanmean(kept[group == GROUP]) for group in range(8)]
    assert row(slopes, model="m1", **{"class": "1"})["slope"] == pytest.approx(np.mean(left))
    assert row(slopes, model="m1", **{"class": "1"})["verdict"] == "failures differ"
    assert row(slopes, model="m2", **{"class": "1"})["verdict"] != "failures differ"


def test_a_run_without_corrupted_scores_does_not_disturb_the_slopes_of_others(score_table, random):
    values = random.uniform(size=(6, 3, 16, 2))
    scores, bad = score_table(values[0], GROUP, FOLD), corrupted(score_table, values[1:])
    half = bad[~((bad["model"] == "m1") & (bad["fold"] == 1))]
    table = compute_corruption_slopes(study_of(None, corruptions=["noise"]), scores, half)
    assert row(table, model="m1", **{"class": "1"})[["cases", "folds"]].tolist() == [8, 1]
    whole = compute_corruption_slopes(study_of(None, corruptions=["noise"]), scores, bad)
    assert (
        row(table, model="m2", **{"class": "1"})["slope"]
        == row(whole, model="m2", **{"class": "1"})["slope"]
    )


def test_level_zero_stands_beside_every_corruption(score_table, random):
    values = random.uniform(size=(6, 3, 16, 2))
    scores = score_table(values[0], GROUP, FOLD)
    bad = pd.concat([corrupted(score_table, values[1:], kind) for kind in ("noise", "blur")])
    table = compute_corruption_levels(study_of(None, corruptions=["blur", "noise"]), scores, bad)
    assert list(table.columns) == list(FRAMES["corruption_levels"])
    assert list(dict.fromkeys(zip(table["corruption"], table["level"], strict=True))) == [
        (kind, level) for kind in ("blur", "noise") for level in range(6)
    ]
    for level in range(6):
        found = row(table, corruption="noise", level=level, model="m1", **{"class": "all"})
        assert found["mean"] == pytest.approx(values[level, 1].mean())
        assert found["low"] < found["mean"] < found["high"]


def test_small_data_rises_to_the_ordinary_runs(score_table, random):
    level = {10: 0.5, 50: 0.7, 100: 0.9}
    values = {p: base + random.normal(0, 0.01, (3, 16, 2)) for p, base in level.items()}
    small = [
        score_table(values[p], GROUP, FOLD).assign(percent=p, training_groups=FOLD[0] + count)
        for p, count in ((50, 4), (10, 1))
    ]
    runs = pd.DataFrame({"dataset": "sim", "training_groups": [7.0, 8.0]})
    study = study_of(None, data_efficiency=[50, 10])
    table = compute_data_efficiency(
        study, score_table(values[100], GROUP, FOLD), pd.concat(small, ignore_index=True), runs
    )
    assert list(table.columns) == list(FRAMES["data_efficiency"])
    ours = table[(table["model"] == "m1") & (table["class"] == "1")]
    assert ours["percent"].tolist() == [10, 50, 100] and ours["training_groups"].tolist() == [
        1,
        4,
        7.5,
    ]
    np.testing.assert_allclose(ours["mean"], [values[p][1].mean() for p in level])
    np.testing.assert_allclose(
        ours["difference"], [(values[p][1] - values[p][0]).mean() for p in level]
    )


def test_a_study_that_asks_for_no_shift_has_the_five_tables_without_rows(
    tmp_path, score_table, random
):
    study, scores = study_of(tmp_path), score_table(random.uniform(size=(3, 16, 2)), GROUP, FOLD)
    tables = compute_shift(
        study, scores, compute_runs(study.layout, study.runs(), scores), read_shift_scores(study)
    )
    assert {name: list(frame.columns) for name, frame in tables.items()} == {
        "transfer": list(FRAMES["transfer"]),
        "held_out": list(FRAMES["held_out"]),
        "corruption_levels": list(FRAMES["corruption_levels"]),
        "corruption_slopes": list(FRAMES["corruption_slopes"]),
        "data_efficiency": list(FRAMES["data_efficiency"]),
    }
    assert all(frame.empty for frame in tables.values())


def test_what_is_asked_for_and_not_there_yet_is_named(tmp_path, score_table, random, caplog):
    study = study_of(tmp_path, corruptions=["noise"], data_efficiency=[25])
    scores = score_table(random.uniform(size=(3, 16, 2)), GROUP, FOLD)
    tables = compute_shift(
        study, scores, compute_runs(study.layout, study.runs(), scores), read_shift_scores(study)
    )
    assert all(frame.empty for frame in tables.values())
    assert (
        "corrupted.csv is missing" in caplog.text
        and "data_efficiency.csv is missing" in caplog.text
    )
    assert "transfer.csv" not in caplog.text


def test_the_tables_are_read_from_the_studys_files(tmp_path, score_table, random):
    datasets = {"datasets": ["sim", "other"], "transfer": [{"train": "sim", "test": "other"}]}
    study = study_of(tmp_path, corruptions=["noise"], data_efficiency=[25], **datasets)
    layout, values = study.layout, random.uniform(size=(6, 3, 16, 2))
    own = [score_table(values[0], GROUP, FOLD, name) for name in ("sim", "other")]
    write_csv(layout.scores, pd.concat(own))
    write_csv(layout.shift("corrupted"), corrupted(score_table, values[1:]))
    write_csv(layout.shift("transfer"), elsewhere(score_table, random.uniform(size=(3, 2, 16, 2))))
    write_csv(
        layout.shift("data_efficiency"),
        score_table(values[1], GROUP, FOLD).assign(percent=25, training_groups=2),
    )
    scores = read_scores(layout.scores)
    tables = compute_shift(
        study, scores, compute_runs(layout, study.runs(), scores), read_shift_scores(study)
    )
    assert {name: len(frame) for name, frame in tables.items()} == {
        "transfer": 3 * 2 * 3, "corruption_levels": 6 * 2 * 3, "corruption_slopes": 2 * 3,
        "data_efficiency": 2 * 2 * 3, "held_out": 0,
    }  # fmt: skip
    assert tables["transfer"][["train", "test"]].drop_duplicates().to_numpy().tolist() == [
        ["sim", "sim"], ["other", "other"], ["sim", "other"],
    ]  # fmt: skip
    assert not tables["corruption_slopes"]["slope"].isna().any()


def test_runs_without_scores_of_a_shift_are_named_with_the_step_they_lack(
    tmp_path, score_table, random
):
    study = study_of(tmp_path, corruptions=["noise"], data_efficiency=[25, 50])
    runs, layout = list(study.runs()), study.layout
    rows = score_table(random.uniform(size=(3, 16, 1)), GROUP, FOLD)
    of_first = rows[
        (rows["model"] == runs[0].model)
        & (rows["fold"] == runs[0].fold)
        & (rows["seed"] == runs[0].seed)
    ]
    write_csv(layout.shift("corrupted"), of_first.assign(corruption="noise", level=1))
    write_csv(layout.shift("data_efficiency"), of_first.assign(percent=25, training_groups=2))
    for run, files in ((runs[1], ["run.json"]), (runs[2], ["run.json", "corrupted.csv"])):
        for name in files:
            write_csv(layout.run(run) / name, rows[:0])
    frames = {
        frame["table"].iloc[0]: frame
        for frame in compute_missing_shift(study, read_shift_scores(study))
    }
    keys = ["dataset", "model", "fold", "seed", "percent"]
    lacking = {
        name: [Run(*key) for key in frame[keys].itertuples(index=False)]
        for name, frame in frames.items()
    }
    assert lacking["corrupted"] == runs[1:]
    assert lacking["data_efficiency"] == [
        run for run in study.data_efficiency_runs() if run != replace(runs[0], percent=25)
    ]
    assert frames["corrupted"]["next_step"].tolist() == [
        "score_shift",
        "gather",
        *["train"] * (len(runs) - 3),
    ]
    assert set(frames) == {"corrupted", "data_efficiency"}
