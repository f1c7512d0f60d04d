"""Criss-cross attention, twice: to row and column, and by the second pass to all positions.

Huang et al.: CCNet: Criss-Cross Attention for Semantic Segmentation. ICCV 2019,
arXiv:1811.11721, eq. 1-2; one set of weights for both passes, q and k of width C/8. Departs from
it in that the U-Net's own convolutions take the place of those around the module. In 3-D a
position attends to the three lines through it (three passes would reach all).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.layers import conv1x1
from attnbench.models.registry import Paper, mechanism


def along(x: Tensor, axis: int) -> Tensor:
    """Lines along one spatial axis, (B, *others, side, C), of (B, C, *spatial)."""
    return x.movedim((axis + 2, 1), (-2, -1))


@mechanism(
    title="Criss-cross attention",
    short="Criss-cross",
    paper=Paper(
        "Zilong Huang, Xinggang Wang, Lichao Huang, Chang Huang, Yunchao Wei, Wenyu Liu",
        2019,
        "CCNet: Criss-Cross Attention for Semantic Segmentation",
        "ICCV 2019, arXiv:1811.11721",
    ),
    default=("bottleneck",),
    in_paper="behind an ImageNet network, at an eighth of the resolution",
    scale=("gamma",),
    logits=("query", "key"),
)
class CrissCross(nn.Module):
    """`recurrence` times x + gamma * softmax(q k^T) v over the lines through each position.

    gamma starts at 0. Maps (B, C, *spatial) to the same shape; memory is N times the sum of the
    sides.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 8, recurrence: int = 2) -> None:
        super().__init__()
        self.recurrence = recurrence
        inner = max(1, channels // reduction)
        self.query = conv1x1(ndim, channels, inner)
        self.key = conv1x1(ndim, channels, inner)
        self.value = conv1x1(ndim, channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def _weights(self, x: Tensor) -> list[Tensor]:
        """Weights over each axis, (B, *others, side, side).

        Over all axes those of one position sum to 1. Every line holds the position
        itself: it counts on the last axis only.
        """
        query, key = self.query(x), self.key(x)
        sides = list(x.shape[2:])
        energies = []
        for axis, side in enumerate(sides):
            energy = along(query, axis) @ along(key, axis).transpose(-1, -2)
            if axis < len(sides) - 1:
                itself = torch.eye(side, dtype=torch.bool, device=x.device)
                energy = energy.masked_fill(itself, float("-inf"))
            energies.append(energy.movedim(-2, axis + 1))  # (B, *spatial, side)
        weights = torch.cat(energies, dim=-1).softmax(-1).split(sides, dim=-1)
        return [weight.movedim(axis + 1, -2) for axis, weight in enumerate(weights)]

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives in the first pass, (B, 1, *spatial).

        Mean over queries; sums to 1.
        """
        sums = [
            weight.sum(-2).movedim(-1, axis + 1) for axis, weight in enumerate(self._weights(x))
        ]
        # Divided by the number of queries, all positions: a mean.
        return torch.stack(sums).sum(0).unsqueeze(1) / x[0, 0].numel()

    def _attend(self, x: Tensor) -> Tensor:
        value = self.value(x)
        lines = [
            (weight @ along(value, axis)).movedim((-2, -1), (axis + 2, 1))
            for axis, weight in enumerate(self._weights(x))
        ]
        return x + self.gamma * torch.stack(lines).sum(0)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.recurrence):
            x = self._attend(x)
        return x
