"""Dice + boundary.

Dice + alpha times the mean over voxels and foreground classes of p d, where d is the signed
distance to the reference's border, negative inside.

Source: Kervadec et al., Boundary loss for highly unbalanced segmentation, MIDL 2019,
arXiv:1812.07032

Departure: the region loss is the Dice of `dice`, where the paper has the generalised Dice, whose
weights let a class that is absent from a patch drown all others. `alpha` is constant, where the
paper also raises it from epoch to epoch. Distances are in voxels of the patch, whatever their
spacing, and end at the patch; a class that is absent from a patch, or fills it, has none there.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._distance import signed_distance
from attnbench.training.losses._parts import (
    dice_part,
    log_probabilities,
    one_hot,
    refuse_outside,
)


def boundary(logits: Tensor, masks: Tensor, alpha: float = 0.01) -> dict[str, Tensor]:
    """`dice` and `boundary` of logits (B, K, *spatial) and masks (B, *spatial).

    `alpha`: weight of the boundary term, which may be negative, 0 to 100.
    """
    refuse_outside("alpha", alpha, 0, 100)
    reference, probabilities = one_hot(logits, masks), log_probabilities(logits).exp()
    return {
        "dice": dice_part(probabilities, reference),
        "boundary": alpha * boundary_part(probabilities[:, 1:], reference[:, 1:]),
    }


def boundary_part(probabilities: Tensor, reference: Tensor) -> Tensor:
    """Mean of p d; both tensors (B, K, *spatial), without a background."""
    distance = signed_distance(reference.flatten(0, 1) > 0).view_as(reference)
    return (probabilities * distance).mean()
