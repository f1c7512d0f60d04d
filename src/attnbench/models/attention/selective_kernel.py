"""Selective kernel: two kernel sizes side by side, and per channel a choice between them.

Li, Wang, Hu, Yang: Selective Kernel Networks. CVPR 2019, arXiv:1903.06586, eq. 1-6: kernels 3
and 5 (3 with dilation 2), 32 groups, reduction 16 with at least 32 hidden units; initial weights
as in the authors' code (convolutions by Kaiming's rule, the other layers at a standard deviation
of 0.01). Departs from it in that it follows the U-Net's convolutions (in the paper it replaces
one), that groups are the largest number up to 32 that divides the channels, and that where a batch
of one leaves the hidden layer nothing to normalise over, the running statistics are used.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.models.attention._channels import PooledBatchNorm, channel_weights, spatial_mean
from attnbench.models.layers import BATCH_NORM, CONV
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Selective kernel",
    short="Selective kernel",
    paper=Paper(
        "Xiang Li, Wenhai Wang, Xiaolin Hu, Jian Yang",
        2019,
        "Selective Kernel Networks",
        "CVPR 2019, arXiv:1903.06586",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in the place of the 3x3 convolution of every residual block",
)
class SelectiveKernel(nn.Module):
    """a * small + (1 - a) * large, with a share `a` per channel.

    a = softmax over both of select(relu(norm(reduce(mean(small + large))))); `small` and `large`
    are convolution, batch normalisation and ReLU of x. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(
        self, channels: int, ndim: int, groups: int = 32, reduction: int = 16, least: int = 32
    ) -> None:
        super().__init__()
        groups, hidden = math.gcd(groups, channels), max(least, channels // reduction)
        self.small, self.large = (
            nn.Sequential(
                CONV[ndim](
                    channels,
                    channels,
                    3,
                    padding=dilation,
                    dilation=dilation,
                    groups=groups,
                    bias=False,
                ),
                BATCH_NORM[ndim](channels),
                nn.ReLU(),
            )
            for dilation in (1, 2)
        )
        self.reduce = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), PooledBatchNorm(hidden), nn.ReLU()
        )
        self.select = nn.Linear(hidden, 2 * channels, bias=False)
        for branch in (self.small, self.large):
            nn.init.kaiming_normal_(branch.get_parameter("0.weight"))
        for weight in (self.reduce.get_parameter("0.weight"), self.select.weight):
            nn.init.normal_(weight, std=0.01)

    def _share_of_small(self, small: Tensor, large: Tensor) -> Tensor:
        scores = self.select(self.reduce(spatial_mean(small + large))).unflatten(1, (2, -1))
        # The share of the large kernel is the rest to 1.
        return channel_weights(scores.softmax(1)[:, 0], small)

    def channel_map(self, x: Tensor) -> Tensor:
        """Share of the small kernel in each channel in (0, 1), (B, C, 1, ...)."""
        return self._share_of_small(self.small(x), self.large(x))

    def forward(self, x: Tensor) -> Tensor:
        small, large = self.small(x), self.large(x)
        # lerp takes one type only, and under mixed precision the share may have another.
        return torch.lerp(large, small, self._share_of_small(small, large).to(small.dtype))
