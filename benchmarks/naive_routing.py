"""Routing, deformable convolution, modulation and external memories as their authors write them.

What `naive.py` says of its forms holds for these.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def channel_prior(m: nn.Module, x: Tensor) -> Tensor:
    y = F.gelu(m.mix(m.norm(x)))
    average, largest = (
        (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
        if x.dim() == 4
        else (F.adaptive_avg_pool3d, F.adaptive_max_pool3d)
    )
    weights = sum(m.excite(pool(y, 1).flatten(1)).sigmoid() for pool in (average, largest))
    z = weights.reshape(*weights.shape, *[1] * (x.dim() - 2)).expand_as(y) * y
    local = m.local(z)
    first, second, third = (branch(local) for branch in m.strips)
    return x + m.mix(m.mix(first + second + third + local) * z)


def bi_level_routing(m: nn.Module, x: Tensor) -> Tensor:
    """As BiFormer does it: regions gathered from expanded copies, the matrix of each."""
    x = (x + m.position(x)).movedim(1, -1)
    normal = m.attention_norm(x)
    sides, most = x.shape[1:-1], m.attention.regions
    region = [-(-side // most) for side in sides]
    counts = [-(-side // inside) for side, inside in zip(sides, region, strict=True)]
    missing = [c * r - side for c, r, side in zip(counts, region, sides, strict=True)]
    ndim, regions = len(sides), torch.Size(counts).numel()

    def cut(features: Tensor) -> Tensor:
        padded = F.pad(features, [0, 0, *(n for side in missing[::-1] for n in (0, side))])
        lengths = itertools.chain(*zip(counts, region, strict=True))
        split = padded.reshape(len(padded), *lengths, padded.shape[-1])
        order = [0, *range(1, 2 * ndim, 2), *range(2, 2 * ndim + 1, 2), 2 * ndim + 1]
        return split.permute(order).reshape(len(padded), regions, -1, padded.shape[-1])

    qkv = m.attention.qkv(normal)
    query, key, value = (cut(part) for part in qkv.chunk(3, -1))
    inside = cut(torch.ones_like(x[..., :1]))
    numbers = inside.sum(2)
    means = [((part * inside).sum(2) / numbers).detach() for part in (query, key)]
    likeness = means[0] @ means[1].transpose(1, 2)
    chosen = torch.topk(likeness, min(m.attention.chosen, regions), dim=-1)[1]

    def gather(part: Tensor) -> Tensor:
        expanded = part.unsqueeze(1).expand(-1, regions, -1, -1, -1)
        index = chosen[..., None, None].expand(-1, -1, -1, *part.shape[2:])
        return torch.gather(expanded, 2, index).flatten(2, 3)

    key, value, inside = gather(key), gather(value), gather(inside)
    q, k, v = (
        part.unflatten(-1, (m.attention.heads, -1)).permute(0, 1, 3, 2, 4)
        for part in (query, key, value)
    )
    scores = m.attention.scale * (q @ k.transpose(-1, -2))
    scores = scores.masked_fill(inside.squeeze(-1)[:, :, None, None] == 0, float("-inf"))
    attended = (scores.softmax(-1) @ v).permute(0, 1, 3, 2, 4).flatten(3)
    whole = attended.reshape(len(x), *counts, *region, x.shape[-1])
    order = [0, *(a for pair in range(1, ndim + 1) for a in (pair, pair + ndim)), 2 * ndim + 1]
    ends = [c * r for c, r in zip(counts, region, strict=True)]
    whole = whole.permute(order).reshape(len(x), *ends, x.shape[-1])
    whole = whole[(slice(None), *(slice(side) for side in sides))]
    local = m.attention.local(qkv.chunk(3, -1)[2].movedim(-1, 1).contiguous()).movedim(1, -1)
    x = x + m.attention.output(whole + local)
    return (x + m.mlp(m.mlp_norm(x))).movedim(-1, 1)


def deformable(m: nn.Module, x: Tensor) -> Tensor:
    """A deformable convolution from all taps' columns, as torchvision and the authors have it."""
    layer, sides = m.convolution, x.shape[2:]
    ndim, kernel, dilation = len(sides), layer.kernel_size[0], layer.dilation[0]
    offsets = m.offsets(x).unflatten(1, (-1, ndim))  # (B, taps, axes, *spatial)
    steps = torch.arange(kernel, device=x.device) - kernel // 2
    taps = dilation * torch.cartesian_prod(*[steps] * ndim)
    grid = torch.stack(
        torch.meshgrid(*(torch.arange(side, device=x.device) for side in sides), indexing="ij")
    )
    places = offsets + grid + taps.reshape(-1, ndim, *[1] * ndim)
    length = torch.tensor(sides, device=x.device).reshape(-1, *[1] * ndim)
    places = ((2 * places + 1) / length - 1).movedim(2, -1).flip(-1)
    columns = F.grid_sample(x, places.flatten(1, 2), align_corners=False)
    columns = columns.unflatten(2, (len(taps), -1)).transpose(1, 2)  # (B, taps, C, *spatial)
    if layer.groups > 1:
        weights = layer.weight.flatten(1).T.reshape(len(taps), -1, *[1] * ndim)
        y = (columns * weights).sum(1)
    else:
        y = torch.einsum("oct,btc...->bo...", layer.weight.flatten(2), columns)
    return y if layer.bias is None else y + layer.bias.reshape(-1, *[1] * ndim)


def deformable_large_kernel(m: nn.Module, x: Tensor) -> Tensor:
    y = m.norm(x.movedim(1, -1).contiguous()).movedim(-1, 1).contiguous()
    kept, z = y.clone(), F.gelu(m.first(y))
    weights = z.clone()
    for layer in m.weigh:
        weights = deformable(layer, weights) if hasattr(layer, "offsets") else layer(weights)
    scale = m.layer_scale.reshape(-1, *[1] * (x.dim() - 2))
    return x + scale * (m.second(z * weights) + kept)


def external_attention(m: nn.Module, x: Tensor) -> Tensor:
    sequence = m.query(x).flatten(2).transpose(1, 2)
    weights = m.key(sequence).softmax(1)
    weights = weights / (1e-9 + weights.sum(2, keepdim=True))
    attended = m.value(weights).transpose(1, 2).reshape(x.shape)
    return F.relu(m.output(attended) + x)


def focal_modulation(m: nn.Module, x: Tensor) -> Tensor:
    """As FocalNet does it: copied between channels last and channels first."""
    x = x.movedim(1, -1).contiguous()
    mapped = m.inputs(m.modulation_norm(x)).movedim(-1, 1).contiguous()
    query, context, gates = mapped.split(m.sizes, 1)
    total = torch.zeros_like(context)
    for level, layer in enumerate(m.contexts):
        context = F.gelu(layer(context))
        total = total + context * gates[:, level : level + 1]
    mean = context
    for axis in range(2, x.dim()):
        mean = mean.mean(axis, keepdim=True)
    total = total + F.gelu(mean) * gates[:, len(m.contexts) :]
    x = x + m.output((query * m.modulator(total)).movedim(1, -1).contiguous())
    return (x + m.mlp(m.mlp_norm(x))).movedim(-1, 1).contiguous()


FORMULAS: dict[str, Callable[..., Tensor]] = {
    formula.__name__: formula
    for formula in (
        channel_prior, bi_level_routing, deformable_large_kernel, external_attention,
        focal_modulation,
    )
}  # fmt: skip
