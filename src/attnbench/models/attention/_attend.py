"""Attention over N positions in memory linear in N, and the attention each position receives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from attnbench.models.layers import resize

# Number of keys up to which the CPU is faster with the matrix of all pairs than with a kernel.
SHORT = 64
# Number of sequences that are enough to keep the threads of a CPU at work.
PARTS = 4
# Readers of queries, keys, scale and bias; none but while a network is looked into.
_WATCHERS: list[Callable[[Tensor, Tensor, float, Tensor | None], None]] = []


@contextmanager
def watched(watcher: Callable[[Tensor, Tensor, float, Tensor | None], None]) -> Iterator[None]:
    """Give the queries, keys, scale and bias of every `attend` within to `watcher` as well."""
    _WATCHERS.append(watcher)
    try:
        yield
    finally:
        _WATCHERS.remove(watcher)


def tokens(x: Tensor) -> Tensor:
    """Sequence of the positions of (B, C, *spatial), (B, N, C)."""
    return x.flatten(2).transpose(1, 2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0, bias: Tensor | None = None
) -> Tensor:
    """softmax(scale * query key^T + bias) value, in memory linear in the number of queries.

    Returns (..., N, C). The method is chosen here alone: on the CPU the matrix of all pairs
    is held where a query has at most `SHORT` keys, which is faster there and no more than a
    constant per query; else torch's kernels choose. On the meta device, where operations are
    counted, the products are plain: what the kernels pad is no need of the mechanism. Traced for a
    file, the method depends on no size, so that the file holds for others.

    Args:
        query: (..., N, D).
        key: (..., M, D).
        value: (..., M, C).
        scale: factor of the scores.
        bias: added to the scaled scores, of a shape that spreads to (..., N, M).
    """
    for watcher in _WATCHERS:
        watcher(query, key, scale, bias)
    few = not torch.compiler.is_compiling() and key.shape[-2] <= SHORT
    if query.is_meta or (query.device.type == "cpu" and few):
        scores = (scale * query) @ key.transpose(-1, -2)
        return (scores if bias is None else scores + bias).softmax(-1) @ value
    if bias is not None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return _attend_in_parts(query, key, value, scale)


def _attend_in_parts(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """`attend` without bias, by kernels that never hold the matrix of all pairs.

    They apply, forward and backward, only to one width, a multiple of 8, whose elements lie side
    by side: all three are zero-padded, which leaves every product unchanged, and made
    contiguous. On the CPU their backward pass gives a thread whole sequences: of fewer than
    `PARTS` sequences the queries are cut into parts.
    """
    channels = value.shape[-1]
    width = -(-max(channels, query.shape[-1]) // 8) * 8
    q, k, v = (
        F.pad(x, (0, width - x.shape[-1])).flatten(0, -3).contiguous() for x in (query, key, value)
    )
    # The greatest common divisor, so that all parts have as many queries.
    split = q.device.type == "cpu" and not torch.compiler.is_compiling()
    parts = math.gcd(q.shape[1], max(1, PARTS // len(q))) if split else 1
    q, k, v = (
        q.unflatten(1, (parts, -1)),
        *(x.unsqueeze(1).expand(-1, parts, -1, -1) for x in (k, v)),
    )
    attended = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return attended.reshape(*query.shape[:-1], width)[..., :channels]


def received(query: Tensor, key: Tensor, scale: float = 1.0, block: int = 1024) -> Tensor:
    """Attention that each key receives, averaged over the queries; (..., M), each row sums to 1.

    Args:
        query: (..., N, D).
        key: (..., M, D).
        scale: factor of the scores.
        block: queries at a time, so that memory is linear in the number of positions.
    """
    total = query.new_zeros(key.shape[:-1])
    for rows in query.split(block, dim=-2):
        total = total + torch.softmax(scale * rows @ key.transpose(-1, -2), dim=-1).sum(-2)
    return total / query.shape[-2]


def as_map(weights: Tensor, grid: Tensor, like: Tensor) -> Tensor:
    """Map on the positions of `like`, (B, 1, *spatial), of weights (B, M) on those of `grid`."""
    return resize(weights.reshape(-1, 1, *grid.shape[2:]), tuple(like.shape[2:]))
