"""Attention over all positions equals the explicit softmax form, forward and backward; its sizes
are closed.
"""

import itertools

import pytest
import torch
from formulas import close, linear, softmax

from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C = 16
SIZES = {2: (5, 6), 3: (3, 4, 5)}
both = pytest.mark.parametrize("ndim", [2, 3])


def case(name, ndim, randomise, channels=C):
    module = randomise(create_mechanism(name, channels, ndim)).double().eval()
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(
        2, channels, *SIZES[ndim], generator=generator, dtype=torch.float64, requires_grad=True
    )
    return module, x


def gradients(y, module, x):
    """Gradients of a fixed function of y with respect to the input and every parameter."""
    wave = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    return torch.autograd.grad((wave * y).sum(), [x, *module.parameters()])


def explicit_self_attention(module, x):
    flat = x.flatten(2)
    q, k, v = (linear(layer, flat) for layer in (module.query, module.key, module.value))
    weights = softmax(torch.einsum("bcn,bcm->bnm", q, k))
    return module.gamma * torch.einsum("bnm,bcm->bcn", weights, v).reshape(x.shape) + x, weights


@both
@pytest.mark.parametrize("channels", [C, 13])
def test_self_attention_equals_the_explicit_form_with_gradients(ndim, channels, randomise):
    module, x = case("self_attention", ndim, randomise, channels)
    expected, weights = explicit_self_attention(module, x)
    y = module(x)
    close(y, expected, 1e-10)
    for actual, exact in zip(gradients(y, module, x), gradients(expected, module, x), strict=True):
        close(actual, exact, 1e-10)
    close(module.attention_map(x).flatten(1), weights.mean(1))


def test_self_attention_gradients_are_those_of_finite_differences(randomise):
    module = randomise(create_mechanism("self_attention", 8, 2)).double()
    assert torch.autograd.gradcheck(
        module, torch.randn(1, 8, 3, 4, dtype=torch.float64, requires_grad=True)
    )


@pytest.mark.parametrize("name", ["self_attention", "dual_attention"])
def test_map_over_more_positions_than_one_block_sums_to_one(name):
    module = create_mechanism(name, 8, 2).double()
    weights = module.attention_map(torch.randn(2, 8, 36, 40, dtype=torch.float64))
    close(weights.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))


@both
def test_non_local_equals_the_explicit_form_with_gradients(ndim, randomise):
    module, x = case("non_local", ndim, randomise)
    # The largest of each block of 2^n positions; the end of an odd side belongs to none.
    even = x[(..., *(slice(side // 2 * 2) for side in SIZES[ndim]))]
    corners = itertools.product((0, 1), repeat=ndim)
    blocks = [even[(..., *(slice(start, None, 2) for start in corner))] for corner in corners]
    pooled = torch.stack(blocks).amax(0).flatten(2)
    theta, phi, g = (
        linear(layer, y)
        for layer, y in ((module.theta, x.flatten(2)), (module.phi, pooled), (module.g, pooled))
    )
    weights = softmax(torch.einsum("bcn,bcm->bnm", theta, phi) / (C // 2) ** 0.5)
    y = linear(module.output[0], torch.einsum("bnm,bcm->bcn", weights, g))
    norm = module.output[1]
    y = (y - norm.running_mean[:, None]) / (norm.running_var[:, None] + norm.eps).sqrt()
    expected = x + (y * norm.weight[:, None] + norm.bias[:, None]).reshape(x.shape)
    close(module(x), expected)
    for actual, exact in zip(
        gradients(module(x), module, x), gradients(expected, module, x), strict=True
    ):
        close(actual, exact)


def test_non_local_takes_a_side_that_cannot_be_halved():
    assert create_mechanism("non_local", C, 2)(torch.randn(1, C, 1, 5)).isfinite().all()


@both
def test_dual_attention_equals_the_explicit_form_with_gradients(ndim, randomise):
    module, x = case("dual_attention", ndim, randomise)
    flat = x.flatten(2)
    q, k, v = (linear(layer, flat) for layer in (module.query, module.key, module.value))
    positions = torch.einsum("bnm,bcm->bcn", softmax(torch.einsum("bcn,bcm->bnm", q, k)), v)
    energy = torch.einsum("bcn,bdn->bcd", flat, flat)
    weights = softmax(energy.max(2, keepdim=True).values - energy)
    channels = torch.einsum("bcd,bdn->bcn", weights, flat)
    expected = x + (module.alpha * positions + module.beta * channels).reshape(x.shape)
    close(module(x), expected)
    for actual, exact in zip(
        gradients(module(x), module, x), gradients(expected, module, x), strict=True
    ):
        close(actual, exact)


def test_channel_energies_of_dual_attention_keep_single_precision_under_autocast(randomise):
    """Over 4096 positions half precision would round energies to steps of 16 and pick other
    channels.
    """
    module = randomise(create_mechanism("dual_attention", C, 2))
    module.alpha.data.zero_()
    x = torch.randn(1, C, 64, 64).relu()
    expected = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    assert (y.float() - expected).abs().max() < 0.02 * expected.abs().max()


@both
@pytest.mark.parametrize("c", [4, 16, 64])
def test_parameters_are_those_of_the_formulas(ndim, c):
    k = max(1, c // 8)
    projections = 2 * (c * k + k) + (c * c + c)
    expected = {
        "self_attention": projections + 1,
        "dual_attention": projections + 2,
        "non_local": 3 * (c * c // 2 + c // 2) + (c * c // 2 + c) + 2 * c,
    }
    assert {
        name: count_parameters(create_mechanism(name, c, ndim)) for name in expected
    } == expected
