"""Whole studies at the edges: real masks are scored and analysed, and every number that is not
there is accounted for.

`python tests/analysis/test_edge_cases.py` writes docs/edge-cases.md from what comes out.
"""

import warnings
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.across import compute_across
from attnbench.analysis.best import compute_best, compute_pairs
from attnbench.analysis.blocks import arrange
from attnbench.analysis.difficulty import compute_difficulty, compute_difficulty_strata
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.means import compute_means
from attnbench.analysis.rank_tests import compute_agreement, compute_rank_pairs, compute_rank_tests
from attnbench.analysis.ranks import compute_ranks, rankings
from attnbench.analysis.resample import MIN_GROUPS
from attnbench.errors import DataError
from attnbench.scoring.calibration import calibration_rows
from attnbench.scoring.case import score_case, score_masks
from attnbench.scoring.definitions import MASK_METRICS, METRICS
from attnbench.study.groups import AnalysisSettings

PAGE = Path(__file__).parents[2] / "docs" / "edge-cases.md"
PART = AnalysisSettings(bootstrap=200)
MODELS, SEEDS, GROUPS, CASES = ("unet", "m1", "m2"), (0, 1), 7, 14
MASKS = ("ok", "both_empty", "prediction_empty", "reference_empty")
STUDIES = (
    "as usual", "a class absent from a fold", "one group only", "one case only", "all models equal",
    "all models empty", "probabilities are NaN",
)  # fmt: skip
SHOWN = ("dice", "hd95", "hd95_penalised", "volume_error", "ece")
"""One metric for each rule of empty masks."""


def square(corner, side, number=1):
    mask = np.zeros((12, 12), np.uint8)
    mask[corner : corner + side, corner : corner + side] = number
    return mask


def masks(model, case, seed, what, kind):
    """Prediction and reference of one case: class 1 in a corner, class 2 in the other; `what`
    befalls class 1 of m1.
    """
    about = ("m1" in (model, what)) or kind == "all models equal"
    struck = about and what != "ok" and case % 2 == 0
    reference_empty = what in ("both_empty", "reference_empty") and case % 2 == 0
    model = "m1" if kind == "all models equal" else model
    side = 4 + (case + seed * MODELS.index(model)) % 2 - (model == "m2")
    prediction, reference = square(1, side) + square(8, 3, 2), square(1, 4) + square(8, 3, 2)
    if reference_empty:
        reference[reference == 1] = 0
    if struck and what in ("both_empty", "prediction_empty"):
        prediction[prediction == 1] = 0
    if kind == "a class absent from a fold" and case < CASES // 2:
        reference[reference == 2] = 0
    if kind == "all models empty":
        prediction[:] = 0
    return prediction, reference


def bins_of(prediction, reference, broken):
    """Two bins for each class: 0.9 where it was predicted, 0.1 elsewhere."""
    for number, (place, inside) in product((1, 2), enumerate((False, True))):
        voxels = (prediction == number) == inside
        if voxels.any():
            probability = np.nan if broken else 0.1 + 0.8 * inside
            observed = (reference[voxels] == number).mean()
            yield {
                "class": number,
                "bin": place,
                "voxels": voxels.sum(),
                "probability": probability,
                "observed": observed,
            }


@cache
def scored(*content):
    """Score rows of two masks given as bytes: the same few come again and again."""
    prediction, reference = (np.frombuffer(mask, np.uint8).reshape(12, 12) for mask in content[:2])
    bins = pd.DataFrame(bins_of(prediction, reference, content[2]))
    rows = score_masks(prediction, reference, (1.0, 1.0), "mm", (1, 2), MASK_METRICS)
    return [*rows, *calibration_rows(bins, prediction, reference, (1, 2))]


