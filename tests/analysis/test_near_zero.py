"""Networks that segment nothing are never told equivalent; all others are as before."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.answer import Asked, compute_answer
from attnbench.analysis.blocks import arrange
from attnbench.analysis.effects import compute_effects
from attnbench.study.groups import AnalysisSettings

PART = AnalysisSettings(bootstrap=500)
NUMBER = 40
FOLDS = np.arange(NUMBER) % 5


def judged(table, metric="dice"):
    """The rows of `effects` (mean over classes) and `answer` of a score table."""
    blocks = arrange(table, ["sim"], ["unet", "m1"], [metric])
    effects = compute_effects(blocks, "unet", PART, {})
    answer = compute_answer(effects, blocks, "unet", [Asked("m1", {})], PART, (metric, "all"))
    return effects[effects["class"] == "all"].iloc[0], answer.iloc[0]


def scores(level, gain=0.0):
    noise = np.random.default_rng(7).normal(0, 0.001, (2, NUMBER))
    return (level + noise + np.array([[0.0], [gain]]))[..., None]


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((0.01, 0.01), "both near zero"),
        ((0.09, 0.09), "both near zero"),
        ((0.15, 0.15), "equivalent"),
        ((0.7, 0.7), "equivalent"),
        # One of them has learned something.
        ((0.095, 0.105), "better"),
        ((0.01, 0.05), "better"),
    ],
)
def test_only_networks_above_the_floor_are_equivalent(score_table, levels, verdict):
    low, high = levels
    table = score_table(scores(low, high - low), range(NUMBER), FOLDS)
    effect, answer = judged(table)
    assert effect["verdict_retrained"] == verdict
    assert answer["verdict"] == {"better": "not separated from size"}.get(verdict, verdict)
    assert effect["near_zero"] == answer["near_zero"] == (high < 0.1)
    assert effect["equivalent"] == (verdict == "equivalent")


def test_cases_without_the_class_do_not_hide_that_nothing_is_found(score_table):
    """Half of the cases lack the class: whoever predicts nothing has Dice 1 there, 0.5 on mean."""
    values = scores(0.01)
    values[:, 1::2] = 1.0
    absent = np.zeros(values.shape[:2], bool)
    absent[:, 1::2] = True
    status = np.where(absent, "both_empty", "ok")[..., None, None]
    table = score_table(values, range(NUMBER), FOLDS, status=status)
    assert table.groupby("model")["value"].mean().between(0.4, 0.6).all()
    effect, answer = judged(table)
    assert (effect["verdict_retrained"], answer["verdict"]) == ("both near zero",) * 2


@pytest.mark.parametrize("metric", ["volume_error", "lesion_fp"])
def test_a_score_that_is_best_at_zero_is_not_near_zero(score_table, metric):
    unit = "count" if metric == "lesion_fp" else "1"
    table = score_table(scores(0.01), range(NUMBER), FOLDS, metric=metric, unit=unit)
    effect, answer = judged(table, metric)
    assert not effect["near_zero"] and "both near zero" not in (
        effect["verdict_retrained"], answer["verdict"],
    )  # fmt: skip


def test_changes_of_a_score_are_near_zero_for_good_reason(score_table):
    """Slopes over levels of corruption are about -0.02 of models that segment well."""
    table = score_table(scores(-0.02), range(NUMBER), FOLDS)
    blocks = arrange(table, ["sim"], ["unet", "m1"], ["dice"])
    words = [
        compute_effects([replace(blocks[0], changes=one)], "unet", PART, {})["verdict_retrained"]
        for one in (False, True)
    ]
    assert [set(word) for word in words] == [{"both near zero"}, {"equivalent"}]


def test_nothing_but_the_word_changes(score_table):
    """The same noise far above and below the floor: every number but the level is the same."""
    low, high = (
        judged(score_table(scores(level), range(NUMBER), FOLDS))[1] for level in (0.01, 0.7)
    )
    same = ["difference", "p", "p_equivalence_holm", "retrained_low", "retrained_high", "margin"]
    pd.testing.assert_series_equal(
        low[same].astype(float), high[same].astype(float), check_names=False, rtol=1e-6
    )
