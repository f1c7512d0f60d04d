"""Dice + focal, equal weights.

The sum of `dice` and `focal`.

Source: Zhu et al., AnatomyNet, Medical Physics 46:576-589, 2019, arXiv:1808.05238; Lin et al.,
Focal Loss for Dense Object Detection, ICCV 2017

Departure: AnatomyNet weighs its Dice by classes and the sum by 1 and 0.5; here equal weights, as in
MONAI's DiceFocalLoss.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import dice_part, log_probabilities, one_hot
from attnbench.training.losses.focal import focal_part


def dice_focal(
    logits: Tensor, masks: Tensor, gamma: float = 2.0, alpha: float | None = None
) -> dict[str, Tensor]:
    """`dice` and `focal` of logits (B, K, *spatial) and masks (B, *spatial); options of `focal`."""
    reference, logarithms = one_hot(logits, masks), log_probabilities(logits)
    return {
        "dice": dice_part(logarithms.exp(), reference),
        "focal": focal_part(logarithms, reference, gamma, alpha),
    }
