"""The one place that computes metrics: medpy's definitions, and medpy itself where it is fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from medpy.metric import binary

from attnbench.scoring.surface import Distances, Mask, surface_distances, union_box


@dataclass(frozen=True)
class Pair:
    """One class of one case: boolean masks (*spatial), each with a voxel, and the voxel's size per axis."""

    prediction: Mask
    reference: Mask
    spacing: tuple[float, ...]

    @cached_property
    def cropped(self) -> tuple[Mask, Mask]:
        """Prediction and reference within the box that holds both."""
        box = union_box(self.prediction, self.reference)
        return self.prediction[box], self.reference[box]

    @cached_property
    def distances(self) -> tuple[Distances, Distances]:
        """Surface distances from the prediction and from the reference, in the unit of the spacing."""
        return surface_distances(*self.cropped, self.spacing)


def _hd(pair: Pair) -> float:
    return float(max(side.max() for side in pair.distances))


def _hd95(pair: Pair) -> float:
    return float(np.percentile(np.hstack(pair.distances), 95))


def _assd(pair: Pair) -> float:
    return float(np.hstack(pair.distances).mean())


COMPUTE: dict[str, Callable[[Pair], float]] = {
    "dice": lambda pair: binary.dc(*pair.cropped),
    "iou": lambda pair: binary.jc(*pair.cropped),
    "precision": lambda pair: binary.precision(*pair.cropped),
    "recall": lambda pair: binary.recall(*pair.cropped),
    "hd": _hd,
    "hd95": _hd95,
    "assd": _assd,
}
