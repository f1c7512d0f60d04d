"""Every metric of masks: overlaps by medpy, the others, by its definitions, computed here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from medpy.metric import binary

from attnbench.scoring.definitions import METRICS
from attnbench.scoring.own_values import own_value
from attnbench.scoring.structure import Lesions, centreline_dice, count_lesions
from attnbench.scoring.surface import Distances, Mask, surface_distances, union_box
from attnbench.study.groups import ScoringSettings


@dataclass(frozen=True)
class Pair:
    """One class of one case; what several metrics need is computed once.

    prediction, reference: bool (*spatial). spacing: the voxel's size per axis, in `unit`.
    scoring: the study's rules of metrics. region: field of view, bool (*spatial), outside which
    both masks are False; None: all. `cropped` and `lesions` need a voxel in one of the masks,
    `distances` one in each.
    """

    prediction: Mask
    reference: Mask
    spacing: tuple[float, ...]
    unit: str
    scoring: ScoringSettings
    region: Mask | None = None

    @property
    def diagonal(self) -> float:
        """Length of the image's diagonal between outer corners, in the unit of the spacing."""
        return math.hypot(*np.multiply(self.reference.shape, self.spacing))

    @cached_property
    def cropped(self) -> tuple[Mask, Mask]:
        """Prediction and reference within the box that holds both."""
        box = union_box(self.prediction, self.reference)
        return self.prediction[box], self.reference[box]

    @cached_property
    def distances(self) -> tuple[Distances, Distances]:
        """Surface distances from the prediction and from the reference, in the spacing's unit."""
        return surface_distances(*self.cropped, self.spacing)

    @cached_property
    def lesions(self) -> Lesions:
        """Connected components of both masks, and those that touch the other mask."""
        return count_lesions(*self.cropped, self.scoring.lesion_connectivity)


def _hd(pair: Pair) -> float:
    return max(side.max() for side in pair.distances)


def _hd95(pair: Pair) -> float:
    pooled = pair.scoring.hd_percentile == "pooled"
    sides = (np.hstack(pair.distances),) if pooled else pair.distances
    return max(float(np.percentile(side, 95)) for side in sides)


def _assd(pair: Pair) -> float:
    return np.hstack(pair.distances).mean()


def _nsd(pair: Pair) -> float:
    tolerance = getattr(pair.scoring.nsd_tolerance, pair.unit)
    return float((np.hstack(pair.distances) <= tolerance).mean())


def _volume_error(pair: Pair) -> float:
    prediction, reference = (np.count_nonzero(mask) for mask in pair.cropped)
    return abs(prediction - reference) / reference


COMPUTE: dict[str, Callable[[Pair], float]] = {
    "dice": lambda pair: binary.dc(*pair.cropped),
    "iou": lambda pair: binary.jc(*pair.cropped),
    "precision": lambda pair: binary.precision(*pair.cropped),
    "recall": lambda pair: binary.recall(*pair.cropped),
    "hd": _hd,
    "hd95": _hd95,
    "assd": _assd,
    "hd_penalised": _hd,
    "hd95_penalised": _hd95,
    "assd_penalised": _assd,
    "nsd": _nsd,
    "cldice": lambda pair: centreline_dice(*pair.cropped),
    "lesion_f1": lambda pair: pair.lesions.f1,
    "lesion_sensitivity": lambda pair: pair.lesions.sensitivity,
    "lesion_precision": lambda pair: pair.lesions.precision,
    "lesion_fp": lambda pair: pair.lesions.predicted - pair.lesions.right,
    "volume_error": _volume_error,
}


def compute(name: str, pair: Pair) -> float:
    """Value of a metric of masks, one of ours or own code, where it is computed.

    Raises:
        OwnCodeError: own code fails, or returns what it must not.
    """
    metric = METRICS[name]
    if metric.code is None:
        return COMPUTE[name](pair)
    return own_value(metric, pair.prediction, pair.reference, pair.spacing, pair.region)
