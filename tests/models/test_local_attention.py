"""Mechanisms of convolutions, pooling and channel contexts equal their papers' formulas; their
sizes are closed.
"""

import itertools
import math
import statistics

import pytest
import torch
from formulas import close, convolve, linear, normalise, sigmoid, softmax, spread

from attnbench.errors import ModelError
from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C = 12
SIZES = {2: (5, 6), 3: (3, 4, 5)}
both = pytest.mark.parametrize("ndim", [2, 3])


def case(name, ndim, randomise, **options):
    module = randomise(create_mechanism(name, C, ndim, **options)).double().eval()
    generator = torch.Generator().manual_seed(3)
    return module, torch.randn(2, C, *SIZES[ndim], generator=generator, dtype=torch.float64)


@both
def test_simam_weighs_each_value_by_its_energy(ndim, randomise):
    module, x = case("simam", ndim, randomise)
    expected = torch.zeros_like(x)
    for b, c in itertools.product(range(2), range(C)):
        values = x[b, c].flatten().tolist()
        mean, variance = statistics.fmean(values), statistics.variance(values)
        inverse = [(t - mean) ** 2 / (4 * (variance + 1e-4)) + 0.5 for t in values]
        weighed = [t / (1 + math.exp(-e)) for t, e in zip(values, inverse, strict=True)]
        expected[b, c] = torch.tensor(weighed, dtype=x.dtype).reshape(x.shape[2:])
    close(module(x), expected)
    close(module.attention_map(x), (expected / x).mean(1, keepdim=True))


def test_simam_takes_a_single_position():
    assert create_mechanism("simam", C, 2)(torch.randn(1, C, 1, 1)).isfinite().all()


@both
def test_spatial_attention_of_sa_unet(ndim, randomise):
    module, x = case("spatial_attention", ndim, randomise)
    pooled = torch.stack([x.mean(1), x.amax(1)], dim=1)
    weights = sigmoid(convolve(module.weigh, pooled))
    close(module(x), x * weights)
    close(module.attention_map(x), weights)


@both
def test_triplet_attention_rotates_every_axis_to_the_front(ndim, randomise):
    """As in the paper: the tensor is rotated so that the axis takes the channels' place, gated
    there, rotated back.
    """
    module, x = case("triplet_attention", ndim, randomise)
    total, weights = 0, 0
    for axis, (convolution, norm) in enumerate(module.gates, start=1):
        rotated = x.movedim(axis, 1)
        pooled = torch.stack([rotated.amax(1), rotated.mean(1)], dim=1)
        gate = sigmoid(normalise(norm, convolve(convolution, pooled)))
        total = total + (rotated * gate).movedim(1, axis)
        weights = weights + (torch.ones_like(rotated) * gate).movedim(1, axis)
    close(module(x), total / (ndim + 1))
    close(module.attention_map(x), (weights / (ndim + 1)).mean(1, keepdim=True))


@both
def test_large_kernel_attention_is_a_product_with_three_convolutions(ndim, randomise):
    module, x = case("large_kernel_attention", ndim, randomise)
    local, distant, mix = module.weigh
    y = normalise(module.norm, x)
    first = linear(module.first, y)
    z = first * 0.5 * (1 + torch.erf(first / math.sqrt(2)))
    weights = convolve(local, z, groups=C)
    weights = convolve(distant, weights, groups=C, dilation=3)
    weights = linear(mix, weights)
    inner = y + linear(module.second, z * weights)
    close(module(x), x + spread(module.layer_scale[None], ndim) * inner)
    close(module.attention_map(x), weights.abs().mean(1, keepdim=True))


@both
def test_large_kernel_attention_starts_with_an_open_skip(ndim):
    """The scale of 0.01 leaves the input as it is but for a few hundredths."""
    module = create_mechanism("large_kernel_attention", C, ndim)
    x = torch.randn(2, C, *SIZES[ndim])
    assert (module(x) - x).std() < 0.2 * x.std()
    deviations = [layer.weight.std().item() for layer in module.weigh[:2]]
    assert deviations == pytest.approx([(2 / 5**ndim) ** 0.5, (2 / 7**ndim) ** 0.5], rel=0.2)


def test_large_kernel_attention_sees_23_positions_along_each_axis(randomise):
    """5 + 3 * (7 - 1): the paper's decomposition of a kernel of 21 reaches a little further."""
    module = randomise(create_mechanism("large_kernel_attention", 1, 2)).double().eval()
    x = torch.ones(1, 1, 31, 31, dtype=torch.float64)
    other = x.clone()
    other[..., 15, 15] = 2
    changed = (module.attention_map(x) - module.attention_map(other)).abs()[0, 0] > 1e-12
    assert changed.any(0).sum() == changed.any(1).sum() == 23


