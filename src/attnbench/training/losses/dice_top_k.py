"""Dice + top-k cross-entropy, equal weights.

The sum of `dice` and `top_k`.

Source: DC_and_topk_loss of nnU-Net v2; Wu et al., arXiv:1605.06885, 2016

Departure: the Dice is pooled over the batch.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import dice_part, log_probabilities, one_hot
from attnbench.training.losses.top_k import top_k_part


def dice_top_k(logits: Tensor, masks: Tensor, percent: float = 10.0) -> dict[str, Tensor]:
    """`dice` and `top_k` of logits (B, K, *spatial) and masks (B, *spatial)."""
    reference, logarithms = one_hot(logits, masks), log_probabilities(logits)
    return {
        "dice": dice_part(logarithms.exp(), reference),
        "top_k": top_k_part(logarithms, reference, percent),
    }
