"""Efficient multi-scale attention (EMA): two branches of a group weight each other's positions.

Ouyang, He, Zhang, Luo, Guo, Zhan, Huang: Efficient Multi-Scale Attention Module with Cross-Spatial
Learning. ICASSP 2023, arXiv:2305.13563, section 2, details as in the authors' code
(YOLOonMe/EMA-attention-module): 32 groups, one 1x1 convolution for the pooled axes, a kernel of 3,
group normalisation with a group per channel. Departs from it in that a group keeps at least 8
channels, as in the paper's narrowest network: a softmax over one or two channels weights nothing.

The normalised branch is pooled over the positions in the paper; the mean of what was normalised
over positions is the bias of the normalisation, exactly, and is taken from there: its softmax is
the same for all images. In volumes three axes are pooled, and the kernel is 3 x 3 x 3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attnbench.models.attention._channels import spatial_mean
from attnbench.models.layers import CONV
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Efficient multi-scale attention",
    short="Efficient multiscale",
    paper=Paper(
        "Daliang Ouyang, Su He, Guozhong Zhang, Mingzhu Luo, Huaiyong Guo, Jian Zhan, Zhijie Huang",
        2023,
        "Efficient Multi-Scale Attention Module with Cross-Spatial Learning",
        "ICASSP 2023, arXiv:2305.13563",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside the residual blocks of a classifier, and in a detector",
)
class EfficientMultiScaleAttention(nn.Module):
    """x * sigmoid(softmax(mean(one)) . three + softmax(mean(three)) . one) in each group.

    one = norm(x * factors), a factor in (0, 1) per axis from its profile; three = conv3(x). The
    softmax and the product go over the channels of the group, the mean over positions; weights
    of the layers are those of all groups. Maps (B, C, *spatial) to the same shape; with C below
    16 there is one group.
    """

    def __init__(self, channels: int, ndim: int, groups: int = 32) -> None:
        super().__init__()
        self.groups = math.gcd(channels, min(groups, max(1, channels // 8)))
        width = channels // self.groups
        self.profile = nn.Conv1d(width, width, 1)
        self.norm = nn.GroupNorm(width, width)
        self.local = CONV[ndim](width, width, 3, padding=1)

    def _weights(self, x: Tensor) -> Tensor:
        """Weights in (0, 1), (B * groups, 1, *spatial), of (B * groups, width, *spatial)."""
        axes = range(2, x.dim())
        profiles = [x.mean([other for other in axes if other != axis]) for axis in axes]
        # End to end as one sequence: the convolution is shared.
        mixed = self.profile(torch.cat(profiles, dim=2)).sigmoid().split(list(x.shape[2:]), dim=2)
        one = x
        for axis, factor in zip(axes, mixed, strict=True):
            shape = [side if other in (0, 1, axis) else 1 for other, side in enumerate(x.shape)]
            one = one * factor.reshape(shape)
        one, three = self.norm(one), self.local(x)
        of_one = self.norm.bias.softmax(0).expand(x.shape[0], 1, -1)
        of_three = spatial_mean(three).softmax(1).unsqueeze(1)
        scores = of_one @ three.flatten(2) + of_three @ one.flatten(2)
        return scores.sigmoid().reshape(-1, 1, *x.shape[2:])

    def _grouped(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0] * self.groups, -1, *x.shape[2:])

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), mean over groups, (B, 1, *spatial)."""
        weights = self._weights(self._grouped(x))
        return weights.reshape(x.shape[0], self.groups, *x.shape[2:]).mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        grouped = self._grouped(x)
        return (grouped * self._weights(grouped)).reshape(x.shape)
