"""Cross-entropy.

Mean over voxels of -log p(class of the voxel), all classes weighted alike.

Source: Ronneberger et al., U-Net, MICCAI 2015

Departure: the U-Net's paper weighs voxels, more between cells that touch; here all are alike.
"""

from __future__ import annotations

from torch import Tensor

from attnbench.training.losses._parts import cross_entropy_part, log_probabilities, one_hot


def cross_entropy(logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """`cross_entropy` of logits (B, K, *spatial) and masks (B, *spatial)."""
    return {"cross_entropy": cross_entropy_part(log_probabilities(logits), one_hot(logits, masks))}
