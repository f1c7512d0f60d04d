"""Every metric in words and numbers: name, unit, direction, and what it is worth when a mask is empty. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal

Status = Literal["ok", "both_empty", "prediction_empty", "reference_empty"]
Unit = Literal["1", "distance"]


@dataclass(frozen=True)
class Metric:
    """One metric of a prediction against a reference, for one class of one case.

    `unit` is `1` for plain numbers and `distance` for lengths in the case's own unit (mm, um or px). The three
    values after `higher_is_better` are what the metric is worth when a mask has no voxel of the class; NaN means
    undefined, which is counted as a failure and never averaged away unseen.
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
        _overlap("dice", "Dice", "Twice the voxels in both masks, divided by the voxels of each mask added."),
        _overlap("iou", "IoU", "Voxels in both masks, divided by voxels in either (Jaccard)."),
        _overlap("precision", "Precision", "Share of the predicted voxels that the reference has."),
        _overlap("recall", "Recall", "Share of the reference's voxels that were predicted."),
        _distance(
            "hd", "HD", "Largest distance from a surface voxel of one mask to the other mask's surface."
        ),
        _distance(
            "hd95", "HD95", "95th percentile of the surface distances of both directions pooled, as in medpy."
        ),
        _distance("assd", "ASSD", "Mean of the two directions' mean surface distances, as in medpy."),
    )
}
