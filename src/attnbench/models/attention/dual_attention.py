"""Dual attention: every position attends to all positions, every channel to all channels.

Fu et al.: Dual Attention Network for Scene Segmentation. CVPR 2019, arXiv:1809.02983, eq. 1-4.
As in the authors' code, the energy of two channels is their product subtracted from the largest
in its row. Departs from it in that the U-Net's own convolutions take the place of those around
each branch, and that the input is added once, not per branch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.attention._attend import as_map, attend, received, tokens
from attnbench.models.layers import conv1x1, single_precision
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Dual attention",
    short="Dual attention",
    paper=Paper(
        "Jun Fu, Jing Liu, Haijie Tian, Yong Li, Yongjun Bao, Zhiwei Fang, Hanqing Lu",
        2019,
        "Dual Attention Network for Scene Segmentation",
        "CVPR 2019, arXiv:1809.02983",
    ),
    default=("bottleneck",),
    in_paper="behind an ImageNet network, at an eighth of the resolution",
    scale=("alpha", "beta"),
    logits=("query", "key"),
)
class DualAttention(nn.Module):
    """x + alpha * softmax(q k^T) v + beta * softmax(max - x x^T) x; alpha and beta start at 0.

    The first product goes over channels, the second over positions; q, k have width C/8. Maps
    (B, C, *spatial) to the same shape; memory is linear in the number of positions.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.query = conv1x1(ndim, channels, inner)
        self.key = conv1x1(ndim, channels, inner)
        self.value = conv1x1(ndim, channels, channels)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.beta = nn.Parameter(torch.zeros(()))

    @staticmethod
    def _channel_weights(flat: Tensor) -> Tensor:
        """Weights (B, C, C), rows sum to 1."""
        # A sum over N positions is too coarse in half precision.
        with single_precision(flat):
            flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
            energy = flat @ flat.transpose(1, 2)
        # The less alike two channels are, the more they weigh, as in the authors' code.
        return (energy.amax(2, keepdim=True) - energy).softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries, (B, 1, *spatial).

        It sums to 1.
        """
        return as_map(received(tokens(self.query(x)), tokens(self.key(x))), x, x)

    def forward(self, x: Tensor) -> Tensor:
        positions = attend(
            tokens(self.query(x)), tokens(self.key(x)), tokens(self.value(x))
        ).transpose(1, 2)
        flat = x.flatten(2)  # (B, C, N)
        channels = self._channel_weights(flat) @ flat
        return x + (self.alpha * positions + self.beta * channels).reshape(x.shape)