@cache
def scores_of(what, kind):
    """The rows of `scores.csv` of a study of 14 cases in 7 groups."""
    rows = []
    cases = range(1 if kind == "one case only" else CASES)
    for model, case, seed in product(MODELS, cases, SEEDS):
        prediction, reference = masks(model, case, seed, what, kind)
        broken = kind == "probabilities are NaN" and model == "m1" and case % 3 == 0
        found = scored(prediction.tobytes(), reference.tobytes(), broken)
        group = 0 if kind == "one group only" else case % GROUPS
        origin = {"dataset": "sim", "model": model, "fold": int(case >= CASES // 2), "seed": seed}
        rows += [
            {**origin, "case": f"case{case:02d}", "group": f"group{group}", **row} for row in found
        ]
    return pd.DataFrame(rows)


def analysed(scores):
    """Every table of the analysis that rests on scores."""
    blocks = arrange(scores, ["sim"], MODELS, list(METRICS))
    sizes = pd.DataFrame(
        {"measured_size": np.arange(CASES) % 5.0},
        index=[f"case{case:02d}" for case in range(CASES)],
    )
    measures = {"sim": sizes}
    ranked, averages = rankings(blocks), compute_means(blocks, PART, {})
    return {
        "means": averages,
        "effects": compute_effects(blocks, "unet", PART, {}),
        "across": compute_across(
            arrange(scores, ["sim"], MODELS[:2], SHOWN[:2]), "unet", PART, SHOWN[0]
        ),
        "best": compute_best(blocks, averages, PART),
        "pairs": compute_pairs(blocks, PART),
        "ranks": compute_ranks(blocks, ranked, PART),
        "rank_tests": compute_rank_tests(ranked, 0.05),
        "rank_pairs": compute_rank_pairs(ranked, 0.05),
        "agreement": compute_agreement(averages[averages["metric"].isin(SHOWN)]),
        "difficulty": compute_difficulty(blocks, "unet", PART, measures),
        "difficulty_strata": compute_difficulty_strata(blocks, "unet", PART, measures),
    }


every_study = pytest.mark.parametrize(("what", "kind"), list(product(MASKS, STUDIES)))


@every_study
def test_a_score_without_a_value_says_why_and_none_is_infinite(what, kind):
    scores = scores_of(what, kind)
    assert set(scores["metric"]) == set(METRICS)
    assert not np.isinf(scores["value"]).any()
    assert (scores.loc[scores["value"].isna(), "status"] != "ok").all()


@every_study
def test_every_empty_cell_of_the_analysis_is_accounted_for(what, kind):
    scores = scores_of(what, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        tables = analysed(scores)
    mean, effect = tables["means"], tables["effects"]
    rows = scores[scores["value"].isna()].groupby(["metric", "model"]).size()
    whole = mean[mean["class"] == "all"].set_index(["metric", "model"])["undefined"]
    assert whole[whole > 0].sort_index().to_dict() == rows.to_dict()
    for frame, estimate in ((mean, "mean"), (effect, "difference")):
        assert len(frame) == len(METRICS) * 3 * (3 if frame is mean else 2)
        assert not np.isinf(frame[[estimate, "low", "high"]]).any(axis=None)
        assert (frame[estimate].isna() == (frame["cases"] == 0)).all()
        for side in ("low", "high"):
            assert (frame[side].isna() == (frame["groups"] < MIN_GROUPS)).all()
    assert (mean["sd"].isna() == (mean["cases"] < 2)).all()
    assert (mean.loc[mean["cases"] == 0, "undefined"] > 0).all()
    apart = effect["verdict"] == "failures differ"
    assert (effect["p"].isna() == ((effect["cases"] == 0) | apart)).all()
    assert ((effect["verdict"] == "undefined") == ((effect["cases"] == 0) & ~apart)).all()
    assert (effect.loc[effect["cases"] == 0, "dropped"] > 0).all()
    assert (effect.loc[apart, "lost_rows"] > 0).all()
    # Two folds claim nothing of models trained again.
    assert effect["p_retrained"].isna().all()
    assert not effect["verdict_retrained"].isin(["better", "worse", "equivalent"]).any()
    best = tables["best"]
    assert ((best["best"] == "") <= best["as_good"].isna()).all()
    silent = tables["across"][tables["across"]["low"].isna()]
    assert (silent["note"].fillna("") != "").all()
    slopes = tables["difficulty"]
    assert (slopes["slope"].notna() | (slopes["cases"] < 2)).all() or kind == "one case only"


@pytest.mark.parametrize("what", MASKS)
def test_models_that_are_equal_differ_by_exactly_nothing(what):
    effect = analysed(scores_of(what, "all models equal"))["effects"]
    defined = effect[effect["cases"] > 0]
    assert (defined["difference"] == 0).all() and (defined["p"] == 1).all()
    assert (defined.loc[defined["groups"] >= MIN_GROUPS, ["low", "high"]] == 0).all(axis=None)
    assert not set(effect["verdict"]) & {"better", "worse"}


@pytest.mark.parametrize("metric", MASK_METRICS)
def test_masks_of_other_shapes_are_refused_for_every_metric(metric):
    with pytest.raises(
        DataError, match=r"prediction has shape \(12, 11\), the reference \(12, 12\)"
    ):
        score_masks(square(1, 4)[:, 1:], square(1, 4), (1.0, 1.0), "mm", (1,), [metric])


def test_probabilities_in_place_of_masks_are_refused():
    with pytest.raises(DataError, match="holds float64 values; a mask holds integers"):
        score_case(np.full((4, 4), np.nan), np.ones((4, 4), np.uint8))


def test_the_page_is_what_comes_out():
    assert PAGE.read_text(encoding="utf-8") == page()


def page():
    """docs/edge-cases.md."""
    lines = [
        "# What comes out at the edges",
        "",
        "Written by `python tests/analysis/test_edge_cases.py`; the tests of that file run every "
        "metric through the",
        "whole analysis and fail where a number is missing without a count, a status or a verdict "
        "that says so.",
        "",
        "## One case: the four states of the masks, and what is refused",
        "| metric | " + " | ".join(MASKS) + " |",
        "|---" * (len(MASKS) + 1) + "|",
    ]
    for metric in METRICS:
        cells = []
        for what in MASKS:
            scores = scores_of(what, "as usual")
            one = scores[
                (scores["model"] == "m1") & (scores["case"] == "case00") & (scores["seed"] == 0)
            ]
            row = one[(one["class"] == 1) & (one["metric"] == metric)].iloc[0]
            assert row["status"] == what
            cells.append(number(row["value"]))
        lines.append(f"| {metric} | {' | '.join(cells)} |")
    lines += [
        "",
        "`-`: no value; the row's `status` is the column's heading. Masks of 12 x 12 mm, squares "
        "of 4 x 4.",
        "",
        "| input | result |",
        "|---|---|",
        *(f"| {words} | {refusal(*arrays)} |" for words, arrays in REFUSED.items()),
        "| training with a loss that is not finite | stops with an error; the run stands in "
        "`missing.csv` |",
        "| a trained network that answers NaN | background there; `ece` has no value, its status "
        "is `not_a_number` |",
        "",
        f"## One study: 3 models, {CASES} cases of {GROUPS} groups, 2 folds, 2 seeds",
        "Class 1 is struck in every second case, its prediction in model m1 only. A cell is about "
        "m1, all classes:",
        "mean (score rows without a value); difference from `unet`, p over groups, verdict. `-`: "
        "no case or no pair",
        "has a value (the verdict is `undefined`), or the models failed on different cases "
        "(`failures differ`), which is",
        "no comparison. Below five groups there is no interval, and with so few that none could "
        "pass the verdict is",
        "`too few groups`.",
        "",
        "| study | masks | " + " | ".join(SHOWN) + " |",
        "|---" * (len(SHOWN) + 2) + "|",
    ]
    for kind, what in product(STUDIES, MASKS):
        blocks = arrange(scores_of(what, kind), ["sim"], MODELS, SHOWN)
        frames = compute_means(blocks, PART, {}), compute_effects(blocks, "unet", PART, {})
        cells = [cell(*frames, metric) for metric in SHOWN]
        lines.append(f"| {kind} | {what} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


REFUSED = {
    "masks of two shapes": (np.zeros((12, 11), int), np.zeros((12, 12), int)),
    "probabilities (NaN or not) in place of a mask": (
        np.full((4, 4), np.nan),
        np.zeros((4, 4), int),
    ),
}


def refusal(prediction, reference):
    try:
        score_case(prediction, reference)
    except DataError as error:
        return f"refused: {error}"
    raise AssertionError("not refused")


def cell(averages, differences, metric):
    about = f"`class` == 'all' and metric == '{metric}' and model == 'm1'"
    mean, effect = averages.query(about).iloc[0], differences.query(about).iloc[0]
    undefined = f" ({mean['undefined']})" if mean["undefined"] else ""
    compared = f"{number(effect['difference'])}, {number(effect['p'])}, {effect['verdict']}"
    return f"{number(mean['mean'])}{undefined}; {compared}"


def number(value):
    return "-" if np.isnan(value) else f"{value:.3g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
