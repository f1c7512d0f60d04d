"""Gates and attention of recent decoders and backbones equal their papers' formulas."""

import itertools
import math

import pytest
import torch
from formulas import close, convolve, linear, normalise, sigmoid, softmax, spread
from torch.nn import functional as F

from attnbench.errors import ModelError
from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C, G = 12, 18
SIZES = {2: (5, 7), 3: (3, 5, 4)}
both = pytest.mark.parametrize("ndim", [2, 3])
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def case(name, ndim, randomise, training=False, channels=C, **options):
    module = randomise(create_mechanism(name, channels, ndim, **options)).double().train(training)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, channels, *SIZES[ndim], generator=generator, dtype=torch.float64)
    return module, x


def batch_norm(norm, x, training):
    """Batch normalisation, in training with the statistics of the batch."""
    if not training:
        return normalise(norm, x)
    axes = [0, *range(2, x.dim())]
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, keepdim=True, correction=0)
    scaled = (x - mean) / (variance + norm.eps).sqrt()
    return scaled * spread(norm.weight, x.dim() - 2) + spread(norm.bias, x.dim() - 2)


@both
@modes
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_grouped_gate_of_emcad(ndim, training, kernel_size, randomise):
    module, x = case(
        "large_kernel_grouped_gate",
        ndim,
        randomise,
        training,
        gate_channels=G,
        kernel_size=kernel_size,
    )
    gate = torch.randn(2, G, *SIZES[ndim], dtype=torch.float64)
    groups = 1 if kernel_size == 1 else 6  # of widths 12, 18 and 6
    parts = [
        batch_norm(norm, convolve(convolution, y, groups=groups), training)
        for (convolution, norm), y in ((module.theta, x), (module.phi, gate))
    ]
    layer, norm = module.psi
    weights = sigmoid(batch_norm(norm, linear(layer, (parts[0] + parts[1]).clamp(min=0)), training))
    close(module(x, gate), x * weights)
    close(module.attention_map(x, gate), weights)


def up(values, side):
    """Linear up-sampling of the last axis, pixels as areas, one position after the other."""
    given, rows = values.shape[-1], []
    for i in range(side):
        at = max(0.0, (i + 0.5) * given / side - 0.5)
        low = min(int(at), given - 1)
        high, share = min(low + 1, given - 1), at - low
        rows.append((1 - share) * values[..., low] + share * values[..., high])
    return torch.stack(rows, -1)


