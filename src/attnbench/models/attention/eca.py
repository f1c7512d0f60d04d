"""Efficient channel attention: each channel weighted by its neighbours, without reduction.

Wang, Wu, Zhu, Li, Zuo, Hu: ECA-Net: Efficient Channel Attention for Deep Convolutional Neural
Networks. CVPR 2020, arXiv:1910.03151, eq. 9 (the convolution) and 12 (its adaptive kernel, gamma
2 and b 1).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from attnbench.models.attention._channels import channel_weights, spatial_mean
from attnbench.models.registry import Paper, mechanism


def adaptive_kernel(channels: int, gamma: float = 2, b: float = 1) -> int:
    """Odd kernel |log2(C) / gamma + b / gamma| of eq. 12.

    As in the authors' code an even value is raised by 1.
    """
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


@mechanism(
    title="ECA",
    short="ECA",
    paper=Paper(
        "Qilong Wang, Banggu Wu, Pengfei Zhu, Peihua Li, Wangmeng Zuo, Qinghua Hu",
        2020,
        "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
        "CVPR 2020, arXiv:1910.03151",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside every residual block of an ImageNet network, before the sum",
)
class ECA(nn.Module):
    """x * sigmoid(conv(mean(x))), one convolution along the channels.

    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        size = adaptive_kernel(channels)
        self.mix = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def channel_map(self, x: Tensor) -> Tensor:
        """Weights of the channels in (0, 1), (B, C, 1, ...)."""
        mixed = self.mix(spatial_mean(x).unsqueeze(1)).squeeze(1)
        return channel_weights(mixed.sigmoid(), x)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.channel_map(x)
