"""Sliding-window inference: overlapping windows in, one blended map per image out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.layers import resize

OVERLAP = 0.5
SIGMA = 0.125
_WINDOWS_AT_ONCE = 16  # fills an accelerator
_VOXELS_AT_ONCE = 2**23  # at 256 channels 2**31 elements, beyond which kernels count in 64 bits
_VOXELS_IN_CACHE = 2**17  # of a CPU: larger batches are slower there


def window_starts(side: int, window: int) -> list[int]:
    """Starts of evenly spread windows that cover `side` and overlap by one half at least."""
    if side <= window:
        return [0]
    count = int(np.ceil((side - window) / (window * (1 - OVERLAP)))) + 1
    return [round(start) for start in np.linspace(0, side - window, count)]


def window_weight(window: Sequence[int], device: torch.device) -> Tensor:
    """Gaussian importance of a window's voxels (*window), sigma an eighth of its side.

    Isensee et al., nnU-Net, Nature Methods 2021: borders of a window know less of their
    surroundings.
    """
    weight = torch.ones((), device=device)
    for side in window:
        distance = torch.arange(side, device=device) - (side - 1) / 2
        weight = weight.unsqueeze(-1) * torch.exp(-0.5 * (distance / (side * SIGMA)) ** 2)
    return weight.clamp(min=1e-3)  # corners may be covered by one window: they are divided by it


def windows_at_once(window: Sequence[int], device: torch.device) -> int:
    """Number of windows in a batch."""
    most = _VOXELS_IN_CACHE if device.type == "cpu" else _VOXELS_AT_ONCE
    return min(_WINDOWS_AT_ONCE, max(1, most // math.prod(window)))


class Canvas:
    """One image (C, *spatial), padded to a window at least, and its windows' weighted values."""

    def __init__(self, image: Tensor, window: Sequence[int]) -> None:
        before = [
            max(0, side - length) // 2 for side, length in zip(window, image.shape[1:], strict=True)
        ]
        self.inside = [
            slice(start, start + length)
            for start, length in zip(before, image.shape[1:], strict=True)
        ]
        self.image = _pad_to(image, window, before)
        self.boxes: list[tuple[Any, ...]] = [
            tuple(slice(start, start + side) for start, side in zip(corner, window, strict=True))
            for corner in itertools.product(*map(window_starts, self.image.shape[1:], window))
        ]
        self.weight = window_weight(window, image.device)
        self.weights = torch.zeros(self.image.shape[1:], device=image.device)
        self.total: Tensor | None = None
        self.missing = len(self.boxes)

    def add(self, box: tuple[Any, ...], values: Tensor) -> None:
        """Add the values (K, *window) of the window that fills `box`."""
        if self.total is None:
            self.total = self.weights.new_zeros((len(values), *self.weights.shape))
        self.total[(slice(None), *box)] += values * self.weight
        self.weights[box] += self.weight
        self.missing -= 1

    def mean(self) -> Tensor:
        """The averaged values (K, *spatial) on the image's grid, once every window is there."""
        assert self.total is not None
        return (self.total / self.weights)[(slice(None), *self.inside)]


def _pad_to(image: Tensor, window: Sequence[int], before: Sequence[int]) -> Tensor:
    amounts = []  # `pad` begins with the last axis
    for side, length, start in reversed(list(zip(window, image.shape[1:], before, strict=True))):
        amounts += [start, max(0, side - length) - start]
    return F.pad(image, amounts)


def predict_probabilities(
    network: nn.Module,
    images: Iterable[Tensor],
    window: Sequence[int],
    autocast: torch.dtype | None = None,
    mirror: Sequence[int] = (),
) -> Iterator[Tensor]:
    """Yield class probabilities (K, *spatial), summing to 1, of each image, on its device.

    With `mirror`, a window's probabilities are the mean over its mirror images along every
    combination of these axes, each mirrored back (nnU-Net): as many passes as combinations.

    Args:
        network: in evaluation mode; returns logits (B, K, *window).
        images: (C, *spatial) each, of any size.
        window: the training patch's size.
        autocast: dtype of mixed precision; None for float32.
        mirror: axes of an image, from 0, to mirror along; none by default.
    """

    def probabilities(batch: Tensor) -> Tensor:
        with torch.autocast(batch.device.type, autocast, enabled=autocast is not None):
            logits = network(batch)
        return logits.float().softmax(dim=1)  # in float32: probabilities are averaged and binned

    def averaged(batch: Tensor) -> Tensor:
        # A pass for each: windows fill a batch already, mirrored copies of it would be too large.
        mean = probabilities(batch) / len(flips)
        for axes in flips[1:]:
            mean += probabilities(batch.flip(axes)).flip(axes) / len(flips)
        return mean

    flips = mirror_combinations(mirror)
    return slide(averaged if mirror else probabilities, images, window)


def mirror_combinations(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every combination of image axes as axes of a batch (B, C, *spatial), the empty one first."""
    return [
        tuple(axis + 2 for axis in chosen)
        for count in range(len(axes) + 1)
        for chosen in itertools.combinations(axes, count)
    ]


@torch.no_grad()
def slide(
    evaluate: Callable[[Tensor], Tensor], images: Iterable[Tensor], window: Sequence[int]
) -> Iterator[Tensor]:
    """Evaluate overlapping windows and blend them into one map (K, *spatial) per image.

    `evaluate` maps (B, C, *window) to (B, K, *window). An image (C, *spatial) is zero-padded
    where it is smaller than a window; windows are averaged with `window_weight`, and those of
    several small images are evaluated together.
    """
    canvases = (Canvas(image, window) for image in images)
    # Lazy: only the images whose windows are in the current batch are in memory.
    waiting = ((canvas, box) for canvas in canvases for box in canvas.boxes)
    for first in waiting:
        more = windows_at_once(window, first[0].image.device) - 1
        chunk = [first, *itertools.islice(waiting, more)]
        batch = torch.stack([canvas.image[(slice(None), *box)] for canvas, box in chunk])
        for (canvas, box), values in zip(chunk, evaluate(batch), strict=True):
            canvas.add(box, values)
            if not canvas.missing:
                yield canvas.mean()


def on_own_grid(probabilities: Tensor, original_shape: Sequence[int]) -> Tensor:
    """Resize probabilities (K, *spatial) to the case's own grid (K, *original_shape), linearly.

    The mask comes after: resampled classes would be ragged, resampled probabilities are not.
    """
    return resize(probabilities.unsqueeze(0), tuple(original_shape))[0]