@both
@modes
def test_reverse_attention_erases_what_the_coarser_map_marks(ndim, training, randomise):
    module, x = case("reverse_attention", ndim, randomise, training, gate_channels=G)
    halved = tuple(-(-side // 2) for side in SIZES[ndim])
    gate = torch.randn(2, G, *halved, dtype=torch.float64)
    side_map = linear(module.side, gate)
    for axis, side in enumerate(SIZES[ndim], start=2):
        side_map = up(side_map.movedim(axis, -1), side).movedim(-1, axis)
    weights = 1 - sigmoid(side_map)
    close(module(x, gate), x * weights)
    close(module.attention_map(x, gate), weights)


def test_where_the_side_map_is_sure_the_skip_is_erased_and_elsewhere_kept():
    module = create_mechanism("reverse_attention", C, 2, gate_channels=1)
    torch.nn.init.constant_(module.side.weight, 1)
    torch.nn.init.zeros_(module.side.bias)
    gate = torch.full((1, 1, 4, 4), -100.0)
    gate[..., :2] = 100
    x = torch.randn(1, C, 8, 8)
    left, right = module(x, gate).split(4, dim=-1)
    torch.testing.assert_close(left[..., :3], torch.zeros_like(left[..., :3]))
    torch.testing.assert_close(right[..., 1:], x[..., 5:])


def layer_norm(norm, x):
    """Over the last axis."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return scaled * norm.weight + norm.bias


def patches(x, size):
    """Every patch of `size` along each axis in row-major order, zeros behind the far ends."""
    sides = x.shape[2:]
    grid = [-(-side // size) for side in sides]
    for cell in itertools.product(*map(range, grid)):
        patch = torch.zeros(*x.shape[:2], *[size] * len(sides), dtype=x.dtype)
        for inside in itertools.product(range(size), repeat=len(sides)):
            at = [size * c + i for c, i in zip(cell, inside, strict=True)]
            if all(a < side for a, side in zip(at, sides, strict=True)):
                patch[(..., *inside)] = x[(..., *at)]
        yield patch


@both
@modes
@pytest.mark.parametrize("reduction", [1, 2, 4])
@pytest.mark.parametrize("head_width", [64, 4])
def test_spatial_reduction_attention_of_pvt(ndim, training, reduction, head_width, randomise):
    module, x = case(
        "spatial_reduction_attention",
        ndim,
        randomise,
        training,
        reduction=reduction,
        head_width=head_width,
    )
    heads = max(1, C // head_width)
    sequence = x.flatten(2).transpose(1, 2)
    queries = layer_norm(module.attention_norm, sequence)
    keys = queries
    if reduction > 1:
        whole = queries.transpose(1, 2).reshape(x.shape)
        weight, bias = module.reduce.weight.flatten(1), module.reduce.bias
        cells = [patch.flatten(1) @ weight.T + bias for patch in patches(whole, reduction)]
        keys = layer_norm(module.reduced_norm, torch.stack(cells, 1))
    query, key, value = (
        y @ layer.weight.T + layer.bias
        for layer, y in ((module.query, queries), (module.key, keys), (module.value, keys))
    )
    width = C // heads
    attended, received = [], []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = torch.einsum("bnc,bmc->bnm", query[..., part], key[..., part]) / width**0.5
        weights = softmax(scores)
        attended.append(torch.einsum("bnm,bmc->bnc", weights, value[..., part]))
        received.append(weights.mean(1))
    output = torch.cat(attended, -1) @ module.output.weight.T + module.output.bias
    sequence = sequence + output
    first, _, second = module.mlp
    hidden = layer_norm(module.mlp_norm, sequence) @ first.weight.T + first.bias
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    sequence = sequence + hidden @ second.weight.T + second.bias
    close(module(x), sequence.transpose(1, 2).reshape(x.shape))
    grid = [-(-side // reduction) for side in x.shape[2:]]
    share = torch.stack(received).mean(0).reshape(-1, 1, *grid)
    if reduction > 1:
        mode = {2: "bilinear", 3: "trilinear"}[ndim]
        share = F.interpolate(share, x.shape[2:], mode=mode)
    close(module.attention_map(x), share)


@both
@modes
@pytest.mark.parametrize(("channels", "groups"), [(12, 1), (32, 4), (48, 6)])
def test_multi_scale_attention_of_ema(ndim, training, channels, groups, randomise):
    """As in the paper, group by group, with the normalised branch pooled over positions."""
    module, x = case("efficient_multi_scale_attention", ndim, randomise, training, channels)
    width = channels // groups
    results, maps = [], []
    for group in range(groups):
        part = x[:, group * width : (group + 1) * width]
        one = part
        for axis in range(2, x.dim()):
            others = [other for other in range(2, x.dim()) if other != axis]
            one = one * sigmoid(linear(module.profile, part.mean(others, keepdim=True)))
        axes = list(range(2, x.dim()))
        mean, variance = one.mean(axes, keepdim=True), one.var(axes, keepdim=True, correction=0)
        scaled = (one - mean) / (variance + module.norm.eps).sqrt()
        one = scaled * spread(module.norm.weight, ndim) + spread(module.norm.bias, ndim)
        three = convolve(module.local, part)
        scores = torch.einsum("bc,bc...->b...", softmax(one.flatten(2).mean(2), 1), three)
        scores = scores + torch.einsum("bc,bc...->b...", softmax(three.flatten(2).mean(2), 1), one)
        maps.append(sigmoid(scores).unsqueeze(1))
        results.append(part * maps[-1])
    close(module(x), torch.cat(results, 1))
    close(module.attention_map(x), torch.cat(maps, 1).mean(1, keepdim=True))


def test_multi_scale_attention_keeps_groups_of_eight_channels():
    for channels, groups in ((4, 1), (16, 2), (100, 4), (256, 32), (1024, 32)):
        module = create_mechanism("efficient_multi_scale_attention", channels, 2)
        assert module.norm.num_channels == channels // groups


def test_the_gate_refuses_an_even_kernel():
    with pytest.raises(ModelError, match="kernel_size is 4; allowed: odd numbers, nearest 5"):
        create_mechanism("large_kernel_grouped_gate", C, 2, gate_channels=G, kernel_size=4)


def test_refuses_channels_that_do_not_split_into_heads_of_the_width():
    with pytest.raises(
        ModelError, match="131 channels; 2 heads of at least 64 need a multiple of 2"
    ):
        create_mechanism("spatial_reduction_attention", 131, 2)


@both
@pytest.mark.parametrize("c", [16, 64, 640])
def test_parameters_are_those_of_the_formulas(ndim, c):
    def size(name, **options):
        return count_parameters(create_mechanism(name, c, ndim, **options))

    inner, width = c // 2, c // math.gcd(c, min(32, c // 8))
    # In as many groups as they are wide, theta and phi see two channels each.
    gate = 2 * (3**ndim * 2 * inner + 3 * inner) + (inner + 1 + 2)
    assert size("large_kernel_grouped_gate", gate_channels=c) == gate
    assert size("reverse_attention", gate_channels=c) == c + 1
    attention = 3 * 2 * c + 4 * (c * c + c) + (4**ndim * c * c + c)
    assert size("spatial_reduction_attention") == attention + 8 * c * c + 5 * c
    ema = (1 + 3**ndim) * width * width + 4 * width
    assert size("efficient_multi_scale_attention") == ema
