"""Metrics of shape rather than of voxels: centrelines, and lesions as components."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import generate_binary_structure, label

from attnbench.scoring.surface import Mask

Connectivity = Literal["full", "faces"]


def centreline_dice(prediction: Mask, reference: Mask) -> float:
    """clDice of two masks (*spatial), 2-D or 3-D, each with a voxel: 0 to 1.

    The harmonic mean of the share of the prediction's skeleton inside the reference and the
    share of the reference's inside the prediction (Shit et al., clDice, CVPR 2021).
    """
    of_prediction, of_reference = skeleton(prediction), skeleton(reference)
    precise = np.count_nonzero(of_prediction & reference) / np.count_nonzero(of_prediction)
    sensitive = np.count_nonzero(of_reference & prediction) / np.count_nonzero(of_reference)
    return harmonic_mean(precise, sensitive)


def skeleton(mask: Mask) -> Mask:
    """Skeleton of a mask (*spatial), by scikit-image.

    The method is that of Zhang and Suen (1984) in 2-D, of Lee et al. (1994) in 3-D. A component
    that thinning erases completely, as it does with a block of 2 x 2 x 2, keeps all its voxels.
    """
    from skimage.morphology import skeletonize

    # The margin keeps a volume one voxel thick from being thinned as a picture.
    thin: Mask = skeletonize(np.pad(mask, 1))[(slice(1, -1),) * mask.ndim]
    components, number = _components(mask, "full")
    kept = np.zeros(number + 1, dtype=bool)
    kept[components[thin]] = True
    return thin | (mask & ~kept[components])


class Lesions(NamedTuple):
    """Numbers of connected components: of the reference and found, predicted and right.

    A reference component is found when the prediction has at least one of its voxels; a predicted
    component is right when it has at least one voxel of the reference. Shares are 0 to 1 and need
    a component to be shares of.
    """

    reference: int
    found: int
    predicted: int
    right: int

    @property
    def sensitivity(self) -> float:
        """Share of the reference's components that were found."""
        return self.found / self.reference

    @property
    def precision(self) -> float:
        """Share of the predicted components that are right."""
        return self.right / self.predicted

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and precision."""
        return harmonic_mean(self.sensitivity, self.precision)


def count_lesions(prediction: Mask, reference: Mask, connectivity: Connectivity) -> Lesions:
    """Count the connected components of two masks (*spatial).

    `full`: diagonal neighbours connect; `faces`: only those that share a face.
    """
    return Lesions(
        *_touched(reference, prediction, connectivity),
        *_touched(prediction, reference, connectivity),
    )


def harmonic_mean(first: float, second: float) -> float:
    """Harmonic mean of two shares; 0 when one is 0."""
    return 2 * first * second / (first + second) if first and second else 0.0


def _touched(mask: Mask, other: Mask, connectivity: Connectivity) -> tuple[int, int]:
    """Number of the components of `mask`, and of those that have a voxel of `other`."""
    components, number = _components(mask, connectivity)
    hit = np.bincount(components[other], minlength=number + 1)[1:]
    return number, int(np.count_nonzero(hit))


def _components(mask: Mask, connectivity: Connectivity) -> tuple[np.ndarray, int]:
    reach = mask.ndim if connectivity == "full" else 1
    return label(mask, generate_binary_structure(mask.ndim, reach))
