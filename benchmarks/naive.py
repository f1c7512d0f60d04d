"""Mechanisms as their authors write them, on the weights of this project's own modules.

Every function takes a module of the zoo and what its forward takes, and computes the same
numbers the straightforward way: the matrix of all pairs, expanded copies, permuted axes, one
product per head. `attention_gate_upsampled` and `spatial_se` have one way to be written
(convolutions and a product): here as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._heads import sinusoids
from attnbench.models.layers import LINEAR_MODE, resize
from benchmarks import naive_routing, naive_state_space

Formula = Callable[..., Tensor]


def pairs(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """softmax(scale * q k^T) v, with the matrix of all pairs.

    Args:
        query: (..., N, D).
        key: (..., M, D).
        value: (..., M, D).
        scale: factor of the products.
    """
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
    pooled = (F.max_pool2d if x.dim() == 4 else F.max_pool3d)(x, 2)
    phi, g = tokens(m.phi(pooled)), tokens(m.g(pooled))
    return x + m.output(image(pairs(tokens(m.theta(x)), phi, g, m.scale), x))


def multi_head(m: nn.Module, source: Tensor, values: Tensor) -> Tensor:
    parts = (
        heads(layer(y), m.heads)
        for layer, y in ((m.query, source), (m.key, source), (m.value, values))
    )
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
        parts = (heads(third.flatten(0, -3), layer.heads) for third in lines.chunk(3, dim=-1))
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
            lines = [each.movedim((axis, 1), (-2, -1)).contiguous() for each in (query, key)]
            energy = lines[0] @ lines[1].transpose(-1, -2)
            if axis < len(sides) + 1:
                energy = energy + torch.diag(torch.full((side,), float("inf"))).neg().nan_to_num(
                    0, 0, float("-inf")
                )
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
    small = (
        F.interpolate(y, (m.grid,) * ndim, mode=LINEAR_MODE[ndim], align_corners=True)
        for y in (key, value)
    )
    q, k, v = (heads(tokens(y), m.heads) for y in (query, *small))
    scores = (q @ k.transpose(-1, -2) + m.bias()[:, m._cells(x)]) * m.scale
    attended = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).flatten(2)
    x = x + m.output(image(attended, x))
    return x + m.mix(x)


def gated_axial_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As Medical Transformer does it: lines copied, norms over them, tables gathered."""
    y = F.relu(m.reduce(x))
    for layer in m.axes:
        y = gated_axis(layer, y)
    return x + m.expand(F.relu(y))


