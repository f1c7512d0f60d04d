"""Top-k cross-entropy.

Mean of the cross-entropy of the hardest `percent` % of all voxels of the batch.

Source: Wu et al., Bridging Category-level and Instance-level Semantic Image Segmentation, 2016,
arXiv:1605.06885; TopKLoss of nnU-Net v2

Departure: none from nnU-Net, but that one voxel is left where a share of a small grid has none.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import (
    log_probabilities,
    one_hot,
    refuse_outside,
    true_class,
)


def top_k(logits: Tensor, masks: Tensor, percent: float = 10.0) -> dict[str, Tensor]:
    """`top_k` of logits (B, K, *spatial) and masks (B, *spatial); `percent` above 0 to 100."""
    return {"top_k": top_k_part(log_probabilities(logits), one_hot(logits, masks), percent)}


def top_k_part(logarithms: Tensor, reference: Tensor, percent: float) -> Tensor:
    """Mean cross-entropy of the hardest voxels; both tensors (B, K, *spatial)."""
    refuse_outside("percent", percent, 1e-3, 100)
    losses = -true_class(logarithms, reference).flatten()
    count = max(1, int(len(losses) * percent / 100))
    return losses.topk(count, sorted=False).values.mean()
