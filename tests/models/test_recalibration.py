"""Mechanisms that weight channels or positions equal their papers' formulas, written out; their
sizes are closed.
"""

import math

import pytest
import torch
from formulas import close, convolve, linear, normalise, sigmoid, spread

from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism, get_mechanism

SIZES = {2: (5, 6), 3: (3, 4, 5)}
C = 32
both = pytest.mark.parametrize("ndim", [2, 3])


def case(name, ndim, randomise, **options):
    module = randomise(create_mechanism(name, C, ndim, **options)).double().eval()
    generator = torch.Generator().manual_seed(3)
    return module, torch.randn(2, C, *SIZES[ndim], generator=generator, dtype=torch.float64)


@both
@pytest.mark.parametrize(("name", "hidden"), [("squeeze_excitation", 8), ("channel_se", C // 2)])
def test_channel_excitation(name, hidden, ndim, randomise):
    module, x = case(name, ndim, randomise)
    first, _, second, _ = module.excite
    assert first.weight.shape == (hidden, C) and second.weight.shape == (C, hidden)
    z = x.sum(tuple(range(2, x.dim()))) / math.prod(SIZES[ndim])
    s = sigmoid((z @ first.weight.T).clamp(min=0) @ second.weight.T)
    close(module(x), x * spread(s, ndim))
    close(module.channel_map(x), spread(s, ndim))


@both
def test_spatial_excitation(ndim, randomise):
    module, x = case("spatial_se", ndim, randomise)
    q = sigmoid((x * spread(module.squeeze.weight.reshape(1, C), ndim)).sum(1, keepdim=True))
    close(module(x), x * q)


@both
def test_scse_is_the_sum_of_its_branches(ndim, randomise):
    module, x = case("scse", ndim, randomise)
    first, _, second, _ = module.channel.excite
    z = x.mean(tuple(range(2, x.dim())))
    channel = x * spread(sigmoid((z @ first.weight.T).clamp(min=0) @ second.weight.T), ndim)
    spatial = x * sigmoid(linear(module.spatial.squeeze, x))
    close(module(x), channel + spatial)


@both
def test_cbam_weights_channels_then_positions(ndim, randomise):
    module, x = case("cbam", ndim, randomise)
    first, _, second = module.excite
    flat = x.reshape(2, C, -1)
    total = sum(
        linear(second, linear(first, pooled).clamp(min=0))
        for pooled in (flat.mean(2), flat.max(2).values)
    )
    y = x * spread(sigmoid(total), ndim)
    pooled = torch.stack([y.max(1).values, y.sum(1) / C], dim=1)
    convolution, norm = module.spatial
    weights = sigmoid(normalise(norm, convolve(convolution, pooled)))
    close(module(x), y * weights)
    close(module.attention_map(x), weights)


@both
@pytest.mark.parametrize("name", ["cbam", "triplet_attention"])
def test_a_gate_over_positions_starts_at_one_half_and_learns_from_the_first_step(name, ndim):
    module, x = create_mechanism(name, C, ndim), torch.randn(2, C, *SIZES[ndim])
    if name == "cbam":
        close(module.attention_map(x), torch.full((2, 1, *SIZES[ndim]), 0.5))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    (module(x) * torch.randn_like(x)).sum().backward()
    (shut,) = get_mechanism(name).gain
    assert not module.get_parameter(shut).any() and module.get_parameter(shut).grad.any()
    optimiser.step()
    optimiser.zero_grad()
    (module(x) * torch.randn_like(x)).sum().backward()
    assert all(parameter.grad.any() for parameter in module.parameters())


def test_cbam_refuses_an_even_kernel():
    with pytest.raises(Exception, match="kernel_size is 6; allowed: odd numbers, nearest 7"):
        create_mechanism("cbam", C, 2, kernel_size=6)


@both
def test_bam_adds_the_product_of_its_branches(ndim, randomise):
    module, x = case("bam", ndim, randomise)
    first, norm, _, second = module.channel
    channel = linear(second, normalise(norm, linear(first, x.flatten(2).mean(2))).clamp(min=0))
    reduce, norm0, _, dilated1, norm1, _, dilated2, norm2, _, last = module.spatial
    y = normalise(norm0, linear(reduce, x)).clamp(min=0)
    for convolution, norm in ((dilated1, norm1), (dilated2, norm2)):
        y = normalise(norm, convolve(convolution, y, dilation=4)).clamp(min=0)
    weights = sigmoid(spread(channel, ndim) * linear(last, y))
    close(module(x), (1 + weights) * x)
    close(module.attention_map(x), weights.mean(1, keepdim=True))


def test_bam_trains_on_a_batch_of_one_with_running_statistics(randomise):
    module, x = case("bam", 2, randomise)
    module.train()
    norm = module.channel[1]
    before = norm.running_mean.clone()
    module(x[:1])
    assert torch.equal(norm.running_mean, before)
    module(x)
    assert not torch.equal(norm.running_mean, before)


@pytest.mark.parametrize(
    ("channels", "kernel"), [(8, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)]
)
def test_eca_kernel_grows_with_the_channels(channels, kernel):
    """|log2(C) / 2 + 1 / 2| is 2, 3, 3.5, 4, 4.5, 5, 6; even floors become the next odd number."""
    module = create_mechanism("eca", channels, 2)
    assert [tuple(p.shape) for p in module.parameters()] == [(1, 1, kernel)]


@both
def test_eca_mixes_neighbouring_channels(ndim, randomise):
    module, x = case("eca", ndim, randomise)
    taps = module.mix.weight.flatten()
    mean = torch.nn.functional.pad(x.flatten(2).mean(2), (1, 1))
    mixed = torch.stack([(mean[:, c : c + 3] * taps).sum(1) for c in range(C)], dim=1)
    close(module(x), x * spread(sigmoid(mixed), ndim))


@both
def test_coordinate_attention_multiplies_one_factor_per_axis(ndim, randomise):
    module, x = case("coordinate_attention", ndim, randomise)
    convolution, norm, _ = module.reduce
    expected, joint = x, 1
    for axis in range(ndim):
        others = tuple(other + 2 for other in range(ndim) if other != axis)
        reduced = normalise(norm, linear(convolution, x.mean(others)))
        reduced = reduced * (reduced + 3).clamp(0, 6) / 6
        weights = sigmoid(linear(module.expand[axis], reduced))  # (B, C, side)
        shape = [2, C, *(side if other == axis else 1 for other, side in enumerate(SIZES[ndim]))]
        expected, joint = expected * weights.reshape(shape), joint * weights.reshape(shape)
    close(module(x), expected)
    close(module.attention_map(x), joint.mean(1, keepdim=True))


@both
def test_global_context_adds_one_context_to_every_position(ndim, randomise):
    module, x = case("global_context", ndim, randomise)
    key = linear(module.key, x).flatten(1)
    weights = torch.exp(key) / torch.exp(key).sum(1, keepdim=True)
    context = torch.einsum("bn,bcn->bc", weights, x.flatten(2))
    first, norm, _, second = module.transform
    hidden = linear(first, context)
    centred = hidden - hidden.mean(1, keepdim=True)
    hidden = (
        centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt() * norm.weight
        + norm.bias
    )
    close(module(x), x + spread(linear(second, hidden.clamp(min=0)), ndim))
    close(module.attention_map(x).flatten(1), weights)


@both
@pytest.mark.parametrize("channels", [16, 256])
def test_parameters_are_those_of_the_formulas(ndim, channels):
    c = channels
    h16, h32 = max(8, c // 16), max(8, c // 32)
    expected = {
        "squeeze_excitation": 2 * c * h16,
        "channel_se": c * c,
        "spatial_se": c,
        "scse": c * c + c,
        "cbam": (2 * c * h16 + h16 + c) + (2 * 7**ndim + 2),
        "bam": (2 * c * h16 + h16 + c + 2 * h16)
        + (c * h16 + 3 * h16)
        + 2 * (3**ndim * h16 * h16 + 3 * h16)
        + (h16 + 1),
        "coordinate_attention": (c * h32 + 3 * h32) + ndim * (h32 * c + c),
        "global_context": (c + 1) + (c * h16 + h16) + 2 * h16 + (h16 * c + c),
    }
    assert {
        name: count_parameters(create_mechanism(name, c, ndim)) for name in expected
    } == expected
