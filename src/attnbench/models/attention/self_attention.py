"""Self-attention over all positions.

Zhang, Goodfellow, Metaxas, Odena: Self-Attention Generative Adversarial Networks. ICML 2019, arXiv:1805.08318.
Departs from it as the block of this project's source text does: no spectral normalisation, value of full width, no
output convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.layers import conv1x1
from attnbench.models.registry import Paper, mechanism


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T) value, unscaled, without ever holding the N x N matrix.

    `query` and `key` (B, N, D), `value` (B, N, C) with D <= C; returns (B, N, C). Zero-padding query and key to C
    leaves every product unchanged and makes the memory-linear kernels of `scaled_dot_product_attention` apply.
    """
    missing = value.shape[-1] - query.shape[-1]
    query, key = (F.pad(x, (0, missing)).unsqueeze(1) for x in (query, key))
    return F.scaled_dot_product_attention(query, key, value.unsqueeze(1), scale=1.0).squeeze(1)


@mechanism(
    title="Self-attention",
    paper=Paper(
        "Zhang, Goodfellow, Metaxas, Odena",
        2019,
        "Self-Attention Generative Adversarial Networks",
        "ICML 2019, arXiv:1805.08318",
    ),
    default=("decoder",),
    deepest=2,
)
class SelfAttention(nn.Module):
    """x + gamma * softmax(q k^T) v with 1x1 convolutions for q, k (C/reduction) and v (C); gamma starts at 0.

    Maps (B, C, *spatial) to the same shape; memory is linear in the number of positions.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.query = conv1x1(ndim, channels, inner)
        self.key = conv1x1(ndim, channels, inner)
        self.value = conv1x1(ndim, channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))  # (B, N, .)
        attended = attend(q, k, v).transpose(1, 2).reshape(x.shape)
        return self.gamma * attended + x
