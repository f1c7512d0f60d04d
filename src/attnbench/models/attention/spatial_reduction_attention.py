"""Spatial-reduction attention of PVT: positions attend to keys and values of a reduced grid.

Wang, Xie, Li, Fan, Song, Liang, Lu, Luo, Shao: Pyramid Vision Transformer: A Versatile Backbone
for Dense Prediction without Convolutions. ICCV 2021, arXiv:2102.12122, section 3.3, eq. 1-4, also
the attention of SegFormer (Xie et al., NeurIPS 2021, arXiv:2105.15203); block, heads of
width 64, biases and start (standard deviation 0.02) as in the authors' code (whai362/PVT).

The paper reduces by 8, 4, 2, 1 from the finest of its levels (a quarter of the image) to the
deepest, so that all have as many keys. `reduction` is one number, 4, for all levels of a
placement; levels may be placed one by one, `encoder: [{name: spatial_reduction_attention,
levels: [1], reduction: 8}, {..., levels: [2], reduction: 4}]`. N positions have N / reduction^n
keys: memory is linear in N, time N^2 / reduction^n, so by default only the deepest levels are
taken. Departs from the paper in that
- sizes that are no multiple of `reduction` are zero-padded at the far ends, behind the norm;
- there is no position embedding: the convolutions before know positions (SegFormer has none for
  that reason);
- the MLP has 4 C units at all levels (there, 8 C at the two finest), and nothing is dropped.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._attend import as_map, attend, received, tokens
from attnbench.models.attention._channels import check_divisible
from attnbench.models.attention._heads import feed_forward, join_heads, split_heads
from attnbench.models.layers import CONV
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Spatial-reduction attention",
    short="Spatial reduction",
    paper=Paper(
        "Wenhai Wang, Enze Xie, Xiang Li, Deng-Ping Fan, Kaitao Song, Ding Liang, Tong Lu, "
        "Ping Luo, Ling Shao",
        2021,
        "Pyramid Vision Transformer: A Versatile Backbone for Dense Prediction without "
        "Convolutions",
        "ICCV 2021, arXiv:2102.12122",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in every block of a network made of it",
    deepest=2,
    logits=("query", "key"),
)
class SpatialReductionAttention(nn.Module):
    """y = x + attention(norm(x), reduced), then y + mlp(norm(y)).

    reduced is LayerNorm of a convolution of norm(x) whose kernel and stride are `reduction`; with
    1 it is norm(x). C below twice `head_width` is one head. Maps (B, C, *spatial) to the same
    shape.
    """

    def __init__(
        self, channels: int, ndim: int, reduction: int = 4, head_width: int = 64, ratio: int = 4
    ) -> None:
        super().__init__()
        self.heads = max(1, channels // head_width)
        check_divisible(channels, self.heads, f"{self.heads} heads of at least {head_width}")
        self.reduction, self.scale = reduction, (channels // self.heads) ** -0.5
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        if reduction > 1:
            self.reduce = CONV[ndim](channels, channels, reduction, stride=reduction)
            self.reduced_norm = nn.LayerNorm(channels)
        self.mlp_norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = feed_forward(channels, ratio)
        # PVT's start for all linear layers, also over that of `feed_forward`.
        for layer in (self.query, self.key, self.value, self.output, self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(layer.get_parameter("weight"), std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))

    def _sources(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens of queries (B, N, C) and of keys (B, M, C), and the keys' grid (B, C, *grid)."""
        queries = self.attention_norm(tokens(x))
        if self.reduction == 1:
            return queries, queries, x
        whole = queries.transpose(1, 2).reshape(x.shape)
        missing = [-side % self.reduction for side in x.shape[2:]]
        # F.pad counts axes from the last one, two amounts each: before and behind.
        padded = F.pad(whole, [amount for side in reversed(missing) for amount in (0, side)])
        reduced = self.reduce(padded)
        return queries, self.reduced_norm(tokens(reduced)), reduced

    def _heads(self, layer: nn.Module, sequence: Tensor) -> Tensor:
        return split_heads(layer(sequence), self.heads)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position of the reduced grid receives, resized to (B, 1, *spatial).

        Mean over queries and heads.
        """
        queries, keys, grid = self._sources(x)
        query, key = self._heads(self.query, queries), self._heads(self.key, keys)
        return as_map(received(query, key, self.scale).mean(1), grid, x)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, _ = self._sources(x)
        query = self._heads(self.query, queries)
        key, value = self._heads(self.key, keys), self._heads(self.value, keys)
        sequence = tokens(x) + self.output(join_heads(attend(query, key, value, self.scale)))
        sequence = sequence + self.mlp(self.mlp_norm(sequence))
        return sequence.transpose(1, 2).reshape(x.shape)
