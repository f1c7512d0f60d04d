"""Coordinate attention: one profile per axis, pooled over the other axes, weights every position.

Hou, Zhou, Feng: Coordinate Attention for Efficient Mobile Network Design. CVPR 2021,
arXiv:2103.02907, eq. 4-9; reduction 32 with at least 8 channels and hard swish, as in the
authors' code. In 3-D there are three profiles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.attention._channels import hidden_width
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Coordinate attention",
    short="Coordinate attention",
    paper=Paper(
        "Qibin Hou, Daquan Zhou, Jiashi Feng",
        2021,
        "Coordinate Attention for Efficient Mobile Network Design",
        "CVPR 2021, arXiv:2103.02907",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside the blocks of a MobileNet",
)
class CoordinateAttention(nn.Module):
    """x times one factor per axis: sigmoid(expand(hardswish(norm(reduce(profile))))).

    reduce and norm are shared. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.reduce = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.BatchNorm1d(hidden), nn.Hardswish()
        )
        self.expand = nn.ModuleList(nn.Conv1d(hidden, channels, 1) for _ in range(ndim))

    def _factors(self, x: Tensor) -> list[Tensor]:
        """Weights along each axis in (0, 1), of shapes (B, C, H, 1), (B, C, 1, W)."""
        axes = range(2, x.dim())
        # (B, C, side) each
        profiles = [x.mean([other for other in axes if other != axis]) for axis in axes]
        # End to end as one sequence: the shared normalisation takes statistics over all axes.
        reduced = self.reduce(torch.cat(profiles, dim=2)).split(list(x.shape[2:]), dim=2)
        factors = []
        for axis, layer, profile in zip(axes, self.expand, reduced, strict=True):
            shape = [side if other in (0, 1, axis) else 1 for other, side in enumerate(x.shape)]
            factors.append(layer(profile).sigmoid().reshape(shape))
        return factors

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), (B, 1, *spatial).

        The product of the axes, its mean over channels.
        """
        first, *rest = self._factors(x)
        for factor in rest:
            first = first * factor
        return first.mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        for factor in self._factors(x):
            x = x * factor
        return x
