"""Efficient attention: keys are summed up into a few global contexts before the queries see them.

Shen, Zhang, Zhao, Yi, Li: Efficient Attention: Attention with Linear Complexities. WACV 2021,
arXiv:1812.01243, eq. 6 with the softmax normalisation of section 3.2, residual and output
convolution as in the authors' code (cmsflash/efficient-attention). One head; keys, queries and
values of width C/2, as in the non-local block it replaces.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.layers import conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Linear attention",
    short="Linear attention",
    paper=Paper(
        "Zhuoran Shen, Mingyuan Zhang, Haiyu Zhao, Shuai Yi, Hongsheng Li",
        2021,
        "Efficient Attention: Attention with Linear Complexities",
        "WACV 2021, arXiv:1812.01243",
    ),
    default=("encoder", "bottleneck"),
    in_paper="behind the deeper stages of an ImageNet network",
    deepest=2,
    logits=("key",),
)
class LinearAttention(nn.Module):
    """x + W (softmax_channels(q) (softmax_positions(k)^T v)).

    Maps (B, C, *spatial) to the same shape; time and memory are linear in the number of
    positions.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 2) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.query = conv1x1(ndim, channels, inner)
        self.key = conv1x1(ndim, channels, inner)
        self.value = conv1x1(ndim, channels, inner)
        self.output = conv1x1(ndim, inner, channels)

    def _query_key(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, inner, N): queries sum to 1 over channels, keys over positions."""
        return self.query(x).flatten(2).softmax(1), self.key(x).flatten(2).softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries, (B, 1, *spatial).

        It sums to 1.
        """
        query, key = self._query_key(x)
        return (query.mean(2).unsqueeze(1) @ key).reshape(-1, 1, *x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        query, key = self._query_key(x)
        value = self.value(x)
        # Keys meet values first: the matrix of all pairs of positions is never formed.
        context = value.flatten(2) @ key.transpose(1, 2)  # (B, values, keys)
        return x + self.output((context @ query).reshape(value.shape))
