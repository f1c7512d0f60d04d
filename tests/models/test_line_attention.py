"""Attention along lines equals its formula, written out position by position; its sizes are
closed.
"""

import itertools
import math

import pytest
import torch
from formulas import close, linear, normalise

from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

SIZES = {2: (4, 5), 3: (3, 4, 2)}
both = pytest.mark.parametrize("ndim", [2, 3])


def case(name, ndim, randomise, channels=16, **options):
    module = randomise(create_mechanism(name, channels, ndim, **options)).double().eval()
    generator = torch.Generator().manual_seed(7)
    return module, torch.randn(2, channels, *SIZES[ndim], generator=generator, dtype=torch.float64)


def positions(sides):
    return list(itertools.product(*(range(side) for side in sides)))


def line(position, axis, side):
    """The positions of the line along `axis` through `position`, in order."""
    return [(*position[:axis], step, *position[axis + 1 :]) for step in range(side)]


def at(x, position):
    """The features (B, C) at one position."""
    return x[(..., *position)]


def weigh(energies):
    """Softmax over a list of (B, ...) energies, as a tensor (B, ..., keys)."""
    stacked = torch.stack(energies, dim=-1)
    exponentials = torch.exp(stacked - stacked.max(-1, keepdim=True).values)
    return exponentials / exponentials.sum(-1, keepdim=True)


@both
def test_criss_cross_attends_twice_to_the_cross_of_each_position(ndim, randomise):
    module, x = case("criss_cross", ndim, randomise)
    sides, expected, received = SIZES[ndim], x, None
    for _ in range(2):
        q, k, v = (linear(layer, expected) for layer in (module.query, module.key, module.value))
        result, mass = torch.empty_like(x), torch.zeros(2, *sides, dtype=x.dtype)
        for here in positions(sides):
            cross = sorted(
                {there for axis in range(ndim) for there in line(here, axis, sides[axis])}
            )
            assert len(cross) == sum(sides) - (ndim - 1)
            weights = weigh([(at(q, here) * at(k, there)).sum(1) for there in cross])
            for there, weight in zip(cross, weights.unbind(-1), strict=True):
                mass[(..., *there)] += weight / math.prod(sides)
            context = sum(at(v, there) * weights[:, [i]] for i, there in enumerate(cross))
            result[(..., *here)] = module.gamma * context + at(expected, here)
        received = mass if received is None else received
        expected = result
    close(module(x), expected)
    close(module.attention_map(x).squeeze(1), received)


def test_criss_cross_reaches_every_position_of_an_image_in_two_passes(randomise):
    module, x = case("criss_cross", 2, randomise)
    x.requires_grad_()
    module(x)[0, :, 0, 0].sum().backward()
    assert (x.grad[0].abs().sum(0) > 0).all()


def explicit_axial(layer, x, axis, heads):
    sides, channels = x.shape[2:], x.shape[1]
    width = channels // heads
    centred = x - x.mean(1, keepdim=True)
    shape = (1, -1, *[1] * len(sides))
    normed = centred / (centred.square().mean(1, keepdim=True) + layer.norm.eps).sqrt()
    normed = normed * layer.norm.weight.reshape(shape) + layer.norm.bias.reshape(shape)
    q, k, v = linear(layer.qkv, normed).split(channels, dim=1)
    attended = torch.empty_like(x)
    for here in positions(sides):
        keys = line(here, axis, sides[axis])
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            energies = [
                (at(q, here)[:, part] * at(k, there)[:, part]).sum(1) / width**0.5 for there in keys
            ]
            weights = weigh(energies)
            context = sum(at(v, there)[:, part] * weights[:, [i]] for i, there in enumerate(keys))
            attended[(slice(None), part, *here)] = context
    return x + linear(layer.output, attended)


@both
def test_axial_attention_equals_the_explicit_form(ndim, randomise):
    module, x = case("axial_attention", ndim, randomise, heads=4)
    expected = x
    for axis, layer in enumerate(module.axes):
        expected = explicit_axial(layer, expected, axis, heads=4)
    close(module(x), expected)


