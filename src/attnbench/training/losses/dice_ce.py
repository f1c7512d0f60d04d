"""Dice + cross-entropy, equal weights.

(1 - mean over the foreground classes of soft Dice) + mean over voxels of -log p(class). The Dice
of a class is 2 sum(p g) / (sum p + sum g), pooled over the batch.

Source: Isensee et al., nnU-Net, Nature Methods 18:203-211, 2021; Milletari et al., V-Net, 3DV 2016

Departure: V-Net squares the terms of the denominator, nnU-Net and this do not. nnU-Net takes the
Dice of each patch in most 3-D configurations.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import (
    cross_entropy_part,
    dice_part,
    log_probabilities,
    one_hot,
)


def dice_ce(logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """`dice` and `cross_entropy` of logits (B, K, *spatial) and masks (B, *spatial)."""
    reference, logarithms = one_hot(logits, masks), log_probabilities(logits)
    return {
        "dice": dice_part(logarithms.exp(), reference),
        "cross_entropy": cross_entropy_part(logarithms, reference),
    }
