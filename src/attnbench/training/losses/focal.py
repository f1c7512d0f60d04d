"""Focal.

Mean over voxels of -a (1 - p)^gamma log p, where p is the probability of the voxel's own class;
a = alpha in the foreground and 1 - alpha in the background, 1 everywhere without alpha.

Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, arXiv:1708.02002

Departure: softmax over classes instead of a sigmoid, mean over voxels instead of a sum over anchors
divided by the number of objects; no alpha by default, which in the paper balances anchors.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import (
    log_probabilities,
    one_hot,
    refuse_outside,
    true_class,
)


def focal(
    logits: Tensor, masks: Tensor, gamma: float = 2.0, alpha: float | None = None
) -> dict[str, Tensor]:
    """`focal` of logits (B, K, *spatial) and masks (B, *spatial).

    `gamma` 0 to 10: how much less well-segmented voxels count; `alpha` 0 to 1: weight of the
    foreground.
    """
    return {"focal": focal_part(log_probabilities(logits), one_hot(logits, masks), gamma, alpha)}


def focal_part(logarithms: Tensor, reference: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """The focal loss; both tensors (B, K, *spatial)."""
    refuse_outside("gamma", gamma, 0, 10)
    own = true_class(logarithms, reference)
    # 1 - p without cancellation; below gamma 1 its power has no gradient at zero.
    error = (-own.expm1()).clamp(min=1e-7)
    loss = -(error**gamma) * own
    if alpha is not None:
        refuse_outside("alpha", alpha, 0, 1)
        background = reference[:, 0]
        loss = loss * (alpha + (1 - 2 * alpha) * background)
    return loss.mean()
