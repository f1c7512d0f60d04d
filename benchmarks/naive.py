"""Mechanisms as their papers and authors' code write them, on the weights of this project's own modules.

Every function takes a module of the zoo and what its forward takes, and computes the same numbers the straightforward
way: the matrix of all pairs, expanded copies, permuted axes. Mechanisms without an entry have one way to be written
(convolutions, pooling and a product), and that is how they are written.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._heads import sinusoids
from attnbench.models.layers import LINEAR_MODE, resize

Formula = Callable[..., Tensor]


def pairs(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """softmax(scale * q k^T) v of (..., N, D), with the matrix of all pairs."""
    return torch.softmax(scale * (query @ key.transpose(-1, -2)), dim=-1) @ value


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def image(sequence: Tensor, like: Tensor) -> Tensor:
    return sequence.transpose(1, 2).reshape(sequence.shape[0], -1, *like.shape[2:])


def heads(x: Tensor, number: int) -> Tensor:
    """(B, N, C) as (B, heads, N, C / heads)."""
    return x.reshape(*x.shape[:2], number, -1).permute(0, 2, 1, 3)


def self_attention(m: nn.Module, x: Tensor) -> Tensor:
    return x + m.gamma * image(pairs(*(tokens(layer(x)) for layer in (m.query, m.key, m.value))), x)


def dual_attention(m: nn.Module, x: Tensor) -> Tensor:
    positions = image(pairs(*(tokens(layer(x)) for layer in (m.query, m.key, m.value))), x)
    flat = x.flatten(2)
    energy = flat @ flat.transpose(1, 2)
    energy = energy.max(-1, keepdim=True)[0].expand_as(energy) - energy
    return x + m.alpha * positions + m.beta * (energy.softmax(-1) @ flat).reshape(x.shape)


def non_local(m: nn.Module, x: Tensor) -> Tensor:
    phi, g = tokens(m.pool(m.phi(x))), tokens(m.pool(m.g(x)))
    return x + m.output(image(pairs(tokens(m.theta(x)), phi, g, m.scale), x))


def multi_head(m: nn.Module, source: Tensor, values: Tensor) -> Tensor:
    parts = (heads(layer(y), m.heads) for layer, y in ((m.query, source), (m.key, source), (m.value, values)))
    return m.output(pairs(*parts, m.scale).permute(0, 2, 1, 3).flatten(2))


def multi_head_self_attention(m: nn.Module, x: Tensor) -> Tensor:
    source = tokens(x + sinusoids(x))
    return image(multi_head(m.attention, source, source), x)


def cross_attention(m: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    source, values = m.theta(gate + sinusoids(gate)), m.phi(m.pool(x + sinusoids(x)))
    weights = m.output(image(multi_head(m.attention, tokens(source), tokens(values)), source))
    return x * resize(weights, tuple(x.shape[2:]))


def transformer(m: nn.Module, x: Tensor) -> Tensor:
    embedded = m.embed(x)
    sequence = tokens(embedded + m.position(embedded))
    for layer in m.layers:
        source = layer.attention_norm(sequence)
        sequence = sequence + multi_head(layer.attention, source, source)
        sequence = sequence + layer.mlp(layer.mlp_norm(sequence))
    return image(m.norm(sequence), x)


def axial_attention(m: nn.Module, x: Tensor) -> Tensor:
    x = x.movedim(1, -1).contiguous()
    for axis, layer in enumerate(m.axes, start=1):
        lines = layer.qkv(layer.norm(x)).movedim(axis, -2).contiguous()
        parts = (heads(part.flatten(0, -3), layer.heads) for part in lines.chunk(3, dim=-1))
        attended = pairs(*parts, layer.scale).permute(0, 2, 1, 3).flatten(2)
        x = x + layer.output(attended.reshape(*lines.shape[:-1], -1).movedim(-2, axis))
    return x.movedim(-1, 1)


def criss_cross(m: nn.Module, x: Tensor) -> Tensor:
    """As CCNet does it: lines permuted and copied, energies of all axes joined in one tensor."""
    for _ in range(m.recurrence):
        query, key, value = m.query(x), m.key(x), m.value(x)
        sides = x.shape[2:]
        energies = []
        for axis, side in enumerate(sides, start=2):
            lines = [part.movedim((axis, 1), (-2, -1)).contiguous() for part in (query, key)]
            energy = lines[0] @ lines[1].transpose(-1, -2)
            if axis < len(sides) + 1:
                energy = energy + torch.diag(torch.full((side,), float("inf"))).neg().nan_to_num(0, 0, float("-inf"))
            energies.append(energy.movedim(-2, axis - 1))
        weights = torch.cat(energies, -1).softmax(-1).split(list(sides), -1)
        total = torch.zeros_like(x)
        for axis, weight in enumerate(weights, start=2):
            lines = value.movedim((axis, 1), (-2, -1)).contiguous()
            total = total + (weight.movedim(axis - 1, -2) @ lines).movedim((-2, -1), (axis, 1))
        x = m.gamma * total + x
    return x


def efficient_self_attention(m: nn.Module, x: Tensor) -> Tensor:
    query, key, value = m.qkv(m.attention_norm(x)).chunk(3, dim=1)
    ndim = x.dim() - 2
    small = (F.interpolate(y, (m.grid,) * ndim, mode=LINEAR_MODE[ndim], align_corners=True) for y in (key, value))
    q, k, v = (heads(tokens(y), m.heads) for y in (query, *small))
    scores = (q @ k.transpose(-1, -2) + m.bias()[:, m._cells(x)]) * m.scale
    attended = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).flatten(2)
    x = x + m.output(image(attended, x))
    return x + m.mix(x)


def window_block(block: nn.Module, x: Tensor) -> Tensor:
    """As Swin does it: the matrix of each window, the mask added."""
    sides, shifts = block._layout(x)
    q, k, v = block._heads(block._windows(block.attention_norm(x), sides, shifts))
    scores = block.scale * q @ k.transpose(-1, -2) + block._scores_bias(x, sides, shifts)
    attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + block._whole(block.output(attended), x, sides, shifts)
    return x + block.mlp(block.mlp_norm(x))


def window_attention(m: nn.Module, x: Tensor) -> Tensor:
    return window_block(m.block, x.movedim(1, -1)).movedim(-1, 1)


def shifted_window_attention(m: nn.Module, x: Tensor) -> Tensor:
    return window_block(m.shifted, window_block(m.plain, x.movedim(1, -1))).movedim(-1, 1)


def linear_attention(m: nn.Module, x: Tensor) -> Tensor:
    query, key, value = (layer(x).flatten(2) for layer in (m.query, m.key, m.value))
    context = key.softmax(2) @ value.transpose(1, 2)
    attended = context.transpose(1, 2) @ query.softmax(1)
    return x + m.output(attended.reshape(x.shape[0], -1, *x.shape[2:]))


def excite(m: nn.Module, x: Tensor) -> Tensor:
    pooled = (F.adaptive_avg_pool2d if x.dim() == 4 else F.adaptive_avg_pool3d)(x, 1).flatten(1)
    return m.excite(pooled).reshape(*pooled.shape, *[1] * (x.dim() - 2)).expand_as(x)


def squeeze_excitation(m: nn.Module, x: Tensor) -> Tensor:
    return x * excite(m, x)


def scse(m: nn.Module, x: Tensor) -> Tensor:
    return x * excite(m.channel, x) + x * torch.sigmoid(m.spatial.squeeze(x)).expand_as(x)


def cbam(m: nn.Module, x: Tensor) -> Tensor:
    average, largest = (F.avg_pool2d, F.max_pool2d) if x.dim() == 4 else (F.avg_pool3d, F.max_pool3d)
    total = sum(m.excite(pool(x, x.shape[2:]).flatten(1)) for pool in (average, largest))
    x = x * total.sigmoid().reshape(*total.shape, *[1] * (x.dim() - 2)).expand_as(x)
    pooled = torch.cat([x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)], dim=1)
    return x * m.spatial(pooled).sigmoid()


def bam(m: nn.Module, x: Tensor) -> Tensor:
    pooled = (F.avg_pool2d if x.dim() == 4 else F.avg_pool3d)(x, x.shape[2:]).flatten(1)
    channel = m.channel(pooled).reshape(*pooled.shape, *[1] * (x.dim() - 2)).expand_as(x)
    return (1 + torch.sigmoid(channel * m.spatial(x).expand_as(x))) * x


def simam(m: nn.Module, x: Tensor) -> Tensor:
    others = x[0, 0].numel() - 1
    squares = (x - x.mean(m.axes, keepdim=True)).pow(2)
    return x * torch.sigmoid(squares / (4 * (squares.sum(m.axes, keepdim=True) / others + m.regularisation)) + 0.5)


def triplet_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As in the paper: rotated, copied, gated and rotated back, axis by axis."""
    total = torch.zeros_like(x)
    for axis, gate in enumerate(m.gates, start=1):
        rotated = x.transpose(1, axis).contiguous()
        pooled = torch.cat([rotated.max(1)[0].unsqueeze(1), rotated.mean(1).unsqueeze(1)], dim=1)
        order = [0, 1, max(2, axis), *(place for place in range(2, x.dim()) if place != max(2, axis))]
        back = sorted(range(x.dim()), key=order.__getitem__)  # the gate's kernel has the axes in their own order
        weights = gate(pooled.permute(order)).permute(back)
        total = total + (rotated * weights.sigmoid()).transpose(1, axis).contiguous()
    return total / len(m.gates)


def selective_kernel(m: nn.Module, x: Tensor) -> Tensor:
    branches = torch.stack([m.small(x), m.large(x)], dim=1)
    scores = m.select(m.reduce(branches.sum(1).flatten(2).mean(2))).unflatten(1, (2, -1)).softmax(1)
    return (branches * scores.reshape(*scores.shape, *[1] * (x.dim() - 2))).sum(1)


FORMULAS: dict[str, Formula] = {
    formula.__name__: formula
    for formula in (
        self_attention, dual_attention, non_local, multi_head_self_attention, cross_attention, transformer,
        axial_attention, criss_cross, efficient_self_attention, window_attention, shifted_window_attention,
        linear_attention, squeeze_excitation, scse, cbam, bam, simam, triplet_attention, selective_kernel,
    )
} | {"channel_se": squeeze_excitation}  # fmt: skip
