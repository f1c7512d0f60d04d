"""Rows of one case: empty masks, units, regions, and refusals that say what is wrong."""

import math
import re

import numpy as np
import pytest

from attnbench.errors import DataError
from attnbench.scoring.case import score_case, score_masks
from attnbench.scoring.definitions import MASK_METRICS, METRICS
from attnbench.scoring.metrics import COMPUTE

EMPTY = np.zeros((6, 5), np.uint8)
BLOCK = EMPTY.copy()
BLOCK[1:4, 1:3] = 1


def _values(rows, metric):
    return [row["value"] for row in rows if row["metric"] == metric]


def test_every_defined_metric_is_computed_and_no_other():
    assert list(MASK_METRICS) == list(COMPUTE)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("metric", MASK_METRICS)
@pytest.mark.parametrize("status", ["both_empty", "prediction_empty", "reference_empty"])
def test_empty_masks_have_the_stated_value_and_status(metric, status, ndim):
    block = BLOCK if ndim == 2 else np.stack([BLOCK] * 3)
    prediction = block if status == "reference_empty" else block * 0
    reference = block if status == "prediction_empty" else block * 0
    (row,) = score_masks(prediction, reference, (1.0,) * ndim, "mm", [1], [metric])
    assert row["status"] == status
    stated = getattr(METRICS[metric], status)
    diagonal = math.sqrt(6**2 + 5**2 + (3**2 if ndim == 3 else 0))
    values = {"diagonal": diagonal, "computed": 1}  # the block is one lesion
    np.testing.assert_equal(row["value"], values.get(stated, stated))


def test_a_failed_prediction_is_never_the_best_score():
    perfect = {row["metric"]: row["value"] for row in score_case(BLOCK, BLOCK, classes=[1])}
    missed, invented = score_case(EMPTY, BLOCK, classes=[1]), score_case(BLOCK, EMPTY, classes=[1])
    for row in (*missed, *invented):
        # Inventions alone are counted by it: who predicts nothing invents nothing.
        if (row["metric"], row["status"]) != ("lesion_fp", "prediction_empty"):
            assert math.isnan(row["value"]) or row["value"] != perfect[row["metric"]], row


def test_both_empty_is_as_good_as_perfect():
    perfect, empty = score_case(BLOCK, BLOCK, classes=[1]), score_case(EMPTY, EMPTY, classes=[1])
    assert [row["value"] for row in empty] == [row["value"] for row in perfect]


def test_rows_are_by_class_then_metric_with_the_unit_named():
    rows = score_case(BLOCK * 2, BLOCK, spacing_mm=(2.0, 0.5))
    assert [row["class"] for row in rows] == [1] * len(MASK_METRICS) + [2] * len(MASK_METRICS)
    assert [row["metric"] for row in rows] == [*MASK_METRICS] * 2
    assert {row["unit"] for row in rows if METRICS[row["metric"]].unit == "distance"} == {"mm"}
    assert {row["unit"] for row in score_case(BLOCK, BLOCK)} == {"1", "count", "px"}
    assert {row["status"] for row in rows} == {"prediction_empty", "reference_empty"}


def test_distances_use_the_spacing_of_their_axis():
    moved = np.roll(BLOCK, 1, axis=0)
    assert _values(score_case(moved, BLOCK, spacing_mm=(2.5, 10), classes=[1]), "hd") == [2.5]
    assert _values(score_case(moved, BLOCK, classes=[1]), "hd") == [1.0]


def test_penalty_exceeds_every_distance_that_the_image_allows():
    corners = EMPTY.copy(), EMPTY.copy()
    corners[0][0, 0] = corners[1][-1, -1] = 1
    for metric in ("hd", "hd95", "assd"):
        (worst,) = _values(score_case(*corners, (2.0, 0.5), [1]), f"{metric}_penalised")
        assert [worst] == _values(score_case(*corners, (2.0, 0.5), [1]), metric)
        for failed in (
            score_case(EMPTY, BLOCK, (2.0, 0.5), [1]),
            score_case(BLOCK, EMPTY, (2.0, 0.5), [1]),
        ):
            assert _values(failed, f"{metric}_penalised") == [math.hypot(12, 2.5)] > [worst]


def test_region_makes_everything_outside_background():
    prediction, region = BLOCK.copy(), np.ones(BLOCK.shape, np.uint8)
    prediction[5, 4] = 1
    region[5, 4] = 0
    inside = score_masks(prediction, BLOCK, (1, 1), "px", [1], [*MASK_METRICS], region)
    assert inside == score_case(BLOCK, BLOCK, classes=[1])
    none = score_masks(prediction, BLOCK, (1, 1), "px", [1], [*MASK_METRICS], region * 0)
    assert {row["status"] for row in none} == {"both_empty"}


@pytest.mark.parametrize("reference", [EMPTY, BLOCK], ids=["empty", "block"])
@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize("shape", [(5, 6), (6, 5, 1), (6,), (0, 5)])
def test_different_shapes_are_refused_by_both_shapes(shape, fill, reference):
    for metric in MASK_METRICS:
        with pytest.raises(DataError, match=re.escape(f"{shape}") + ".*" + re.escape("(6, 5)")):
            score_masks(np.full(shape, fill), reference, (1, 1), "px", [1], [metric])
    with pytest.raises(DataError, match="region.*" + re.escape(f"{shape}")):
        score_masks(BLOCK, BLOCK, (1, 1), "px", [1], ["dice"], np.ones(shape, np.uint8))


@pytest.mark.parametrize(
    "spacing", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, math.nan), (1.0, 1.0, 1.0)]
)
def test_impossible_spacing_is_refused(spacing):
    with pytest.raises(DataError, match="one positive number per axis"):
        score_case(BLOCK, BLOCK, spacing_mm=spacing)


def test_probabilities_and_unknown_metrics_are_refused():
    with pytest.raises(DataError, match="prediction holds float64"):
        score_case(BLOCK * 0.7, BLOCK)
    with pytest.raises(DataError, match="did you mean 'dice'"):
        score_masks(BLOCK, BLOCK, (1, 1), "px", [1], ["dise"])


def test_unit_without_a_stated_tolerance_is_refused():
    with pytest.raises(DataError, match=r"no such unit of spacing: 'cm'; .*allowed: mm, px, um"):
        score_masks(BLOCK, BLOCK, (1, 1), "cm", [1], ["nsd"])


def test_masks_without_any_voxel_of_space_are_empty():
    nothing = np.zeros((0, 5), np.uint8)
    assert {row["status"] for row in score_case(nothing, nothing)} == {"both_empty"}
