"""Focal Tversky.

Mean over the foreground classes of (1 - T)^(1 / gamma), T the Tversky index of `tversky`.

Source: Abraham and Khan, A Novel Focal Tversky Loss Function With Improved Attention U-Net for
Lesion Segmentation, ISBI 2019, arXiv:1810.07842

Departure: a mean over classes where the paper has the sum, and none over the background; alpha
weighs false positives and beta false negatives, as in `tversky`, where the paper has the letters
the other way round. Below 1 - T = 1e-6 there is no gradient: that of the power is infinite at 0.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import (
    log_probabilities,
    one_hot,
    refuse_outside,
    tversky_index,
)


def focal_tversky(
    logits: Tensor, masks: Tensor, alpha: float = 0.3, beta: float = 0.7, gamma: float = 4 / 3
) -> dict[str, Tensor]:
    """`focal_tversky` of logits (B, K, *spatial) and masks (B, *spatial).

    `alpha` weighs false positives, `beta` false negatives; `gamma` 1 to 3: above 1 classes that are
    segmented badly count more.
    """
    refuse_outside("gamma", gamma, 1, 3)
    probabilities = log_probabilities(logits).exp()
    index = tversky_index(probabilities, one_hot(logits, masks), alpha, beta)
    return {"focal_tversky": ((1 - index).clamp(min=1e-6) ** (1 / gamma)).mean()}
