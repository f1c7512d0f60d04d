"""The loss of all models: soft Dice plus cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def dice_and_cross_entropy(
    logits: Tensor, masks: Tensor, smooth: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """(Dice loss, cross-entropy), to be added; in natural units.

    `logits` (B, K, *spatial), `masks` (B, *spatial) integers in [0, K). The Dice loss is 1 -
    soft Dice, averaged over the foreground classes, each pooled over the batch: so classes
    absent from a patch are harmless (Milletari et al., V-Net, 3DV 2016, here with plain sums in
    the denominator as in nnU-Net). The cross-entropy is averaged over voxels.
    """
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, *[1] * (masks.dim() - 1))
    reference = (masks.unsqueeze(1) == classes).float()
    # Sums over a whole batch of voxels need float32, also under mixed precision.
    logarithms = logits.float().log_softmax(dim=1)
    probabilities = logarithms.exp()
    axes = (0, *range(2, logits.dim()))  # all but the classes
    overlap = (probabilities * reference).sum(axes)
    total = probabilities.sum(axes) + reference.sum(axes)
    dice = ((2 * overlap + smooth) / (total + smooth))[1:].mean()  # without the background
    return 1 - dice, -(logarithms * reference).sum() / masks.numel()


def losses_of(outputs: Tensor | Sequence[Tensor], masks: Tensor) -> Tensor:
    """(Dice loss, cross-entropy) as one tensor (2,) of a network's outputs in training.

    Logits, or with deep supervision a sequence of them from fine to coarse: their losses weigh
    1, 1/2, 1/4, ... (in sum 1), against masks (B, *spatial) brought to their resolution by the
    nearest voxel (nnU-Net).
    """
    levels = [outputs] if isinstance(outputs, Tensor) else outputs
    weights = [0.5**level for level in range(len(levels))]
    losses = [
        torch.stack(dice_and_cross_entropy(logits, nearest_mask(masks, logits.shape[2:])))
        for logits in levels
    ]
    return torch.stack(
        [weight / sum(weights) * loss for weight, loss in zip(weights, losses, strict=True)]
    ).sum(0)


def nearest_mask(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks (B, *size) of masks (B, *spatial), each voxel the class of the nearest one."""
    if tuple(masks.shape[1:]) == tuple(size):
        return masks
    resized = F.interpolate(masks.unsqueeze(1).float(), tuple(size), mode="nearest")
    return resized.squeeze(1).to(masks.dtype)


def pooled_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Voxels per foreground class, (3, K - 1): overlap, predicted and reference."""
    classes = torch.arange(1, logits.shape[1], device=logits.device).view(-1, *[1] * masks.dim())
    predicted, reference = logits.argmax(dim=1) == classes, masks == classes
    axes = tuple(range(1, predicted.dim()))
    return torch.stack(
        [(predicted & reference).sum(axes), predicted.sum(axes), reference.sum(axes)]
    )
