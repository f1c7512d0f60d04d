"""Self-attention over all positions.

Zhang, Goodfellow, Metaxas, Odena: Self-Attention Generative Adversarial Networks. ICML 2019,
arXiv:1805.08318. Departs from it as the block of this project's source text does: no spectral
normalisation, value of full width, no output convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.attention._attend import as_map, attend, received, tokens
from attnbench.models.layers import conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Self-attention",
    short="Self-attention",
    paper=Paper(
        "Han Zhang, Ian Goodfellow, Dimitris Metaxas, Augustus Odena",
        2019,
        "Self-Attention Generative Adversarial Networks",
        "ICML 2019, arXiv:1805.08318",
    ),
    default=("decoder",),
    in_paper="on larger feature maps of the generator and discriminator of a GAN",
    deepest=2,
    scale=("gamma",),
    logits=("query", "key"),
)
class SelfAttention(nn.Module):
    """x + gamma * softmax(q k^T) v with 1x1 convolutions for q, k (C/reduction) and v (C).

    gamma starts at 0. Maps (B, C, *spatial) to the same shape; memory is linear in the number of
    positions.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.query = conv1x1(ndim, channels, inner)
        self.key = conv1x1(ndim, channels, inner)
        self.value = conv1x1(ndim, channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries, (B, 1, *spatial).

        It sums to 1.
        """
        return as_map(received(tokens(self.query(x)), tokens(self.key(x))), x, x)

    def forward(self, x: Tensor) -> Tensor:
        attended = attend(
            tokens(self.query(x)), tokens(self.key(x)), tokens(self.value(x))
        )  # (B, N, C)
        return x + self.gamma * attended.transpose(1, 2).reshape(x.shape)
