"""Channel prior, focal modulation and external attention equal their papers' formulas."""

import pytest
import torch
from formulas import (
    affine,
    close,
    convolve,
    gelu,
    layer_norm,
    linear,
    normalise,
    sigmoid,
    softmax,
    spread,
)

from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C = 12
SIZES = {2: (5, 6), 3: (3, 4, 5)}
both = pytest.mark.parametrize("ndim", [2, 3])


def case(name, ndim, randomise, **options):
    module = randomise(create_mechanism(name, C, ndim, **options)).double().eval()
    return module, torch.randn(2, C, *SIZES[ndim], dtype=torch.float64)


def strip(layer, x, axis):
    """A depth-wise convolution along one axis, as a sum over its taps of the shifted image."""
    length = layer.weight.shape[axis + 2]
    assert layer.weight[0, 0].numel() == length
    reach, side = length // 2, x.shape[axis + 2]
    total = torch.zeros_like(x)
    for tap, weight in enumerate(layer.weight.flatten(1).T):
        for place in range(side):
            source = place + tap - reach
            if 0 <= source < side:
                total.select(axis + 2, place).add_(
                    spread(weight[None], x.dim() - 3) * x.select(axis + 2, source)
                )
    return total + spread(layer.bias[None], x.dim() - 2)


@both
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_channel_prior_weights_channels_then_every_value(ndim, training, randomise):
    module, x = case("channel_prior", ndim, randomise)
    module.train(training)
    normal = normalise(module.norm, x)
    if training:
        axes = (0, *range(2, 2 + ndim))
        centred = x - x.mean(axes, keepdim=True)
        variance = centred.square().mean(axes, keepdim=True)
        weight, bias = (spread(t[None], ndim) for t in (module.norm.weight, module.norm.bias))
        normal = centred / (variance + module.norm.eps).sqrt() * weight + bias
    y = gelu(linear(module.mix, normal))
    first, _, second = module.excite
    weights = [
        sigmoid(affine(second, affine(first, pooled).clamp(min=0)))
        for pooled in (y.flatten(2).mean(2), y.flatten(2).amax(2))
    ]
    z = y * spread(sum(weights), ndim)
    local = convolve(module.local, z, groups=C)
    total = local.clone()
    for length, branch in zip((7, 11, 21), module.strips, strict=True):
        moved = local
        for layer, axis in zip(branch, reversed(range(ndim)), strict=True):
            assert layer.weight.shape[axis + 2] == length
            moved = strip(layer, moved, axis)
        total = total + moved
    weight = linear(module.mix, total)
    if not training:
        close(module.attention_map(x), weight.abs().mean(1, keepdim=True))
    close(module(x), x + linear(module.mix, z * weight))


def test_channel_prior_sees_25_positions_along_each_axis(randomise):
    """5 + 21 - 1, when the pooled weights of the channels are held."""
    module = randomise(create_mechanism("channel_prior", 8, 2)).double().eval()
    with torch.no_grad():
        module.excite[2].weight.zero_()
    x = torch.ones(1, 8, 41, 41, dtype=torch.float64)
    other = x.clone()
    other[..., 20, 20] = 2
    changed = (module(x) - module(other)).abs().amax(1)[0] > 1e-12
    assert changed.any(0).sum() == changed.any(1).sum() == 25


@both
@pytest.mark.parametrize("levels", [1, 3])
def test_focal_modulation_gates_contexts_and_multiplies_the_query(ndim, levels, randomise):
    module, x = case("focal_modulation", ndim, randomise, levels=levels)
    tokens = x.flatten(2).transpose(1, 2)
    mapped = affine(module.inputs, layer_norm(module.modulation_norm, tokens))
    query, context = mapped[..., :C], mapped[..., C : 2 * C]
    gates = [mapped[..., 2 * C + level, None] for level in range(levels + 1)]
    context, total = context.transpose(1, 2).reshape(x.shape), 0
    for level, layer in enumerate(module.contexts):
        assert layer.weight.shape[2:] == (2 * level + 3,) * ndim
        context = gelu(convolve(layer, context, groups=C))
        total = total + gates[level] * context.flatten(2).transpose(1, 2)
    total = total + gates[-1] * gelu(context.flatten(2).mean(2))[:, None]
    modulator = torch.einsum("oc,bnc->bno", module.modulator.weight.flatten(1), total)
    modulator = modulator + module.modulator.bias
    tokens = tokens + affine(module.output, query * modulator)
    hidden = gelu(affine(module.mlp[0], layer_norm(module.mlp_norm, tokens)))
    tokens = tokens + affine(module.mlp[2], hidden)
    for training in (True, False):
        close(module.train(training)(x), tokens.transpose(1, 2).reshape(x.shape))
    close(module.attention_map(x).flatten(1), modulator.abs().mean(2))


@both
@pytest.mark.parametrize("units", [64, 5])
def test_external_attention_normalises_over_positions_then_over_units(ndim, units, randomise):
    module, x = case("external_attention", ndim, randomise, units=units)
    query = linear(module.query, x).flatten(2)
    received = softmax(torch.einsum("sc,bcn->bsn", module.key.weight, query), 2)
    # The constant of the authors' code, for a position that no unit sees.
    shares = received / (received.sum(1, keepdim=True) + 1e-9)
    attended = torch.einsum("cs,bsn->bcn", module.value.weight, shares).reshape(x.shape)
    mixed = normalise(module.output[1], linear(module.output[0], attended))
    close(module(x), (x + mixed).clamp(min=0))
    close(module.attention_map(x).flatten(1), received.mean(1))
    close(received.mean(1).sum(1), torch.ones(2, dtype=x.dtype))


def test_external_attention_starts_with_one_memory_in_both_places_and_trains_two():
    module = create_mechanism("external_attention", C, 2)
    assert torch.equal(module.key.weight, module.value.weight.T)
    optimiser = torch.optim.SGD(module.parameters(), lr=1.0)
    module(torch.randn(2, C, 5, 6)).square().sum().backward()
    optimiser.step()
    assert not torch.allclose(module.key.weight, module.value.weight.T)


@both
@pytest.mark.parametrize("c", [8, 64, 640])
def test_parameters_are_those_of_the_formulas(ndim, c):
    hidden = max(8, c // 4)
    expected = {
        "channel_prior": 2 * c
        + (c * c + c)
        + 2 * c * hidden
        + hidden
        + c
        + (c * 5**ndim + c)
        + ndim * sum(c * length + c for length in (7, 11, 21)),
        "external_attention": (c * c + c) + 2 * 64 * c + c * c + 2 * c,
        "focal_modulation": 2 * c
        + (c + 1) * (2 * c + 4)
        + c * (3**ndim + 5**ndim + 7**ndim)
        + 2 * (c * c + c)
        + 2 * c
        + 8 * c * c
        + 5 * c,
    }
    assert {
        name: count_parameters(create_mechanism(name, c, ndim)) for name in expected
    } == expected
