"""Dice.

1 - mean over the foreground classes of 2 sum(p g) / (sum p + sum g), each pooled over the batch.

Source: Milletari et al., V-Net, 3DV 2016

Departure: no squares in the denominator (as nnU-Net), and several classes.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import dice_part, log_probabilities, one_hot


def dice(logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """`dice` of logits (B, K, *spatial) and masks (B, *spatial)."""
    return {"dice": dice_part(log_probabilities(logits).exp(), one_hot(logits, masks))}
