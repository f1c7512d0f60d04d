"""What several losses are made of. Sums over a batch of voxels need float32: so does all here."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = 1e-5


def one_hot(logits: Tensor, masks: Tensor) -> Tensor:
    """Masks (B, *spatial) as float32 (B, K, *spatial), one where a voxel is of the class."""
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, *[1] * (masks.dim() - 1))
    return (masks.unsqueeze(1) == classes).float()


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities of logits (B, K, *spatial), float32."""
    return logits.float().log_softmax(dim=1)


def all_but_classes(values: Tensor) -> tuple[int, ...]:
    """Axes of values (B, K, *spatial) that are pooled where classes are kept apart."""
    return (0, *range(2, values.dim()))


def dice_part(probabilities: Tensor, reference: Tensor, smooth: float = SMOOTH) -> Tensor:
    """1 - soft Dice, mean over the foreground classes, each pooled over the batch; in [0, 1].

    So classes absent from a patch are harmless. Both arguments (B, K, *spatial).
    """
    axes = all_but_classes(probabilities)
    overlap = (probabilities * reference).sum(axes)
    total = probabilities.sum(axes) + reference.sum(axes)
    dice = ((2 * overlap + smooth) / (total + smooth))[1:].mean()  # without the background
    return 1 - dice


def cross_entropy_part(logarithms: Tensor, reference: Tensor) -> Tensor:
    """Cross-entropy, mean over voxels; both arguments (B, K, *spatial)."""
    return -(logarithms * reference).sum() / reference[:, 0].numel()


def true_class(logarithms: Tensor, reference: Tensor) -> Tensor:
    """Logarithm of the probability of every voxel's own class, (B, *spatial)."""
    return (logarithms * reference).sum(1)


def tversky_index(
    probabilities: Tensor, reference: Tensor, alpha: float, beta: float, smooth: float = SMOOTH
) -> Tensor:
    """Tversky index of the foreground classes, (K - 1,), each pooled over the batch.

    `alpha` weighs false positives, `beta` false negatives.
    """
    refuse_outside("alpha", alpha, 0, 1e3)
    refuse_outside("beta", beta, 0, 1e3)
    axes = all_but_classes(probabilities)
    overlap = (probabilities * reference).sum(axes)
    surplus = probabilities.sum(axes) - overlap
    missed = reference.sum(axes) - overlap
    index = (overlap + smooth) / (overlap + alpha * surplus + beta * missed + smooth)
    return index[1:]


def refuse_outside(name: str, value: float, low: float, high: float) -> None:
    """Refuse an option that is no number in [low, high]; raises `ValueError`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ValueError(f"option {name} is {value!r}; allowed: a number from {low:g} to {high:g}")
