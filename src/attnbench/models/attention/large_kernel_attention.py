"""Large kernel attention: a 21 x 21 neighbourhood, as three convolutions, weights every value.

Guo, Lu, Liu, Cheng, Hu: Visual Attention Network. Computational Visual Media 2023,
arXiv:2202.09741 (2022), eq. 1-2, in the attention half of the authors' block
(Visual-Attention-Network/VAN-Classification): batch normalisation, 1x1 convolutions and GELU
around it, two residuals, a scale per channel that starts at 0.01, weights at a standard deviation
of sqrt(2 / fan-out). Departs from it in that the feed-forward half of the block is left to the
U-Net's convolutions, and that there is no stochastic depth.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._channels import channel_weights
from attnbench.models.layers import BATCH_NORM, CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Large kernel attention",
    short="Large kernel",
    paper=Paper(
        "Meng-Hao Guo, Cheng-Ze Lu, Zheng-Ning Liu, Ming-Ming Cheng, Shi-Min Hu",
        2022,
        "Visual Attention Network",
        "arXiv:2202.09741",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in every block of a network made of it",
    gain=("layer_scale",),
)
class LargeKernelAttention(nn.Module):
    """x + s * (y + W2 (z * weigh(z))) with y = norm(x), z = gelu(W1 y) and a scale s per channel.

    weigh are depth-wise convolutions of kernel 5, then of kernel 7 with dilation 3, and one of
    1x1. The weights are not squashed and may be negative. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.norm = BATCH_NORM[ndim](channels)
        self.first = conv1x1(ndim, channels, channels)
        self.weigh = nn.Sequential(
            CONV[ndim](channels, channels, 5, padding=2, groups=channels),
            # Padding 9 = 3 * (7 - 1) / 2 keeps the size.
            CONV[ndim](channels, channels, 7, padding=9, dilation=3, groups=channels),
            conv1x1(ndim, channels, channels),
        )
        self.second = conv1x1(ndim, channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels,), 0.01))
        for layer in (self.first, *self.weigh, self.second):
            weight = layer.get_parameter("weight")
            groups = channels // weight.shape[1]
            fan_out = math.prod(weight.shape[2:]) * channels / groups
            nn.init.normal_(weight, std=math.sqrt(2 / fan_out))
            nn.init.zeros_(layer.get_parameter("bias"))

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the positions' weights, mean of |weight| over channels, (B, 1, *spatial)."""
        return self.weigh(F.gelu(self.first(self.norm(x)))).abs().mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        z = F.gelu(self.first(y))
        scale = channel_weights(self.layer_scale, x)
        return x + scale * (y + self.second(z * self.weigh(z)))