def gated_axis(m: nn.Module, x: Tensor) -> Tensor:
    moved = x.movedim((m.axis + 2, 1), (-1, -2)).contiguous()  # (B, *others, C, side)
    convolution, norm = m.qkv
    lines = F.conv1d(moved.flatten(0, -3), convolution.weight.flatten(2))
    statistics = norm.running_mean, norm.running_var, norm.weight, norm.bias
    lines = F.batch_norm(lines, *statistics, m.training, norm.momentum, norm.eps)
    side, width = x.shape[m.axis + 2], x.shape[1] // m.heads
    q, k, v = lines.reshape(-1, m.heads, 2 * width, side).split(
        [width // 2, width // 2, width], dim=2
    )
    steps = torch.arange(side, device=x.device)
    offsets = (steps[:, None] - steps).clamp(1 - m.span, m.span - 1) + m.span - 1
    table = torch.index_select(m.relative, 1, offsets.flatten()).reshape(-1, side, side)
    r_q, r_k, r_v = table.split([width // 2, width // 2, width])
    content = torch.einsum("bgci,bgcj->bgij", q, k)
    query = torch.einsum("bgci,cij->bgij", q, r_q)
    key = torch.einsum("bgci,cij->bgij", k, r_k).transpose(2, 3)
    terms = m.norm_similarity(torch.cat([content, query, key], dim=1)).reshape(
        -1, 3, m.heads, side, side
    )
    gates = torch.stack([torch.ones_like(m.gates[0]), m.gates[0], m.gates[1]]).reshape(
        1, 3, 1, 1, 1
    )
    weights = (gates * terms).sum(1).softmax(3)
    mixed = (
        torch.einsum("bgij,bgcj->bgci", weights, v),
        torch.einsum("bgij,cij->bgci", weights, r_v),
    )
    mixed = m.norm_output(torch.cat([term.flatten(1, 2) for term in mixed], dim=1))
    mixed = (m.gates[2:].reshape(1, 2, 1, 1) * mixed.unflatten(1, (2, -1))).sum(1)
    return mixed.reshape(moved.shape).movedim((-1, -2), (m.axis + 2, 1)).contiguous()


def channel_cross_fusion(m: nn.Module, skips: list[Tensor]) -> list[Tensor]:
    """As UCTransNet does it: a linear layer per head, patches filled before they are mixed."""
    embedded = [embed(x) for embed, x in zip(m.embeddings, skips, strict=True)]
    grid = tuple(embedded[0].shape[2:])
    sequences = [tokens(resize(x, grid)) for x in embedded]
    for layer in m.layers:
        attended = channel_attention(layer.attention, *layer.normalised(sequences))
        sequences = [x + y for x, y in zip(sequences, attended, strict=True)]
        sequences = [x + mlp(x) for mlp, x in zip(layer.mlps, sequences, strict=True)]
    return [
        skip + fill(rebuild, norm(x).transpose(1, 2).unflatten(2, grid), skip)
        for skip, rebuild, norm, x in zip(skips, m.rebuild, m.norms, sequences, strict=True)
    ]


def channel_attention(m: nn.Module, sequences: list[Tensor], joined: Tensor) -> list[Tensor]:
    def per_head(layer: nn.Module, x: Tensor) -> Tensor:
        return torch.stack(
            [F.linear(x, weight) for weight in layer.weight.chunk(m.heads)], dim=1
        )  # (B, heads, N, C)

    key, value = per_head(m.key, joined), per_head(m.value, joined).transpose(-1, -2)
    attended = []
    for query, output, x in zip(m.query, m.output, sequences, strict=True):
        scores = per_head(query, x).transpose(-1, -2) @ key / joined.shape[2] ** 0.5
        context = F.instance_norm(scores).softmax(3) @ value
        attended.append(output(context.permute(0, 3, 2, 1).contiguous().mean(3)))
    return attended


def fill(m: nn.Module, x: Tensor, like: Tensor) -> Tensor:
    filled = F.interpolate(x, scale_factor=float(m.patch), mode="nearest")
    filled = filled[(..., *(slice(side) for side in like.shape[2:]))]
    return F.relu(m.norm(m.mix(filled)))


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


def attention_gate(m: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    """As the paper's code does it: both up-samplings, the map spread over the channels."""
    mode, theta = LINEAR_MODE[x.dim() - 2], m.theta(x)
    phi = F.interpolate(m.phi(gate), theta.shape[2:], mode=mode)
    weights = F.interpolate(m.psi(F.relu(theta + phi)).sigmoid(), x.shape[2:], mode=mode)
    return m.output(weights.expand_as(x) * x)


def attention_gate_upsampled(m: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    return x * m.psi(F.relu(m.phi(gate) + m.theta(x))).sigmoid()


def global_context(m: nn.Module, x: Tensor) -> Tensor:
    weights = m.key(x).flatten(2).softmax(2).unsqueeze(-1)  # (B, 1, N, 1)
    context = (x.flatten(2).unsqueeze(1) @ weights).reshape(x.shape[:2])
    return x + spread(m.transform(context), x)


def coordinate_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As the authors' code: a pooling per axis, hard swish from its parts, copied weights."""
    pool = F.adaptive_avg_pool2d if x.dim() == 4 else F.adaptive_avg_pool3d
    axes, sides = range(x.dim() - 2), list(x.shape[2:])
    sizes = [[side if other == axis else 1 for other, side in enumerate(sides)] for axis in axes]
    convolution, norm, _ = m.reduce
    reduced = norm(convolution(torch.cat([pool(x, size).flatten(2) for size in sizes], dim=2)))
    reduced = reduced * (F.relu6(reduced + 3) / 6)
    result = x
    for layer, size, pooled in zip(m.expand, sizes, reduced.split(sides, dim=2), strict=True):
        result = result * layer(pooled).sigmoid().reshape(*x.shape[:2], *size).expand_as(x)
    return result


def polarized_self_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As the authors' code does it: each branch weights the features, then both are added."""

    def by_channel(x: Tensor) -> Tensor:
        context = m.channel_value(x).flatten(2) @ m.channel_query(x).flatten(2).softmax(
            2
        ).transpose(1, 2)
        return x * spread(m.expand(context.squeeze(2)).sigmoid(), x)

    def by_position(x: Tensor) -> Tensor:
        pool = F.adaptive_avg_pool2d if x.dim() == 4 else F.adaptive_avg_pool3d
        query = pool(m.spatial_query(x), 1).flatten(2).transpose(1, 2).softmax(2)
        return x * (query @ m.spatial_value(x).flatten(2)).reshape(
            -1, 1, *x.shape[2:]
        ).sigmoid().expand_as(x)

    return by_channel(x) + by_position(x) if m.layout == "parallel" else by_position(by_channel(x))


def large_kernel_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As the authors' code: the attention and its residual, inside a scaled residual."""
    y = m.norm(x)
    projected = F.gelu(m.first(y))
    attended = m.second(projected.clone() * m.weigh(projected)) + y.clone()
    return x + spread(m.layer_scale.expand(x.shape[:2]), x) * attended


def spatial_attention(m: nn.Module, x: Tensor) -> Tensor:
    pooled = torch.cat([x.mean(1).unsqueeze(1), x.max(1)[0].unsqueeze(1)], dim=1)
    return x * m.weigh(pooled).sigmoid().expand_as(x)


def spatial_se(m: nn.Module, x: Tensor) -> Tensor:
    return x * m.squeeze(x).sigmoid()


def spread(weights: Tensor, x: Tensor) -> Tensor:
    """One weight per channel, (B, C), copied to every position."""
    return weights.reshape(*weights.shape, *[1] * (x.dim() - 2)).expand_as(x)


def eca(m: nn.Module, x: Tensor) -> Tensor:
    pooled = (F.adaptive_avg_pool2d if x.dim() == 4 else F.adaptive_avg_pool3d)(x, 1).flatten(2)
    return x * spread(m.mix(pooled.transpose(1, 2)).transpose(1, 2).squeeze(2).sigmoid(), x)


def excite(m: nn.Module, x: Tensor) -> Tensor:
    pooled = (F.adaptive_avg_pool2d if x.dim() == 4 else F.adaptive_avg_pool3d)(x, 1).flatten(1)
    return spread(m.excite(pooled), x)


def squeeze_excitation(m: nn.Module, x: Tensor) -> Tensor:
    return x * excite(m, x)


def scse(m: nn.Module, x: Tensor) -> Tensor:
    return x * excite(m.channel, x) + x * torch.sigmoid(m.spatial.squeeze(x)).expand_as(x)


def cbam(m: nn.Module, x: Tensor) -> Tensor:
    average, largest = (
        (F.avg_pool2d, F.max_pool2d) if x.dim() == 4 else (F.avg_pool3d, F.max_pool3d)
    )
    total = sum(m.excite(pool(x, x.shape[2:]).flatten(1)) for pool in (average, largest))
    x = x * spread(total.sigmoid(), x)
    pooled = torch.cat([x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)], dim=1)
    return x * m.spatial(pooled).sigmoid()


def bam(m: nn.Module, x: Tensor) -> Tensor:
    pooled = (F.avg_pool2d if x.dim() == 4 else F.avg_pool3d)(x, x.shape[2:]).flatten(1)
    return (1 + torch.sigmoid(spread(m.channel(pooled), x) * m.spatial(x).expand_as(x))) * x


def simam(m: nn.Module, x: Tensor) -> Tensor:
    others = x[0, 0].numel() - 1
    squares = (x - x.mean(m.axes, keepdim=True)).pow(2)
    return x * torch.sigmoid(
        squares / (4 * (squares.sum(m.axes, keepdim=True) / others + m.regularisation)) + 0.5
    )


def triplet_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As in the paper: rotated, copied, gated and rotated back, axis by axis."""
    total = torch.zeros_like(x)
    for axis, gate in enumerate(m.gates, start=1):
        rotated = x.transpose(1, axis).contiguous()
        pooled = torch.cat([rotated.max(1)[0].unsqueeze(1), rotated.mean(1).unsqueeze(1)], dim=1)
        order = [
            0,
            1,
            max(2, axis),
            *(other for other in range(2, x.dim()) if other != max(2, axis)),
        ]
        back = sorted(
            range(x.dim()), key=order.__getitem__
        )  # the gate's kernel has the axes in their own order
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
        self_attention, dual_attention, non_local, multi_head_self_attention, cross_attention,
        transformer, axial_attention, criss_cross, efficient_self_attention, gated_axial_attention,
        channel_cross_fusion, window_attention, shifted_window_attention, linear_attention,
        attention_gate, attention_gate_upsampled, global_context, coordinate_attention,
        polarized_self_attention, large_kernel_attention, spatial_attention, spatial_se, eca,
        squeeze_excitation, scse, cbam, bam, simam, triplet_attention, selective_kernel,
    )
} | {"channel_se": squeeze_excitation}  # fmt: skip
FORMULAS |= naive_routing.FORMULAS | naive_state_space.FORMULAS
