import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.blocks import arrange
from attnbench.analysis.means import compute_means
from attnbench.analysis.tables import FRAMES
from attnbench.study.groups import AnalysisSettings

PART = AnalysisSettings(bootstrap=400)
NAMES = {"sim": {"1": "organ", "2": "lesion"}}
RANDOM = np.random.default_rng(5)


def table_of(table, models=("unet", "m1")):
    return compute_means(arrange(table, ["sim"], models, ["dice", "hd95"]), PART, NAMES)


def test_the_mean_is_over_groups_of_cases_of_means_over_seeds(score_table):
    values, group = RANDOM.uniform(size=(2, 9, 3, 2)), np.array([0, 1, 2, 3, 4, 5, 5, 5, 2])
    frame = table_of(score_table(values, group)).set_index(["class", "model"])
    for model, row in (("unet", 0), ("m1", 1)):
        per_case = values[row].mean(axis=1)
        for class_, expected in (
            ("1", per_case[:, 0]),
            ("2", per_case[:, 1]),
            ("all", per_case.mean(axis=1)),
        ):
            found = frame.loc[(class_, model)]
            by_group = [expected[group == g].mean() for g in range(6)]
            assert found["mean"] == pytest.approx(np.mean(by_group))
            assert found["median"] == pytest.approx(np.median(expected))
            assert found["sd"] == pytest.approx(expected.std(ddof=1))
    assert frame.loc[("2", "m1"), "class_name"] == "lesion"
    assert frame.loc[("all", "m1"), "class_name"] == "mean over classes"


def test_undefined_scores_are_left_out_and_counted(score_table):
    values = RANDOM.uniform(size=(1, 8, 2, 2))
    status = np.full(values.shape, "ok", dtype=object)
    values[0, 2, :, 1], status[0, 2, :, 1] = np.nan, "prediction_empty"
    values[0, 3, 0, 0], status[0, 3, 0, 0] = np.nan, "reference_empty"
    status[0, 4, 1, 1] = "both_empty"
    table = score_table(values, range(8), metric="hd95", unit="mm", status=status)
    frame = table_of(table, ["unet"]).set_index("class")
    second = np.delete(values[0, :, :, 1].mean(axis=1), 2)
    assert frame.loc["2", "mean"] == pytest.approx(second.mean())
    assert frame.loc[
        "2", ["cases", "groups", "undefined", "prediction_empty", "both_empty"]
    ].tolist() == [
        7,
        7,
        2,
        2,
        1,
    ]
    assert frame.loc["1", ["cases", "undefined", "reference_empty"]].tolist() == [8, 1, 1]
    assert frame.loc["all", ["cases", "undefined", "both_empty"]].tolist() == [8, 3, 1]
    mean_of_case_2 = values[0, 2, :, 0].mean()
    assert frame.loc["all", "mean"] == pytest.approx(
        np.mean(
            [
                mean_of_case_2 if c == 2 else np.nanmean(np.nanmean(values[0, c], axis=1))
                for c in range(8)
            ]
        )
    )
    assert (frame["unit"] == "mm").all()


def test_a_model_that_never_predicts_anything_has_a_row_without_a_mean(score_table):
    table = score_table(
        np.full((1, 6, 1), np.nan), range(6), metric="hd95", status=["prediction_empty"] * 6
    )
    row = table_of(table, ["unet"]).iloc[0]
    assert row[["mean", "low", "high", "median", "sd"]].isna().all()
    assert row[["cases", "groups", "folds", "seeds", "undefined", "prediction_empty"]].tolist() == [
        0,
        0,
        0,
        0,
        6,
        6,
    ]


@pytest.mark.parametrize(("cases", "groups"), [(1, 1), (6, 1), (4, 4)])
def test_too_few_groups_give_a_mean_without_an_interval(score_table, cases, groups):
    frame = table_of(score_table(RANDOM.uniform(size=(2, cases, 1)), np.arange(cases) % groups))
    assert frame["mean"].notna().all() and frame["low"].isna().all() and frame["high"].isna().all()
    assert (frame["groups"] == groups).all()


def test_a_model_without_any_score_has_no_row(score_table):
    table = score_table(RANDOM.uniform(size=(2, 6, 1)), range(6))
    other = score_table(RANDOM.uniform(size=(1, 6, 1)), range(6), metric="hd95")
    frame = table_of(pd.concat([table, other]))
    assert set(frame.loc[frame["metric"] == "hd95", "model"]) == {"unet"}


def test_no_scores_give_an_empty_table_with_its_columns(score_table):
    assert list(compute_means([], PART, {}).columns) == list(FRAMES["means"])
    assert list(table_of(score_table(np.ones((1, 1, 1)), "a")).columns) == list(FRAMES["means"])
