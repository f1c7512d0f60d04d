"""Runs that diverged: no value, no verdict but their own, and nobody flattered by the others."""

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.answer import Asked, compute_answer
from attnbench.analysis.blocks import arrange, diverged_models, without
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.means import compute_means
from attnbench.analysis.shift import case_slopes
from attnbench.study.groups import AnalysisSettings

SETTINGS = AnalysisSettings(bootstrap=500)
GROUPS, FOLDS, SEEDS = 40, 5, 3
MODELS = ("unet", "cbam", "cbam-parameters", "cbam-flops")
CONTROLS = {"parameters": "cbam-parameters", "flops": "cbam-flops"}
NUMBERS = [
    "difference", "low", "high", "benefit", "p", "p_holm", "p_retrained", "retrained_low",
    "retrained_high", "probability_better", "superiority", "dz",
]  # fmt: skip
PAIRS = [("cbam", name) for name in CONTROLS.values()]


def scores(lost=()):
    """Rows in which cbam is better than all others by far, without a value in runs of `lost`."""
    random = np.random.default_rng(3)
    own = random.normal(0.7, 0.05, GROUPS)
    rows = []
    for model in MODELS:
        for seed in range(SEEDS):
            for group in range(GROUPS):
                fold = group % FOLDS
                gone = (model, fold, seed) in lost
                value = own[group] + 0.08 * (model == "cbam") + random.normal(0, 0.004)
                rows.append(
                    {"dataset": "sim", "model": model, "fold": fold, "seed": seed,
                     "case": f"c{group}", "group": f"g{group}", "class": 1, "metric": "dice",
                     "value": np.nan if gone else value, "unit": "1",
                     "status": "diverged" if gone else "ok"}
                )  # fmt: skip
    return pd.DataFrame(rows)


def judged(lost=()):
    blocks = arrange(scores(lost), ["sim"], MODELS, ["dice"])
    effects = compute_effects(blocks, "unet", SETTINGS, {}, PAIRS)
    answer = compute_answer(
        effects, blocks, "unet", [Asked("cbam", CONTROLS)], SETTINGS, ("dice", "all")
    )
    return blocks, effects[effects["class"] == "all"].set_index(["model", "baseline"]), answer


def test_without_a_diverged_run_it_helps():
    _, _, answer = judged()
    assert answer["verdict"].tolist() == ["helps"]


# One training of fifteen is enough, of the variant or of the baseline, or of both alike.
@pytest.mark.parametrize(
    "lost", [[("cbam", 2, 1)], [("unet", 0, 0)], [("unet", 3, 2), ("cbam", 3, 2)]]
)
def test_a_model_whose_run_diverged_does_not_help_by_its_other_runs(lost):
    _, effects, answer = judged(lost)
    row = effects.loc[("cbam", "unet")]
    assert row["verdict"] == row["verdict_retrained"] == "runs diverged"
    assert row[NUMBERS].isna().all() and not row["significant"] and not row["equivalent"]
    assert answer["verdict"].tolist() == answer["verdict_trained"].tolist() == ["runs diverged"]


def test_other_models_are_judged_as_if_it_were_not_there():
    _, effects, _ = judged([("cbam", 2, 1)])
    alone = scores()
    blocks = arrange(alone[alone["model"] != "cbam"], ["sim"], MODELS, ["dice"])
    expected = compute_effects(blocks, "unet", SETTINGS, {})
    expected = expected[expected["class"] == "all"].set_index(["model", "baseline"])
    for key in (("cbam-parameters", "unet"), ("cbam-flops", "unet")):
        for name in ("difference", "low", "high", "p", "p_holm", "family_size", "verdict"):
            assert effects.loc[key, name] == expected.loc[key, name], name


def test_a_control_whose_run_diverged_rules_nothing_out():
    _, effects, answer = judged([("cbam-flops", 1, 0)])
    assert effects.loc[("cbam", "unet"), "verdict"] == "better"
    assert effects.loc[("cbam", "cbam-flops"), "verdict"] == "runs diverged"
    assert answer["verdict"].tolist() == ["not separated from size"]


def test_means_are_of_the_other_runs_and_count_what_they_lack():
    lost = [("cbam", 2, 1), ("cbam", 2, 2)]
    blocks, _, _ = judged(lost)
    means = compute_means(blocks, SETTINGS, {})
    row = means[(means["model"] == "cbam") & (means["class"] == "1")].iloc[0]
    own = scores(lost)
    own = own[own["model"] == "cbam"]
    by_group = own.groupby("group")["value"].mean()
    assert row["mean"] == pytest.approx(by_group.mean())
    # Eight groups in the fold, two seeds; no failure of a mask is counted for it.
    assert row["diverged"] == 16 and row["undefined"] == 0 and row["prediction_empty"] == 0


def test_it_takes_no_part_where_models_are_ranked():
    blocks, _, _ = judged([("cbam", 2, 1)])
    lost = [diverged_models(block) for block in blocks]
    assert lost == [{"cbam"}]
    assert [block.models for block in without(blocks, lost)] == [
        ("unet", "cbam-parameters", "cbam-flops")
    ]
    assert without(blocks, [set(MODELS)]) == []


def test_a_slope_over_corruptions_keeps_the_status():
    own = scores([("cbam", 2, 1)])
    levels = pd.concat([own.assign(level=level) for level in range(1, 6)])
    slopes = case_slopes(own, levels)
    gone = (slopes["model"] == "cbam") & (slopes["fold"] == 2) & (slopes["seed"] == 1)
    assert set(slopes.loc[gone, "status"]) == {"diverged"} and gone.sum() == 8
    assert set(slopes.loc[~gone, "status"]) == {"ok"}
