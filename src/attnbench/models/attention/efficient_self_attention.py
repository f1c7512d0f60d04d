"""Efficient self-attention of UTNet: positions attend to keys and values of one small grid.

Gao, Zhou, Metaxas: UTNet: A Hybrid Transformer Architecture for Medical Image Segmentation.
MICCAI 2021, arXiv:2107.00781, section 2.2-2.3, block, 4 heads and biases as in the authors' code
(yhygao/UTNet), grid 8. Departs from it in that a query takes the bias of the grid cell it lies
in for any size (there, sizes are multiples of the grid), and that decoder levels use the same
block (there, queries of the skip attend to the level below).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._attend import as_map, attend, tokens
from attnbench.models.attention._channels import check_divisible
from attnbench.models.attention._heads import join_heads, split_heads
from attnbench.models.attention._relative import RelativeBias
from attnbench.models.layers import BATCH_NORM, CONV, LINEAR_MODE, conv1x1
from attnbench.models.registry import Paper, mechanism


def separable(ndim: int, inputs: int, outputs: int) -> nn.Sequential:
    """Depth-wise 3^n and 1x1 convolution, without biases."""
    depthwise = CONV[ndim](inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, conv1x1(ndim, inputs, outputs, bias=False))


@mechanism(
    title="Efficient self-attention",
    short="Efficient attention",
    paper=Paper(
        "Yunhe Gao, Mu Zhou, Dimitris N. Metaxas",
        2021,
        "UTNet: A Hybrid Transformer Architecture for Medical Image Segmentation",
        "MICCAI 2021, arXiv:2107.00781",
    ),
    default=("encoder", "bottleneck", "decoder"),
    in_paper="on every level but the finest",
    deepest=2,
    logits=("scale",),
)
class EfficientSelfAttention(nn.Module):
    """y = x + W softmax((q k^T + bias) / sqrt(C / heads)) v, then y + mix(relu(norm(y))).

    q, k and v are those of norm(x); k and v are resized to `grid` cells along each axis
    (linear, corners aligned), the bias is by relative position of the query's cell and the key.
    Maps (B, C, *spatial) to the same shape, C a multiple of `heads`; time and memory are linear
    in the number of positions.
    """

    def __init__(self, channels: int, ndim: int, heads: int = 4, grid: int = 8) -> None:
        super().__init__()
        check_divisible(channels, heads, f"{heads} heads")
        self.heads, self.grid, self.scale = heads, grid, (channels // heads) ** -0.5
        self.attention_norm = BATCH_NORM[ndim](channels)
        self.qkv = separable(ndim, channels, 3 * channels)
        self.bias = RelativeBias(grid, ndim, heads)
        self.output = separable(ndim, channels, channels)
        self.mix = nn.Sequential(
            BATCH_NORM[ndim](channels), nn.ReLU(), conv1x1(ndim, channels, channels, bias=False)
        )

    def _cells(self, x: Tensor) -> Tensor:
        """Number of the grid cell in which each position of `x` lies, (N,)."""
        cells = torch.zeros((), dtype=torch.long, device=x.device)
        for side in x.shape[2:]:
            # Row-major, as the grid is flattened: earlier axes count whole rows of later ones.
            along = torch.arange(side, device=x.device) * self.grid // side
            cells = (cells[..., None] * self.grid + along).flatten()
        return cells

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries (B, heads, N, D), keys, values (B, C, *grid), scaled bias (heads, N, cells)."""
        query, key, value = self.qkv(self.attention_norm(x)).chunk(3, dim=1)
        ndim = x.dim() - 2
        key, value = (
            F.interpolate(features, (self.grid,) * ndim, mode=LINEAR_MODE[ndim], align_corners=True)
            for features in (key, value)
        )
        # The paper scales scores and bias together; `attend` scales the scores alone.
        bias = self.scale * self.bias()[:, self._cells(x)]
        return split_heads(tokens(query), self.heads), key, value, bias.to(query.dtype)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each cell of the grid receives, resized to (B, 1, *spatial).

        Mean over queries and heads.
        """
        query, key, _, bias = self._parts(x)
        scores = self.scale * query @ split_heads(tokens(key), self.heads).transpose(-1, -2)
        weights = (scores + bias).softmax(-1)
        return as_map(weights.mean((1, 2)), key, x)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value, bias = self._parts(x)
        key, value = (split_heads(tokens(features), self.heads) for features in (key, value))
        joined = join_heads(attend(query, key, value, self.scale, bias))
        x = x + self.output(joined.transpose(1, 2).reshape(x.shape))
        return x + self.mix(x)
