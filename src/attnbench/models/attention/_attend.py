"""Attention over N positions in memory linear in N, and the attention that each position receives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from attnbench.models.layers import resize


def tokens(x: Tensor) -> Tensor:
    """(B, C, *spatial) as a sequence of positions, (B, N, C)."""
    return x.flatten(2).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """softmax(scale * query key^T) value, without ever holding the matrix of all pairs.

    `query` (B, N, D), `key` (B, M, D), `value` (B, M, C); returns (B, N, C). The memory-linear kernels of
    `scaled_dot_product_attention` apply, forward and backward, only to one width, a multiple of 8, whose elements lie
    side by side: all three are zero-padded, which leaves every product unchanged, and made contiguous.
    """
    channels = value.shape[-1]
    width = -(-max(channels, query.shape[-1]) // 8) * 8
    q, k, v = (F.pad(x, (0, width - x.shape[-1])).contiguous().unsqueeze(1) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).squeeze(1)[..., :channels]


def received(query: Tensor, key: Tensor, scale: float = 1.0, block: int = 1024) -> Tensor:
    """Attention that each key receives, averaged over the queries; (B, M), each row sums to 1.

    Computed for `block` queries at a time: memory is linear in the number of positions.
    """
    total = query.new_zeros(key.shape[:2])
    for rows in query.split(block, dim=1):
        total = total + torch.softmax(scale * rows @ key.transpose(1, 2), dim=-1).sum(1)
    return total / query.shape[1]


def as_map(weights: Tensor, grid: Tensor, like: Tensor) -> Tensor:
    """Weights (B, M) over the positions of `grid` (B, ?, *s) as a map on the positions of `like`, (B, 1, *spatial)."""
    return resize(weights.reshape(-1, 1, *grid.shape[2:]), tuple(like.shape[2:]))
