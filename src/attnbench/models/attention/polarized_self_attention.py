"""Polarised self-attention: a channel and a spatial branch, full resolution where not collapsed.

Liu, Liu, Fan, Huang: Polarized Self-Attention: Towards High-quality Pixel-wise Regression.
arXiv:2107.00782 (2021), eq. 1-5, parallel or sequential: followed is the paper, from which the
authors' code (DeLightCMU/PSA) differs. There the spatial branch takes its softmax over positions
(of the product with q in the parallel, of v in the sequential layout), not over the channels of
the pooled q; and the channel branch has no layer normalisation in the parallel layout,
and widens through C/8 units with one in the sequential. 1x1 convolutions without bias and their
start by Kaiming's rule are the code's.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._channels import channel_weights
from attnbench.models.layers import conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Polarised self-attention",
    short="Polarised attention",
    paper=Paper(
        "Huajun Liu, Fuqiang Liu, Xinyi Fan, Dong Huang",
        2021,
        "Polarized Self-Attention: Towards High-quality Pixel-wise Regression",
        "arXiv:2107.00782",
    ),
    default=("encoder", "bottleneck"),
    in_paper="behind the first 3x3 convolution of every residual block",
    logits=("channel_query",),
)
class PolarizedSelfAttention(nn.Module):
    """x * channel(x) + x * spatial(x), or y * spatial(y) of y = x * channel(x).

    `layout` is parallel for the first, sequential for the second.
    channel: sigmoid(norm(W v softmax_positions(q)));
    spatial: sigmoid(softmax_channels(mean(q)) v).
    The first q is one channel wide, both v and the second q have width C/2. Maps
    (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, layout: str = "parallel") -> None:
        super().__init__()
        if layout not in ("parallel", "sequential"):
            raise ValueError(f"layout is {layout!r}; allowed: parallel, sequential")
        self.layout, inner = layout, max(1, channels // 2)
        self.channel_query = conv1x1(ndim, channels, 1, bias=False)
        self.channel_value = conv1x1(ndim, channels, inner, bias=False)
        self.expand = nn.Sequential(nn.Linear(inner, channels, bias=False), nn.LayerNorm(channels))
        self.spatial_query = conv1x1(ndim, channels, inner, bias=False)
        self.spatial_value = conv1x1(ndim, channels, inner, bias=False)
        for layer in (
            self.channel_query,
            self.channel_value,
            self.spatial_query,
            self.spatial_value,
        ):
            nn.init.kaiming_normal_(
                layer.get_parameter("weight"), mode="fan_in", nonlinearity="relu"
            )

    def _channel(self, x: Tensor) -> Tensor:
        """Weights of the channels, (B, C, 1, ...)."""
        query = self.channel_query(x).flatten(2).softmax(2)  # (B, 1, N)
        pooled = self.channel_value(x).flatten(2) @ query.transpose(1, 2)
        return channel_weights(self.expand(pooled.squeeze(2)).sigmoid(), x)

    def _spatial(self, x: Tensor) -> Tensor:
        """Weights of the positions, (B, 1, *spatial)."""
        query = self.spatial_query(x).flatten(2).mean(2).softmax(1)
        weights = query.unsqueeze(1) @ self.spatial_value(x).flatten(2)
        return weights.sigmoid().reshape(-1, 1, *x.shape[2:])

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), (B, 1, *spatial)."""
        return self._spatial(x if self.layout == "parallel" else x * self._channel(x))

    def forward(self, x: Tensor) -> Tensor:
        if self.layout == "parallel":
            return x * (self._channel(x) + self._spatial(x))
        x = x * self._channel(x)
        return x * self._spatial(x)
