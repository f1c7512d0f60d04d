"""Naive forms of the mechanisms of recent decoders and backbones; registered in `naive.py`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def recurrence(delta: Tensor, rates: Tensor, read: Tensor, write: Tensor, values: Tensor) -> Tensor:
    """The scan one position after the other, all states kept, as Mamba's reference has it.

    Unlike there, positions are not indexed but unbound: the gradient of an index is as large as
    the sequence. Shapes as in the header of `attention/_scan.py`.
    """
    decays = torch.exp(delta.unsqueeze(-2) * rates.unsqueeze(1))
    inputs = read.unsqueeze(-1) * (delta * values).unsqueeze(-2)
    state, results = torch.zeros_like(inputs[:, :, 0]), []
    parts = (x.unbind(2) for x in (decays, inputs, write))
    for decay, entering, weight in zip(*parts, strict=True):
        state = decay * state + entering
        results.append(torch.einsum("bkne,bkn->bke", state, weight))
    return torch.stack(results, dim=2)


def selective_state_space(m: nn.Module, x: Tensor) -> Tensor:
    """As VM-UNet does it: channels before positions, every direction copied."""
    ndim, sides = x.dim() - 2, x.shape[2:]
    value, gate = m.input(m.norm(x.movedim(1, -1))).chunk(2, dim=-1)
    mixed = F.silu(m.conv(value.movedim(-1, 1).contiguous()))
    orders = [mixed.movedim(axis, -1).contiguous() for axis in range(ndim + 1, 1, -1)]
    there = torch.stack([order.flatten(2) for order in orders], dim=1)
    sequences = torch.cat([there, there.flip(-1)], dim=1)  # (B, K, E, L)
    parts = torch.einsum("bkel,kce->bkcl", sequences, m.select)
    step, read, write = (
        part.transpose(2, 3) for part in parts.split([m.rank, m.states, m.states], dim=2)
    )
    step = torch.einsum("bklr,ker->bkle", step, m.step)
    delta = F.softplus(step + m.step_bias.reshape(m.sequences, 1, -1))
    rates = -torch.exp(m.log_rates.reshape(m.sequences, m.states, -1))
    values = sequences.transpose(2, 3)
    scanned = recurrence(delta, rates, read, write, values).transpose(2, 3)
    scanned = scanned + m.direct.reshape(m.sequences, -1, 1) * sequences
    total = torch.zeros_like(mixed)
    for k, order in enumerate(orders):
        both = scanned[:, k] + scanned[:, k + ndim].flip(-1)
        total = total + both.reshape(order.shape).movedim(-1, ndim + 1 - k)
    assert total.shape[2:] == sides
    gated = m.output_norm(total.movedim(1, -1).contiguous()) * F.silu(gate)
    return x + m.output(gated).movedim(-1, 1)


def large_kernel_grouped_gate(m: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    return x * torch.sigmoid(m.psi(F.relu(m.phi(gate) + m.theta(x)))).expand_as(x)


def reverse_attention(m: nn.Module, x: Tensor, gate: Tensor) -> Tensor:
    """As PraNet does it: the map up-sampled, reversed and spread over the channels."""
    mode = {4: "bilinear", 5: "trilinear"}[x.dim()]
    side = F.interpolate(m.side(gate), x.shape[2:], mode=mode)
    return (-1 * torch.sigmoid(side) + 1).expand_as(x).mul(x)


def spatial_reduction_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As PVT does it: the matrix of all queries and keys."""
    batch, channels, *sides = x.shape
    sequence = x.flatten(2).transpose(1, 2)
    queries = m.attention_norm(sequence)
    missing = [-side % m.reduction for side in sides]
    image = F.pad(
        queries.permute(0, 2, 1).reshape(x.shape),
        [amount for side in reversed(missing) for amount in (0, side)],
    )
    keys = m.reduced_norm(m.reduce(image).reshape(batch, channels, -1).permute(0, 2, 1))
    query, key, value = (
        layer(y).reshape(batch, -1, m.heads, channels // m.heads).permute(0, 2, 1, 3)
        for layer, y in ((m.query, queries), (m.key, keys), (m.value, keys))
    )
    weights = ((query @ key.transpose(-2, -1)) * m.scale).softmax(dim=-1)
    sequence = sequence + m.output((weights @ value).transpose(1, 2).reshape(sequence.shape))
    sequence = sequence + m.mlp(m.mlp_norm(sequence))
    return sequence.transpose(1, 2).reshape(x.shape)


def efficient_multi_scale_attention(m: nn.Module, x: Tensor) -> Tensor:
    """As the authors' code: a pooling per axis, both branches pooled over positions."""
    pool = F.adaptive_avg_pool2d if x.dim() == 4 else F.adaptive_avg_pool3d
    sides = list(x.shape[2:])
    grouped = x.reshape(x.shape[0] * m.groups, -1, *sides)
    sizes = [
        [side if other == axis else 1 for other, side in enumerate(sides)]
        for axis in range(len(sides))
    ]
    profiles = m.profile(torch.cat([pool(grouped, size).flatten(2) for size in sizes], dim=2))
    one = grouped
    for size, profile in zip(sizes, profiles.split(sides, dim=2), strict=True):
        one = one * profile.reshape(*profile.shape[:2], *size).sigmoid()
    one, three = m.norm(one), m.local(grouped)
    weights = [pool(y, 1).flatten(1).unsqueeze(1).softmax(-1) for y in (one, three)]
    scores = weights[0] @ three.flatten(2) + weights[1] @ one.flatten(2)
    return (grouped * scores.reshape(-1, 1, *sides).sigmoid()).reshape(x.shape)


FORMULAS = {
    formula.__name__: formula
    for formula in (
        selective_state_space,
        large_kernel_grouped_gate,
        reverse_attention,
        spatial_reduction_attention,
        efficient_multi_scale_attention,
    )
}
