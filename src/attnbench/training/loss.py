"""The loss of all models: soft Dice plus cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dice_loss(logits: Tensor, masks: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - soft Dice, averaged over the foreground classes, each pooled over the batch.

    `logits` (B, K, *spatial), `masks` (B, *spatial) integers in [0, K). Milletari et al., V-Net, 3DV 2016 (here with
    plain sums in the denominator as in nnU-Net); pooling over the batch keeps classes absent from a patch harmless.
    """
    probabilities = logits.float().softmax(dim=1)
    reference = F.one_hot(masks, logits.shape[1]).movedim(-1, 1)
    axes = (0, *range(2, logits.dim()))
    overlap = (probabilities * reference).sum(axes)
    total = probabilities.sum(axes) + reference.sum(axes)
    return 1 - ((2 * overlap + smooth) / (total + smooth))[1:].mean()


def dice_and_cross_entropy(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """(Dice loss, cross-entropy), to be added; both averages over the batch, in natural units."""
    return dice_loss(logits, masks), F.cross_entropy(logits.float(), masks)


def pooled_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Counts (3, K - 1) from which Dice follows: overlap, predicted and reference voxels per foreground class."""
    classes = torch.arange(1, logits.shape[1], device=logits.device).view(-1, *[1] * masks.dim())
    predicted, reference = logits.argmax(dim=1) == classes, masks == classes
    axes = tuple(range(1, predicted.dim()))
    return torch.stack([(predicted & reference).sum(axes), predicted.sum(axes), reference.sum(axes)])
