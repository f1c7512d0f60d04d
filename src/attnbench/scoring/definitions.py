"""Every metric in words and numbers: unit, direction, value when a mask is empty. A light import."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal

Status = Literal["ok", "both_empty", "prediction_empty", "reference_empty"]
Unit = Literal["1", "distance"]

SCORE_COLUMNS = (
    "dataset",
    "model",
    "fold",
    "seed",
    "case",
    "group",
    "class",
    "metric",
    "value",
    "unit",
    "status",
)


@dataclass(frozen=True)
class Metric:
    """One metric of a prediction against a reference, for one class of one case.

    `unit` is `1` for plain numbers and `distance` for lengths in the case's own unit (mm, um or px). The
    values after `higher_is_better` hold when the class has no voxel in both masks, in the prediction only, or
    in the reference only. NaN means undefined: the row's status says why, and it counts as a failure.
    """

    name: str
    label: str
    unit: Unit
    higher_is_better: bool
    both_empty: float
    prediction_empty: float
    reference_empty: float
    rule: str


def _overlap(name: str, label: str, rule: str) -> Metric:
    return Metric(name, label, "1", True, 1.0, 0.0, 0.0, rule)


def _distance(name: str, label: str, rule: str) -> Metric:
    return Metric(name, label, "distance", False, 0.0, nan, nan, rule)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _overlap("dice", "Dice", "Twice the voxels in both masks, divided by the sum of the voxels of each."),
        _overlap("iou", "IoU", "Voxels in both masks, divided by voxels in either (Jaccard)."),
        _overlap("precision", "Precision", "Share of the predicted voxels that the reference has."),
        _overlap("recall", "Recall", "Share of the reference's voxels that were predicted."),
        _distance("hd", "HD", "Largest distance from the surface of one mask to that of the other."),
        _distance("hd95", "HD95", "95th percentile of both directions' surface distances pooled, as medpy."),
        _distance("assd", "ASSD", "Mean of both directions' surface distances pooled, as medpy."),
    )
}
