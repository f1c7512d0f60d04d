"""What the statistics claim where a split is given: nothing of other trainings from one training
set, nothing at all where groups cross it.
"""

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.answer import Asked, compute_answer, never_helps
from attnbench.analysis.blocks import arrange
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.planning import Question, never_planned, plan_study
from attnbench.check import check_study
from attnbench.errors import StudyError
from attnbench.study.groups import AnalysisSettings
from attnbench.study.split import Split

PART = AnalysisSettings(bootstrap=500)
GROUPS = 20
FIXED = Split("official", 1)
CROSSING = Split("file", 5, crossing=True)
DRAWN = Split("cross_validation", 5)


@pytest.fixture
def compared(score_table):
    """A function: split by dataset to effects and answer of a gain that nobody could miss."""

    def build(splits, seeds=1):
        random = np.random.default_rng(3)
        tables = []
        for dataset, split in splits.items():
            own = random.normal(0.6, 0.05, (1, GROUPS, seeds))
            gain = np.array([0, 0.1])[:, None, None] + random.normal(0, 0.01, (2, GROUPS, seeds))
            folds = np.arange(GROUPS) % split.outer
            tables.append(score_table(own + gain, range(GROUPS), folds, dataset))
        blocks = arrange(pd.concat(tables), list(splits), ["unet", "m1"], ["dice"], splits)
        effects = compute_effects(blocks, "unet", PART, {})
        asked = [Asked("m1", {})]
        answer = compute_answer(effects, blocks, "unet", asked, PART, ("dice", "all"))
        return effects, answer

    return build


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_fixed_split_says_nothing_of_other_trainings_however_many_seeds(compared, seeds):
    effects, answer = compared({"set": FIXED}, seeds)
    assert effects["verdict"].eq("better").all()
    assert effects["verdict_retrained"].eq("one fixed split").all()
    assert not effects["significant_retrained"].any()
    told = ["p_retrained", "p_retrained_holm", "retrained_low", "probability_better"]
    assert effects[told].isna().all(axis=None)
    assert answer["verdict"].tolist() == ["one fixed split"]
    assert answer["verdict_trained"].tolist() == ["better"]


def test_the_same_scores_in_five_drawn_folds_are_told(compared):
    effects, answer = compared({"set": DRAWN})
    assert effects["verdict_retrained"].eq("better").all()
    # Without a control of equal size a gain is no more than that.
    assert answer["verdict"].tolist() == ["not separated from size"]


def test_where_groups_cross_no_row_has_a_p_or_a_verdict(compared):
    effects, answer = compared({"set": CROSSING})
    for frame in (effects, answer):
        tests = [name for name in frame if name.startswith(("p_", "probability_")) or name == "p"]
        assert len(tests) > 5 and frame[tests].isna().all(axis=None)
        verdicts = [name for name in frame if name.startswith("verdict")]
        assert set(frame[verdicts].to_numpy().ravel()) == {"groups cross"}
    assert not effects[["significant", "significant_retrained"]].any(axis=None)
    assert effects["difference"].to_numpy() == pytest.approx(0.1, abs=0.02)


def test_sets_without_verdict_take_nothing_from_the_level_of_others(compared):
    alone = compared({"set": DRAWN})[0]
    both = compared({"set": DRAWN, "crossing": CROSSING})[0]
    pd.testing.assert_frame_equal(
        both.loc[both["dataset"] == "set", ["p_holm", "p_retrained_holm", "family_size"]],
        alone[["p_holm", "p_retrained_holm", "family_size"]],
    )


def planned(datasets):
    content = {"name": "s", "models": ["unet", "cbam"], "folds": {"outer": 5}}
    return check_study({**content, "datasets": datasets})


def test_a_plan_leaves_out_what_no_design_could_decide():
    study = planned(
        [
            {"name": "retina_drive", "split": "official"},
            {"name": "us_usgra", "split": "official", "accept_crossing_groups": True},
            {"name": "retina_chase", "split": "leave_one_group_out"},
            {"name": "nuclei_dsb2018", "held_out": 0.25},
        ]
    )
    plans = {plan.dataset: plan for plan in plan_study(study, Question())}
    assert set(plans) == {"retina_chase", "nuclei_dsb2018"}
    # Given folds stay as they are; drawn ones may be more or fewer.
    given = {(one.design.folds, one.design.repeats) for one in plans["retina_chase"].options}
    assert given == {(14, 1)}
    drawn = {one.design.folds for one in plans["nuclei_dsb2018"].options}
    assert len(drawn) > 1
    # Three quarters of 208 groups are in folds.
    assert plans["nuclei_dsb2018"].design.groups == 156
    assert dict(never_planned(study)) == {
        "retina_drive": "one fixed split", "us_usgra": "groups cross",
    }  # fmt: skip


def test_a_study_of_fixed_splits_alone_has_nothing_to_plan_and_never_helps():
    study = planned([{"name": "retina_drive", "split": "official"}])
    with pytest.raises(StudyError, match="nothing to plan: retina_drive: one fixed split"):
        plan_study(study, Question())
    assert any("one fixed split" in reason for reason in never_helps(study))
