"""Gated axial attention: attention along one axis after the other, with gated relative positions.

Valanarasu, Oza, Hacihaliloglu, Patel: Medical Transformer: Gated Axial-Attention for Medical
Image Segmentation. MICCAI 2021, arXiv:2102.10662, eq. 3 and fig. 2; 8 heads, gates starting at
0.1 (positions) and 1 (value), batch normalisation and initial values as in the authors' code.
Departs from it in this: the gates are learned from the first step and act behind the
normalisation of each term (the code scales before it, which normalising undoes), the width is
kept, no activation follows the sum with the input, and offsets beyond `span` share the embedding
of the farthest one, so that any size, larger or smaller than in training, has the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._channels import check_divisible
from attnbench.models.layers import BATCH_NORM, conv1x1
from attnbench.models.registry import Paper, mechanism


class GatedAxis(nn.Module):
    """Attention along one axis of (B, C, *spatial), returned in the same shape.

    Weights are softmax(q k + G_Q q r_q + G_K k r_k), what they weight is G_V1 v + G_V2 r_v, and
    every term is normalised; r is looked up by the offset of query and key.
    """

    def __init__(self, channels: int, ndim: int, axis: int, heads: int, span: int) -> None:
        super().__init__()
        self.axis, self.heads, self.span = axis, heads, span
        width = channels // heads
        self.qkv = nn.Sequential(
            conv1x1(ndim, channels, 2 * channels, bias=False), BATCH_NORM[ndim](2 * channels)
        )
        self.relative = nn.Parameter(torch.randn(2 * width, 2 * span - 1) * width**-0.5)
        self.norm_similarity = nn.BatchNorm2d(3 * heads)
        self.norm_output = nn.BatchNorm1d(2 * channels)
        self.gates = nn.Parameter(torch.tensor([0.1, 0.1, 1.0, 0.1]))  # G_Q, G_K, G_V1, G_V2
        nn.init.normal_(self.qkv.get_parameter("0.weight"), std=channels**-0.5)

    def _embeddings(self, side: int, device: torch.device) -> list[Tensor]:
        """r_q, r_k (width / 2, side, side) and r_v (width, side, side), queries by keys."""
        steps = torch.arange(side, device=device)
        # Beyond the span the farthest embedding serves: sizes unseen in training have one too.
        offsets = (steps[:, None] - steps).clamp(1 - self.span, self.span - 1) + self.span - 1
        width = self.relative.shape[0] // 2
        return list(self.relative[:, offsets].split([width // 2, width // 2, width]))

    def _attend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, torch.Size]:
        """Weights (lines, heads, side, side), values, r_v, and the shape of the lines.

        Rows of weights sum to 1; the shape is (B, *others, 2C, side).
        """
        lines = self.qkv(x).movedim((self.axis + 2, 1), (-1, -2))
        side, width = lines.shape[-1], x.shape[1] // self.heads
        heads = lines.reshape(-1, self.heads, 2 * width, side)
        # Queries and keys have half the width of the values, as in the authors' code.
        q, k, v = heads.split([width // 2, width // 2, width], dim=2)
        r_q, r_k, r_v = self._embeddings(side, x.device)
        content = q.transpose(-1, -2) @ k
        query = torch.einsum("lhci,cij->lhij", q, r_q)
        key = torch.einsum("lhcj,cji->lhij", k, r_k)
        # One call normalises every term of every head by its own statistics.
        content, query, key = self.norm_similarity(torch.cat([content, query, key], dim=1)).chunk(
            3, dim=1
        )
        weights = (content + self.gates[0] * query + self.gates[1] * key).softmax(-1)
        return weights, v, r_v, lines.shape

    def received(self, x: Tensor) -> Tensor:
        """Attention that each position receives in its line, (B, *spatial).

        Mean over queries and heads.
        """
        weights, _, _, shape = self._attend(x)
        return weights.mean((1, 2)).reshape(*shape[:-2], shape[-1]).movedim(-1, self.axis + 1)

    def forward(self, x: Tensor) -> Tensor:
        weights, v, r_v, shape = self._attend(x)
        content = v @ weights.transpose(-1, -2)
        position = torch.einsum("lhij,cij->lhci", weights, r_v)
        terms = torch.cat([content.flatten(1, 2), position.flatten(1, 2)], dim=1)
        content, position = self.norm_output(terms).chunk(2, dim=1)  # (lines, C, side) each
        attended = self.gates[2] * content + self.gates[3] * position
        return attended.reshape(*shape[:-2], x.shape[1], shape[-1]).movedim(
            (-1, -2), (self.axis + 2, 1)
        )


@mechanism(
    title="Gated axial attention",
    short="Gated axial",
    paper=Paper(
        "Jeya Maria Jose Valanarasu, Poojan Oza, Ilker Hacihaliloglu, Vishal M. Patel",
        2021,
        "Medical Transformer: Gated Axial-Attention for Medical Image Segmentation",
        "MICCAI 2021, arXiv:2102.10662",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in the place of the convolutions of every encoder block",
    deepest=2,
    logits=("axes.*.norm_similarity",),
)
class GatedAxialAttention(nn.Module):
    """x + norm(W2 relu(attention along each axis of relu(norm(W1 x)))).

    W1 and W2 are 1x1 convolutions. Maps (B, C, *spatial) to the same shape; C is a multiple of
    2 `heads`; memory is N times the longest side.
    """

    def __init__(self, channels: int, ndim: int, heads: int = 8, span: int = 64) -> None:
        super().__init__()
        check_divisible(channels, 2 * heads, f"{heads} heads with keys of half their width")
        self.reduce = nn.Sequential(
            conv1x1(ndim, channels, channels, bias=False), BATCH_NORM[ndim](channels)
        )
        self.axes = nn.Sequential(
            *(GatedAxis(channels, ndim, axis, heads, span) for axis in range(ndim))
        )
        self.expand = nn.Sequential(
            conv1x1(ndim, channels, channels, bias=False), BATCH_NORM[ndim](channels)
        )

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives in its lines, (B, 1, *spatial).

        Mean over queries, heads and axes.
        """
        x, maps = F.relu(self.reduce(x)), []
        for axis in self.axes:
            assert isinstance(axis, GatedAxis)
            maps.append(axis.received(x))
            x = axis(x)
        return torch.stack(maps).mean(0).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.expand(F.relu(self.axes(F.relu(self.reduce(x)))))
