"""Soft skeletons (Shit et al. 2021): morphology by pooling, so that it has a gradient."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_skeleton(values: Tensor, iterations: int) -> Tensor:
    """Soft skeletons of values (B, K, *spatial) in [0, 1], of the same shape.

    What is thicker than 2 * `iterations` + 1 voxels is no line yet at the end.
    """
    skeleton = F.relu(values - _opened(values))
    for _ in range(iterations):
        values = _eroded(values)
        rest = F.relu(values - _opened(values))
        skeleton = skeleton + F.relu(rest - skeleton * rest)
    return skeleton


def _eroded(values: Tensor) -> Tensor:
    """Smallest value along each axis among a voxel and its two neighbours: a cross."""
    ndim = values.dim() - 2
    along = [
        _largest(-values, tuple(3 if axis == own else 1 for axis in range(ndim)))
        for own in range(ndim)
    ]
    largest = along[0]
    for other in along[1:]:
        largest = torch.maximum(largest, other)
    return -largest


def _opened(values: Tensor) -> Tensor:
    ndim = values.dim() - 2
    return _largest(_eroded(values), (3,) * ndim)


def _largest(values: Tensor, sides: tuple[int, ...]) -> Tensor:
    pool = F.max_pool2d if len(sides) == 2 else F.max_pool3d
    return pool(values, sides, 1, tuple(side // 2 for side in sides))
