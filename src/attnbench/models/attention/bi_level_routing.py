"""Bi-level routing attention: positions attend to those of the few regions most like their own.

Zhu, Wang, Ke, Zhang, Lau: BiFormer: Vision Transformer with Bi-Level Routing Attention. CVPR 2023,
arXiv:2303.08810, eq. 3-7, in the whole block of section 4: a depth-wise convolution for
positions, attention and an MLP of 3 C, each with a shortcut, linear layers started as in the
authors' code (rayleizhu/BiFormer). BRAU-Net++ (Lan et al., arXiv:2401.00722) builds a U-Net of it.
7 regions along each axis as in the paper (in volumes 4, which is about as many) and 4 of them
chosen, the default of the authors' module; their networks choose 1 to 16, by stage. As in their
code the scores are scaled by the whole width, C^-0.5, and the choice of regions passes no gradient.

Departs from it in that
- a region has ceil(side / regions) positions along an axis, so that there are fewer regions where
  that does not divide the side; padding is neither averaged nor attended to (in `bra_nchw.py` it
  is not averaged, but attended to with a score of 0). At multiples of the number of regions both
  are the same;
- regions are chosen in single precision, by the linear maps of the mean features, which are the
  mean queries and keys: rounding would choose others;
- there is no stochastic depth.

Regions grow with the image, so time grows with the square of the positions, 4/49 of all pairs
(in volumes 4/64) beside the regions' own; memory is linear, the gathered keys and values being
4 of each per position. Control `uniform` is the mean over the chosen regions, which are still
chosen by content.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._attend import attend
from attnbench.models.attention._channels import check_divisible
from attnbench.models.attention._heads import feed_forward
from attnbench.models.attention._windows import merge, pad_ends, partition
from attnbench.models.layers import CONV, single_precision
from attnbench.models.registry import Paper, mechanism


class Layout(NamedTuple):
    """How an image is cut: positions of a region along each axis, and padded sides."""

    region: tuple[int, ...]
    sides: tuple[int, ...]

    @property
    def regions(self) -> int:
        """Number of regions."""
        return math.prod(self.sides) // math.prod(self.region)


def layout(x: Tensor, regions: int) -> Layout:
    """At most `regions` along each axis of (B, *spatial, C), none of them all padding."""
    region = tuple(-(-side // regions) for side in x.shape[1:-1])
    return Layout(
        region,
        tuple(
            -(-side // inside) * inside for side, inside in zip(x.shape[1:-1], region, strict=True)
        ),
    )


class Routed(NamedTuple):
    """Queries by region, and the keys and values of the regions chosen for each.

    `query` is (B, regions, heads, cells, D), `key` and `value` (B, regions, heads,
    chosen * cells, D); `bias`, None without padding, spreads to the scores; `chosen` (B, regions,
    chosen) are indices of regions; `inside` (regions, cells) is True for the image.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None
    chosen: Tensor
    inside: Tensor


