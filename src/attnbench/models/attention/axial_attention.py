"""Axial attention: full attention along one axis after the other.

Ho, Kalchbrenner, Weissenborn, Salimans: Axial Attention in Multidimensional Transformers.
arXiv:1912.12180 (2019), section 3.1, 8 heads. Departs from it in that positions are not embedded
(the U-Net's padded convolutions know them, and any size is taken) and that the U-Net's
convolutions take the place of the layers between two attentions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.attention._attend import attend
from attnbench.models.attention._channels import check_divisible
from attnbench.models.registry import Paper, mechanism


class AxisAttention(nn.Module):
    """x + W attention(norm(x)) along one axis, multi-head; x is (B, *spatial, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.output = nn.Linear(channels, channels)

    def _split(self, x: Tensor, axis: int) -> tuple[Tensor, torch.Size]:
        """Queries, keys and values, (3, lines, heads, side, C / heads), and the lines' shape.

        The shape is (B, *others, side, 3C).
        """
        lines = self.qkv(self.norm(x)).movedim(axis + 1, -2)
        # All other axes join the batch: every line attends by itself.
        heads = lines.reshape(-1, lines.shape[-2], 3, self.heads, x.shape[-1] // self.heads)
        return heads.permute(2, 0, 3, 1, 4), lines.shape

    def received(self, x: Tensor, axis: int) -> Tensor:
        """Attention that each position receives in its line, (B, *spatial).

        Mean over queries and heads.
        """
        (q, k, _), shape = self._split(x, axis)
        weights = torch.softmax(self.scale * q @ k.transpose(-1, -2), dim=-1)
        return weights.mean((1, 2)).reshape(shape[:-1]).movedim(-1, axis + 1)

    def forward(self, x: Tensor, axis: int) -> Tensor:
        """Features (B, *spatial, C) to the same shape; `axis` counts the spatial axes from 0."""
        (q, k, v), shape = self._split(x, axis)
        attended = attend(q, k, v, self.scale).transpose(1, 2)
        attended = attended.reshape(*shape[:-1], x.shape[-1]).movedim(-2, axis + 1)
        return x + self.output(attended)


@mechanism(
    title="Axial attention",
    short="Axial attention",
    paper=Paper(
        "Jonathan Ho, Nal Kalchbrenner, Dirk Weissenborn, Tim Salimans",
        2019,
        "Axial Attention in Multidimensional Transformers",
        "arXiv:1912.12180",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in every layer of an autoregressive image model",
    deepest=2,
    logits=("axes.*.scale",),
)
class AxialAttention(nn.Module):
    """Multi-head attention along each axis in turn.

    Each has layer normalisation before and a residual around it. Maps (B, C, *spatial) to the same
    shape; C is a multiple of `heads`; memory is linear in the number of positions.
    """

    def __init__(self, channels: int, ndim: int, heads: int = 8) -> None:
        super().__init__()
        check_divisible(channels, heads, f"{heads} heads")
        self.axes = nn.ModuleList(AxisAttention(channels, heads) for _ in range(ndim))

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives in its lines, (B, 1, *spatial).

        Mean over queries, heads and axes.
        """
        x, maps = x.movedim(1, -1), []
        for axis, layer in enumerate(self.axes):
            assert isinstance(layer, AxisAttention)
            maps.append(layer.received(x, axis))
            x = layer(x, axis)
        return torch.stack(maps).mean(0).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        # Channels last in memory once, as every layer reads them.
        x = x.movedim(1, -1).contiguous()
        for axis, layer in enumerate(self.axes):
            x = layer(x, axis)
        return x.movedim(-1, 1)
