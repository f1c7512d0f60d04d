"""Verdicts are made in one place: the same rule in every frame, and nowhere else."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.blocks import arrange
from attnbench.analysis.difficulty import compute_difficulty
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.rank_tests import compute_rank_pairs
from attnbench.analysis.ranks import rankings
from attnbench.analysis.shift import (
    compute_corruption_slopes,
    compute_data_efficiency,
    compute_transfer,
)
from attnbench.analysis.verdicts import first_reason, judge
from attnbench.study.groups import AnalysisSettings
from attnbench.study.settings import Study

REPORTING = Path(__file__).parents[2] / "src" / "attnbench" / "reporting"
GROUPS = np.arange(16)


def test_a_p_exactly_at_the_level_is_significant_and_no_p_is_not():
    frame = judge(
        pd.Series([0.1, -0.1, 0.1, 0.1, 0.0]), pd.Series([0.05, 0.05, 0.0501, np.nan, 0.0]), 0.05
    )
    assert frame["significant"].tolist() == [True, True, False, False, True]
    assert frame["verdict"].tolist() == ["better", "worse", "undecided", "undefined", "undecided"]


def test_a_reason_stands_in_place_of_every_verdict():
    reasons = np.array(["too few groups", "", "failures differ"], dtype=object)
    frame = judge(pd.Series([0.1, 0.1, 0.1]), pd.Series([0.01, 0.01, np.nan]), 0.05, True, reasons)
    assert frame["verdict"].tolist() == ["too few groups", "better", "failures differ"]
    assert frame["significant"].tolist() == [False, True, False]


def test_the_first_reason_is_said():
    both, second = np.array([True, False, False]), np.array([True, True, False])
    assert first_reason({"one": both, "two": second}, 3).tolist() == ["one", "two", ""]


def test_negligible_is_said_only_where_the_difference_is_not_significant():
    frame = judge(
        pd.Series([0.1, 0.1, 0.1]), pd.Series([0.01, 0.5, np.nan]), 0.05, pd.Series([True] * 3)
    )
    assert frame["verdict"].tolist() == ["better", "equivalent", "undefined"]


def frames_of(score_table, metric, level):
    """Every frame of comparisons of a model with larger values than the baseline, at a level."""
    random = np.random.default_rng(7)
    noise = random.normal(0, 0.001, (2, 16, 1))
    larger = np.array([0.0, 0.1]).reshape(2, 1, 1)
    hard = np.linspace(0, 1, 16).reshape(1, 16, 1)
    values = 0.5 + noise + larger * (1 + hard)
    study = Study(
        name="s", datasets=["sim", "other"], models=["unet", {"name": "m1", "slots": {}}],
        metrics=[metric], corruptions=["noise"], data_efficiency=[50],
        transfer=[{"train": "sim", "test": "other"}],
        analysis={"bootstrap": 200, "confidence": 1 - level},
    )  # fmt: skip
    scores = score_table(values, GROUPS, metric=metric)
    steps = [
        score_table(values + 0.1 * larger * n, GROUPS, metric=metric).assign(
            corruption="noise", level=n
        )
        for n in range(1, 6)
    ]
    runs = pd.DataFrame({"dataset": ["sim"], "training_groups": [8]})
    small = scores.assign(percent=50, training_groups=4)
    settings = AnalysisSettings(bootstrap=200, confidence=1 - level)
    blocks = arrange(scores, ["sim"], ["unet", "m1"], [metric])
    cases = sorted(set(scores["case"]))
    measures = {"sim": pd.DataFrame({"measured_size": hard.ravel()}, index=cases)}
    frames = {
        "effects": compute_effects(blocks, "unet", settings, {}),
        "difficulty": compute_difficulty(blocks, "unet", settings, measures),
        "transfer": compute_transfer(study, scores, scores.assign(test="other")),
        "corruption_slopes": compute_corruption_slopes(study, scores, pd.concat(steps)),
        "data_efficiency": compute_data_efficiency(study, scores, small, runs),
    }
    return {name: frame[frame["model"] == "m1"] for name, frame in frames.items()}


@pytest.mark.parametrize(
    ("metric", "sign", "verdict"), [("dice", 1, "better"), ("hd", -1, "worse")]
)
def test_benefit_and_verdict_follow_the_metrics_direction(score_table, metric, sign, verdict):
    frames = frames_of(score_table, metric, 0.05)
    if metric == "hd":
        # A distance has no logit: of its slope on difficulty nothing is claimed.
        assert set(frames.pop("difficulty")["verdict"]) == {"one scale"}
    for name, frame in frames.items():
        assert len(frame) and (np.sign(frame["benefit"]) == sign).all(), name
        assert frame["significant"].all() and set(frame["verdict"]) == {verdict}, name
        estimate = frame.get("difference", sign * frame["benefit"])
        np.testing.assert_array_equal(frame["benefit"], sign * estimate)


def test_a_p_at_the_level_is_significant_in_every_frame(score_table):
    for name, frame in frames_of(score_table, "dice", 0.05).items():
        level = float(frame["p_holm"].max())
        again = judge(frame["benefit"], frame["p_holm"], level)
        assert again["significant"].all() and set(again["verdict"]) == {"better"}, name
        assert not judge(frame["benefit"], frame["p_holm"], level - 1e-12)["significant"].all()


def test_the_baselines_own_rows_claim_nothing(score_table):
    scores = score_table(np.random.default_rng(1).uniform(size=(2, 16, 1)), GROUPS)
    study = Study(
        name="s", datasets=["sim", "other"], models=["unet", {"name": "m1", "slots": {}}],
        metrics=["dice"], transfer=[{"train": "sim", "test": "other"}],
        analysis={"bootstrap": 200},
    )  # fmt: skip
    frame = compute_transfer(study, scores, scores.assign(test="other"))
    own = frame[frame["model"] == "unet"]
    assert own["significant"].dtype == bool and not own["significant"].any()
    assert own["benefit"].isna().all() and set(own["verdict"]) == {"undefined"}


def test_pairs_of_ranks_are_judged_by_the_same_rule(score_table):
    values = np.arange(3.0)[:, None, None] + np.random.default_rng(2).normal(0, 1, (3, 16, 1))
    blocks = arrange(score_table(values, GROUPS), ["sim"], ["unet", "m1", "m2"], ["dice"])
    level = float(compute_rank_pairs(rankings(blocks), 0.05)["p"].median())
    pairs = compute_rank_pairs(rankings(blocks), level)
    assert pairs["significant"].tolist() == (pairs["p"] <= level).tolist()
    assert 0 < pairs["significant"].sum() < len(pairs)


def judgements(path: Path) -> list[str]:
    """Comparisons of a column p with anything, and signs by a metric's direction."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    compared = (
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        and any(
            isinstance(part, ast.Constant | ast.Name | ast.Attribute)
            and str(getattr(part, "value", getattr(part, "id", getattr(part, "attr", ""))))
            in ("p", "p_holm", "p_retrained_holm", "p_f", "level")
            for part in ast.walk(node)
        )
    )
    turned = (
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.IfExp)
        and "higher_is_better" in ast.unparse(node.test)
        and {ast.unparse(node.body), ast.unparse(node.orelse)} <= {"1", "-1", "1.0", "-1.0"}
    )
    return [f"{path.name}: {text}" for text in (*compared, *turned)]


def test_reporting_judges_nothing():
    wrong = [text for path in sorted(REPORTING.rglob("*.py")) for text in judgements(path)]
    assert wrong == []