def explicit_gated_axis(layer, x, axis, heads, span):
    sides, channels = x.shape[2:], x.shape[1]
    width = channels // heads
    qkv = normalise(layer.qkv[1], linear(layer.qkv[0], x)).unflatten(1, (heads, 2 * width))
    q, k, v = qkv.split([width // 2, width // 2, width], dim=2)  # (B, heads, ., *spatial)
    r_q, r_k, r_v = layer.relative.split([width // 2, width // 2, width])  # (., 2 span - 1)
    norm = layer.norm_similarity
    g_q, g_k, g_v1, g_v2 = layer.gates

    def scaled(term, which):
        part = slice(which * heads, (which + 1) * heads)
        root = (norm.running_var[part] + norm.eps).sqrt()
        return (term - norm.running_mean[part]) / root * norm.weight[part] + norm.bias[part]

    content, position = torch.empty_like(x), torch.empty_like(x)
    for here in positions(sides):
        keys = line(here, axis, sides[axis])

        def offset(step, row=here[axis]):
            return max(1 - span, min(span - 1, row - step)) + span - 1

        energies = []
        for step, there in enumerate(keys):
            product = (at(q, here) * at(k, there)).sum(2)
            from_query = at(q, here) @ r_q[:, offset(step)]
            from_key = at(k, there) @ r_k[:, 2 * span - 2 - offset(step)]
            energies.append(
                scaled(product, 0) + g_q * scaled(from_query, 1) + g_k * scaled(from_key, 2)
            )
        weights = weigh(energies)  # (B, heads, keys)
        values = sum(at(v, there) * weights[:, :, [i]] for i, there in enumerate(keys))
        places = sum(r_v[:, offset(i)] * weights[:, :, [i]] for i in range(len(keys)))
        content[(..., *here)], position[(..., *here)] = values.flatten(1), places.flatten(1)
    normed = normalise(layer.norm_output, torch.cat([content, position], dim=1))
    return g_v1 * normed[:, :channels] + g_v2 * normed[:, channels:]


@both
@pytest.mark.parametrize("span", [2, 64])
def test_gated_axial_attention_equals_the_explicit_form_within_and_beyond_its_span(
    ndim, span, randomise
):
    module, x = case("gated_axial_attention", ndim, randomise, heads=4, span=span)
    y = normalise(module.reduce[1], linear(module.reduce[0], x)).clamp(min=0)
    for axis, layer in enumerate(module.axes):
        y = explicit_gated_axis(layer, y, axis, 4, span)
    close(module(x), x + normalise(module.expand[1], linear(module.expand[0], y.clamp(min=0))))


@both
@pytest.mark.parametrize("name", ["axial_attention", "gated_axial_attention"])
def test_map_gives_every_line_the_same_total(name, ndim, randomise):
    """The positions of a line share a total of 1; so the map's total is the mean number of lines
    over the axes.
    """
    module, x = case(name, ndim, randomise)
    lines = [math.prod(SIZES[ndim]) / side for side in SIZES[ndim]]
    total = torch.full((2,), sum(lines) / ndim, dtype=torch.float64)
    close(module.attention_map(x).sum(tuple(range(1, ndim + 2))), total)


def test_gates_of_gated_axial_attention_learn():
    """Behind the normalisation a gate changes the output; before it, training would not see the
    gate.
    """
    module = create_mechanism("gated_axial_attention", 16, 2).double()
    module(torch.randn(2, 16, 5, 6, dtype=torch.float64)).square().sum().backward()
    assert all((layer.gates.grad.abs() > 1e-6).all() for layer in module.axes)


@both
def test_parameters_are_those_of_the_formulas(ndim):
    c, heads, span = 32, 8, 64
    axial = ndim * (2 * c + 3 * c * c + (c * c + c))
    axis = (2 * c * c + 4 * c) + 6 * heads + 4 * c + 2 * (c // heads) * (2 * span - 1) + 4
    expected = {
        "criss_cross": 2 * (c * c // 8 + c // 8) + (c * c + c) + 1,
        "axial_attention": axial,
        "gated_axial_attention": 2 * (c * c + 2 * c) + ndim * axis,
    }
    assert {
        name: count_parameters(create_mechanism(name, c, ndim)) for name in expected
    } == expected