class RoutedAttention(nn.Module):
    """W (attention(x) + local(v)) of normalised features x (B, *spatial, C).

    Attention is multi-head, of a region's positions to those of the `chosen` regions whose mean
    key has the largest product with its mean query; local is a depth-wise convolution of the
    values v. Maps to the same shape.
    """

    def __init__(
        self, channels: int, ndim: int, regions: int, chosen: int, head_width: int
    ) -> None:
        super().__init__()
        self.heads = max(1, channels // head_width)
        check_divisible(channels, self.heads, f"{self.heads} heads of at least {head_width}")
        self.regions, self.chosen, self.scale = regions, chosen, channels**-0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.local = CONV[ndim](channels, channels, 5, padding=2, groups=channels)
        self.output = nn.Linear(channels, channels)

    def _choose(self, x: Tensor, inside: Tensor) -> Tensor:
        """Indices of the regions chosen for each, (B, regions, chosen).

        `x` (B, regions, cells, C) are the normalised features, zero in the padding.
        """
        with torch.no_grad(), single_precision(x):
            mean = x.sum(2) / inside.sum(1, keepdim=True)
            width = 2 * x.shape[-1]
            query, key = F.linear(mean, self.qkv.weight[:width], self.qkv.bias[:width]).chunk(2, -1)
            affinity = query @ key.transpose(1, 2)
            return affinity.topk(min(self.chosen, x.shape[1])).indices

    def _route(self, x: Tensor, qkv: Tensor, cut: Layout) -> Routed:
        """Normalised features and their queries, keys and values, both (B, *spatial, ...)."""

        def by_region(features: Tensor) -> Tensor:
            padded = partition(pad_ends(features, cut.sides), cut.region)
            return padded.unflatten(0, (-1, cut.regions))

        inside = by_region(x.new_ones(1, *x.shape[1:-1], 1)).reshape(cut.regions, -1) > 0
        chosen = self._choose(by_region(x), inside)
        query, pairs = by_region(qkv).split([x.shape[-1], 2 * x.shape[-1]], -1)
        # The regions of one image follow each other, then those of the next.
        first = cut.regions * torch.arange(len(x), device=x.device)
        rows = (chosen + first[:, None, None]).flatten()
        gathered = pairs.flatten(0, 1).index_select(0, rows)
        gathered = gathered.reshape(*chosen.shape[:2], -1, gathered.shape[-1])
        key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(2, 3) for part in gathered.chunk(2, -1)
        )
        query = query.unflatten(-1, (self.heads, -1)).transpose(2, 3)
        bias = None
        if cut.sides != tuple(x.shape[1:-1]):
            bias = torch.zeros_like(inside, dtype=query.dtype).masked_fill(~inside, float("-inf"))
            bias = bias[chosen].flatten(2)[:, :, None, None]  # (B, regions, 1, 1, keys)
        return Routed(query, key, value, bias, chosen, inside)

    def inside(self, x: Tensor) -> Tensor:
        """1 where a region's query lies in the image, 0 in its padding, (B * regions, 1, cells)."""
        cut = layout(x, self.regions)
        return partition(pad_ends(torch.ones_like(x[..., :1]), cut.sides), cut.region).transpose(
            1, 2
        )

    def received(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries and heads, (B, *spatial).

        It sums to 1; it is 0 in regions that no region chooses.
        """
        cut = layout(x, self.regions)
        query, key, _, bias, chosen, inside = self._route(x, self.qkv(x), cut)
        received = query.new_zeros(len(x), *inside.shape)
        for region in range(cut.regions):
            # One region at a time: the scores of all of them are a part of all pairs.
            scores = self.scale * query[:, region] @ key[:, region].transpose(-1, -2)
            weights = (scores if bias is None else scores + bias[:, region]).softmax(-1).mean(1)
            total = weights[:, inside[region]].sum(1).unflatten(1, (chosen.shape[2], -1))
            received.scatter_add_(1, chosen[:, region, :, None].expand_as(total), total)
        number = x[0, ..., 0].numel()
        return self._whole(received.flatten(0, 1).unsqueeze(-1), x, cut).squeeze(-1) / number

    def _whole(self, regions: Tensor, x: Tensor, cut: Layout) -> Tensor:
        """Features (B * regions, cells, C) on the positions of `x`."""
        whole = merge(regions, cut.region, cut.sides)
        return whole[(slice(None), *(slice(side) for side in x.shape[1:-1]))]

    def forward(self, x: Tensor) -> Tensor:
        qkv, cut = self.qkv(x), layout(x, self.regions)
        query, key, value, bias, *_ = self._route(x, qkv, cut)
        query, key, value = (part.flatten(0, 1) for part in (query, key, value))
        bias = None if bias is None else bias.flatten(0, 1)
        attended = attend(query, key, value, self.scale, bias)
        whole = self._whole(attended.transpose(1, 2).flatten(2), x, cut)
        local = self.local(qkv.chunk(3, -1)[2].movedim(-1, 1)).movedim(1, -1)
        return self.output(whole + local)


@mechanism(
    title="Bi-level routing attention",
    short="Bi-level routing",
    paper=Paper(
        "Lei Zhu, Xinjiang Wang, Zhanghan Ke, Wayne Zhang, Rynson Lau",
        2023,
        "BiFormer: Vision Transformer with Bi-Level Routing Attention",
        "CVPR 2023, arXiv:2303.08810",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in every block of a network made of it",
    deepest=2,
    logits=("attention.scale",),
)
class BiLevelRouting(nn.Module):
    """y = x + position(x), z = y + W (attention(norm(y)) + local(v)), then z + mlp(norm(z)).

    Attention is multi-head, of a region's positions to those of the `chosen` regions whose mean
    key has the largest product with its mean query. position (kernel 3) and local (kernel 5, of
    the values v) are depth-wise. Maps (B, C, *spatial) to the same shape; C below twice
    `head_width` is one head; memory is linear in the number of positions.
    """

    def __init__(
        self,
        channels: int,
        ndim: int,
        regions: int | None = None,
        chosen: int = 4,
        head_width: int = 32,
    ) -> None:
        super().__init__()
        self.position = CONV[ndim](channels, channels, 3, padding=1, groups=channels)
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.attention = RoutedAttention(
            channels, ndim, regions or {2: 7, 3: 4}[ndim], chosen, head_width
        )
        self.mlp_norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = feed_forward(channels, 3)
        # BiFormer's start for all linear layers, also over that of `feed_forward`.
        for layer in (self.attention.qkv, self.attention.output, self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(layer.get_parameter("weight"), std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries and heads, (B, 1, *spatial).

        It sums to 1; it is 0 in regions that no region chooses.
        """
        x = (x + self.position(x)).movedim(1, -1)
        return self.attention.received(self.attention_norm(x)).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        x = (x + self.position(x)).movedim(1, -1)
        x = x + self.attention(self.attention_norm(x))
        return (x + self.mlp(self.mlp_norm(x))).movedim(-1, 1)