@both
def test_linear_attention_equals_the_form_with_all_pairs(ndim, randomise):
    module, x = case("linear_attention", ndim, randomise)
    query = softmax(linear(module.query, x).flatten(2), 1)
    key = softmax(linear(module.key, x).flatten(2), 2)
    pairs = torch.einsum("bcn,bcm->bnm", query, key)
    close(pairs.sum(2), torch.ones_like(pairs[..., 0]))
    attended = torch.einsum("bnm,bcm->bcn", pairs, linear(module.value, x).flatten(2))
    close(module(x), x + linear(module.output, attended).reshape(x.shape))
    close(module.attention_map(x).flatten(1), pairs.mean(1))


@both
@pytest.mark.parametrize("groups", [32, 3])
def test_selective_kernel_chooses_between_two_kernels_per_channel(ndim, groups, randomise):
    module, x = case("selective_kernel", ndim, randomise, groups=groups)
    divisor = {32: 4, 3: 3}[groups]
    branches = [
        torch.relu(normalise(norm, convolve(convolution, x, groups=divisor, dilation=dilation)))
        for dilation, (convolution, norm, _) in ((1, module.small), (2, module.large))
    ]
    pooled = sum(branches).flatten(2).mean(2)
    hidden = torch.relu(normalise(module.reduce[1], linear(module.reduce[0], pooled)))
    scores = linear(module.select, hidden)
    small, large = torch.exp(scores[:, :C]), torch.exp(scores[:, C:])
    share = spread(small / (small + large), ndim)
    close(module(x), share * branches[0] + (1 - share) * branches[1])
    close(module.channel_map(x), share)


@both
@pytest.mark.parametrize("layout", ["parallel", "sequential"])
def test_polarised_self_attention(ndim, layout, randomise):
    module, x = case("polarized_self_attention", ndim, randomise, layout=layout)

    def by_channel(x):
        query = softmax(linear(module.channel_query, x).flatten(2), 2)[:, 0]
        pooled = torch.einsum("bcn,bn->bc", linear(module.channel_value, x).flatten(2), query)
        wide, norm = linear(module.expand[0], pooled), module.expand[1]
        centred = wide - wide.mean(1, keepdim=True)
        normal = (
            centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt() * norm.weight
            + norm.bias
        )
        return spread(sigmoid(normal), ndim)

    def by_position(x):
        query = softmax(linear(module.spatial_query, x).flatten(2).mean(2), 1)
        weights = torch.einsum("bc,bcn->bn", query, linear(module.spatial_value, x).flatten(2))
        return sigmoid(weights).reshape(-1, 1, *x.shape[2:])

    weighed = x * by_channel(x)
    if layout == "parallel":
        close(module(x), weighed + x * by_position(x))
        close(module.attention_map(x), by_position(x))
    else:
        close(module(x), weighed * by_position(weighed))
        close(module.attention_map(x), by_position(weighed))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "polarized_self_attention",
            {"layout": "both"},
            "layout is 'both'; allowed: parallel, sequential",
        ),
        (
            "spatial_attention",
            {"kernel_size": 4},
            "kernel_size is 4; allowed: odd numbers, nearest 5",
        ),
        (
            "triplet_attention",
            {"kernel_size": 6},
            "kernel_size is 6; allowed: odd numbers, nearest 7",
        ),
    ],
)
def test_refuses_impossible_options(name, options, message):
    with pytest.raises(ModelError, match=message):
        create_mechanism(name, C, 2, **options)


@both
@pytest.mark.parametrize("c", [8, 64, 640])
def test_parameters_are_those_of_the_formulas(ndim, c):
    half, hidden = c // 2, max(32, c // 16)
    expected = {
        "simam": 0,
        "spatial_attention": 2 * 7**ndim,
        "triplet_attention": (ndim + 1) * (2 * 7**ndim + 2),
        "large_kernel_attention": c * 5**ndim + c + c * 7**ndim + c + 3 * (c * c + c) + 3 * c,
        "linear_attention": 3 * (c * half + half) + half * c + c,
        "selective_kernel": 2 * (c * c // math.gcd(c, 32) * 3**ndim + 2 * c)
        + c * hidden
        + 2 * hidden
        + 2 * hidden * c,
        "polarized_self_attention": c + 3 * c * half + half * c + 2 * c,
    }
    assert {
        name: count_parameters(create_mechanism(name, c, ndim)) for name in expected
    } == expected
