"""Every metric in words and numbers: unit, direction, value when a mask is empty."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal

Status = Literal["ok", "both_empty", "prediction_empty", "reference_empty", "not_a_number"]
Unit = Literal["1", "distance"]
EmptyValue = float | Literal["diagonal", "computed"]

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

NSD_TOLERANCE = {"mm": 1.0, "um": 0.2, "px": 2.0}
"""Largest distance between surfaces that are equal in `nsd`, by the unit of the case's spacing."""


@dataclass(frozen=True)
class Metric:
    """One metric of a prediction against a reference, for one class of one case.

    `unit` is `1` for plain numbers and `distance` for lengths in the case's own unit (mm, um or
    px). The values after `higher_is_better` hold when the class has no voxel in both masks, in
    the prediction only, or in the reference only. NaN means undefined; `diagonal` is the length
    of the image's diagonal, more than any distance within it; `computed`: the metric is defined
    all the same. The row's status says which mask was empty: failures are counted by it, not by
    NaN. `of` says what a metric needs of a prediction.
    """

    name: str
    label: str
    unit: Unit
    higher_is_better: bool
    both_empty: EmptyValue
    prediction_empty: EmptyValue
    reference_empty: EmptyValue
    rule: str
    of: Literal["masks", "probabilities"] = "masks"


def _overlap(name: str, label: str, rule: str) -> Metric:
    return Metric(name, label, "1", True, 1.0, 0.0, 0.0, rule)


def _distance(name: str, label: str, rule: str, empty: EmptyValue = nan) -> Metric:
    return Metric(name, label, "distance", False, 0.0, empty, empty, rule)


def _penalised(name: str, label: str) -> Metric:
    rule = f"{label}, and the image's diagonal where exactly one mask is empty."
    return _distance(f"{name}_penalised", f"{label} (penalised)", rule, "diagonal")


_TOLERANCES = " or ".join(f"{tolerance:g} {unit}" for unit, tolerance in NSD_TOLERANCE.items())

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _overlap(
            "dice",
            "Dice",
            "Twice the voxels in both masks, divided by the sum of the voxels of each.",
        ),
        _overlap("iou", "IoU", "Voxels in both masks, divided by voxels in either (Jaccard)."),
        _overlap("precision", "Precision", "Share of the predicted voxels that the reference has."),
        _overlap("recall", "Recall", "Share of the reference's voxels that were predicted."),
        _distance(
            "hd", "HD", "Largest distance from the surface of one mask to that of the other."
        ),
        _distance(
            "hd95",
            "HD95",
            "95th percentile of both directions' surface distances pooled, as medpy.",
        ),
        _distance("assd", "ASSD", "Mean of both directions' surface distances pooled, as medpy."),
        _distance(
            "hd95_max",
            "HD95 (max)",
            "Larger of the two directions' 95th percentiles, as MONAI and surface-distance.",
        ),
        _penalised("hd", "HD"),
        _penalised("hd95", "HD95"),
        _penalised("assd", "ASSD"),
        _overlap(
            "nsd",
            "NSD",
            f"Share of both surfaces within {_TOLERANCES} of the other (surface Dice).",
        ),
        _overlap(
            "cldice",
            "clDice",
            "Harmonic mean of the share of each mask's centreline within the other mask; for thin "
            "structures.",
        ),
        _overlap(
            "lesion_f1",
            "Lesion F1",
            "Harmonic mean of the shares of reference and of predicted components that touch the "
            "other mask.",
        ),
        Metric(
            "volume_error",
            "Volume error",
            "1",
            False,
            0.0,
            1.0,
            nan,
            "Difference of the two volumes without sign, divided by the reference's.",
        ),
        Metric(
            "ece",
            "ECE",
            "1",
            False,
            "computed",
            "computed",
            "computed",
            "Mean over voxels of the distance of the class's probability from how often the class "
            "is there, in 15 bins "
            "(expected calibration error).",
            of="probabilities",
        ),
    )
}
MASK_METRICS = tuple(name for name, metric in METRICS.items() if metric.of == "masks")
"""The metrics that need no more of a prediction than its mask."""


def main_metrics(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics shown first: Dice and HD95 where the study has them, else its first metric."""
    return tuple(name for name in ("dice", "hd95") if name in metrics) or metrics[:1]
