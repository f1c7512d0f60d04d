"""Dice + centerline Dice (clDice).

(1 - alpha) Dice + alpha clDice. clDice is 1 - 2 P S / (P + S), mean over the foreground classes,
each pooled over the batch: P the share of the predicted soft skeleton inside the reference, S the
share of the reference's skeleton inside the prediction.

Source: Shit et al., clDice - a Novel Topology-Preserving Loss Function for Tubular Structure
Segmentation, CVPR 2021, arXiv:2003.07311

Departure: a mean over classes, where the authors' code pools them; one foreground class is the
same. Skeletons are those of the patch: at its border they end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnbench.training.losses._parts import (
    all_but_classes,
    dice_part,
    log_probabilities,
    one_hot,
    refuse_outside,
)
from attnbench.training.losses._skeleton import soft_skeleton

_SMOOTH = 1.0


def cldice(
    logits: Tensor, masks: Tensor, alpha: float = 0.5, iterations: int = 10
) -> dict[str, Tensor]:
    """`dice` and `cldice`, weighted, of logits (B, K, *spatial) and masks (B, *spatial).

    `iterations`: at least the largest radius, in voxels, of what is segmented.
    """
    refuse_outside("alpha", alpha, 0, 1)
    refuse_outside("iterations", iterations, 1, 100)
    reference, probabilities = one_hot(logits, masks), log_probabilities(logits).exp()
    own = centerline_part(probabilities[:, 1:], reference[:, 1:], int(iterations))
    return {"dice": (1 - alpha) * dice_part(probabilities, reference), "cldice": alpha * own}


def centerline_part(probabilities: Tensor, reference: Tensor, iterations: int) -> Tensor:
    """1 - soft clDice, mean over classes; both tensors (B, K, *spatial), without a background."""
    axes = all_but_classes(probabilities)
    with torch.no_grad():
        drawn = soft_skeleton(reference, iterations)
    predicted = soft_skeleton(probabilities, iterations)
    precision = ((predicted * reference).sum(axes) + _SMOOTH) / (predicted.sum(axes) + _SMOOTH)
    sensitivity = ((drawn * probabilities).sum(axes) + _SMOOTH) / (drawn.sum(axes) + _SMOOTH)
    return (1 - 2 * precision * sensitivity / (precision + sensitivity)).mean()
