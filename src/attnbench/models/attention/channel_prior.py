"""Channel prior convolutional attention: channel attention, then strips weight every value.

Huang, Chen, Zou, Lu, Chen, Song, Zhang, Yan: Channel prior convolutional attention for medical
image segmentation. Computers in Biology and Medicine 178 (2024) 108784, arXiv:2306.05196, the
equations of CA(F) and SA(F). Where the paper and the authors' code (Cuthbert-Huang/CPCANet,
`RepBlock`) differ, the code is followed: a sigmoid each for the mean and the maximum, which are
then added (CA(F) is one sigmoid of the sum), a reduction of 4 (text: 16), and one 1x1 convolution
in three places: before a GELU at the entry, as the mixing of SA(F), and at the exit. As in the
block of the code, batch normalisation lies before and a shortcut around the attention; the block's
feed-forward network is left to the U-Net's convolutions, and there is no stochastic depth. Departs
from both in a floor of 8 hidden units, which the paper's widths never meet. In 3-D, which the
paper has not, the local kernel is 5^3 and a branch of length k is one strip of k voxels along each
of the three axes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._channels import channel_weights, hidden_width, spatial_mean
from attnbench.models.layers import BATCH_NORM, CONV, conv1x1
from attnbench.models.registry import Paper, mechanism

LENGTHS = (7, 11, 21)


def strips(ndim: int, channels: int, length: int) -> nn.Sequential:
    """Depth-wise convolutions with a kernel of `length` along one axis each, the last axis first.

    In 2-D 1 x length, then length x 1, as in the authors' code.
    """
    layers = []
    for axis in reversed(range(ndim)):
        kernel: Any = tuple(length if other == axis else 1 for other in range(ndim))
        layers.append(CONV[ndim](channels, channels, kernel, padding="same", groups=channels))
    return nn.Sequential(*layers)


@mechanism(
    title="Channel prior convolutional attention",
    short="Channel prior",
    paper=Paper(
        "Hejun Huang, Zuguo Chen, Ying Zou, Ming Lu, Chaoyang Chen, Youzhi Song, Hongqiang Zhang, "
        "Feng Yan",
        2024,
        "Channel prior convolutional attention for medical image segmentation",
        "Computers in Biology and Medicine 178, 108784, arXiv:2306.05196",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in every encoder block of a network made of it",
)
class ChannelPrior(nn.Module):
    """x + mix(z * mix(d + strips_7(d) + strips_11(d) + strips_21(d))) with d = local(z).

    z = y * (sigmoid(f(mean(y))) + sigmoid(f(max(y)))), y = gelu(mix(norm(x))); mean and maximum go
    over positions, f is one network for both, mix is one 1x1 convolution. local (kernel 5) and
    strips are depth-wise. The weights mix(d + ...) are not squashed and may be negative. Maps
    (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.norm = BATCH_NORM[ndim](channels)
        self.mix = conv1x1(ndim, channels, channels)
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.local = CONV[ndim](channels, channels, 5, padding=2, groups=channels)
        self.strips = nn.ModuleList(strips(ndim, channels, length) for length in LENGTHS)

    def _weight_channels(self, x: Tensor) -> Tensor:
        y = F.gelu(self.mix(self.norm(x)))
        pooled = torch.stack([spatial_mean(y), y.flatten(2).amax(2)])
        return y * channel_weights(self.excite(pooled).sigmoid().sum(0), y)

    def _weigh(self, z: Tensor) -> Tensor:
        local = self.local(z)
        total = local
        for branch in self.strips:
            total = total + branch(local)
        return self.mix(total)

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the positions' weights, mean of |weight| over channels, (B, 1, *spatial)."""
        return self._weigh(self._weight_channels(x)).abs().mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        z = self._weight_channels(x)
        return x + self.mix(z * self._weigh(z))
