"""Tversky.

1 - mean over the foreground classes of TP / (TP + alpha FP + beta FN), each pooled over the batch.

Source: Salehi et al., Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional
Deep Networks, MLMI 2017, arXiv:1706.05721

Departure: several classes; the paper has one foreground class.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import log_probabilities, one_hot, tversky_index


def tversky(
    logits: Tensor, masks: Tensor, alpha: float = 0.3, beta: float = 0.7
) -> dict[str, Tensor]:
    """`tversky` of logits (B, K, *spatial) and masks (B, *spatial).

    `alpha` weighs false positives, `beta` false negatives; 0.5 and 0.5 are the soft Dice.
    """
    probabilities = log_probabilities(logits).exp()
    index = tversky_index(probabilities, one_hot(logits, masks), alpha, beta)
    return {"tversky": 1 - index.mean()}
