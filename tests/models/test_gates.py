"""Both attention gates equal their formulas, written out position by position."""

import math

import pytest
import torch
from formulas import linear, normalise
from torch.nn import functional as F

from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

CHANNELS, GATE = 6, 10
SIZES = {2: (6, 8), 3: (4, 6, 2)}


def strided_blocks(weight, x, ndim):
    """A convolution whose kernel and stride are 2: a sum over the corners of each block."""
    total = 0
    for corner in range(2**ndim):
        offsets = [(corner >> axis) & 1 for axis in range(ndim)]
        picked = x[(..., *(slice(offset, None, 2) for offset in offsets))]
        total = total + torch.einsum("oc,bc...->bo...", weight[(..., *offsets)], picked)
    return total


@pytest.mark.parametrize("ndim", [2, 3])
def test_attention_gate_equals_the_papers_formula(ndim, randomise):
    gate = (
        randomise(create_mechanism("attention_gate", CHANNELS, ndim, gate_channels=GATE))
        .double()
        .eval()
    )
    x = torch.randn(2, CHANNELS, *SIZES[ndim], dtype=torch.float64)
    signal = torch.randn(2, GATE, *(side // 2 for side in SIZES[ndim]), dtype=torch.float64)

    additive = torch.relu(strided_blocks(gate.theta.weight, x, ndim) + linear(gate.phi, signal))
    coarse = 1 / (1 + torch.exp(-linear(gate.psi, additive)))
    alpha = F.interpolate(coarse, SIZES[ndim], mode={2: "bilinear", 3: "trilinear"}[ndim])
    first, norm, second, last_norm, _ = gate.output
    once = normalise(norm, linear(first, x * alpha))
    expected = normalise(last_norm, linear(second, once)).clamp(min=0)

    torch.testing.assert_close(gate(x, signal), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gate.attention_map(x, signal), alpha, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("ndim", [2, 3])
def test_upsampled_gate_equals_its_formula(ndim, randomise):
    gate = (
        randomise(create_mechanism("attention_gate_upsampled", CHANNELS, ndim, gate_channels=GATE))
        .double()
        .eval()
    )
    x = torch.randn(2, CHANNELS, *SIZES[ndim], dtype=torch.float64)
    signal = torch.randn(2, GATE, *SIZES[ndim], dtype=torch.float64)

    parts = [
        normalise(norm, linear(layer, y))
        for (layer, norm), y in ((gate.theta, x), (gate.phi, signal))
    ]
    layer, norm = gate.psi
    alpha = 1 / (1 + torch.exp(-normalise(norm, linear(layer, (parts[0] + parts[1]).clamp(min=0)))))

    torch.testing.assert_close(gate(x, signal), x * alpha, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gate.attention_map(x, signal), alpha, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("ndim", [2, 3])
def test_parameters_are_those_of_the_formulas(ndim):
    c, g = CHANNELS, GATE
    paper = 2**ndim * c * c + (g * c + c) + (c + 1) + 2 * (c * c + c + 2 * c)
    assert count_parameters(create_mechanism("attention_gate", c, ndim, gate_channels=g)) == paper
    inner = c // 2
    dialect = (c * inner + 3 * inner) + (g * inner + 3 * inner) + (inner + 1 + 2)
    assert (
        count_parameters(create_mechanism("attention_gate_upsampled", c, ndim, gate_channels=g))
        == dialect
    )


def test_a_closed_gate_blocks_the_skip_and_an_open_one_passes_it():
    gate = create_mechanism("attention_gate_upsampled", CHANNELS, 2, gate_channels=GATE).eval()
    x, signal = torch.randn(1, CHANNELS, 4, 4), torch.randn(1, GATE, 4, 4)
    for bias, expected in ((-100.0, torch.zeros_like(x)), (100.0, x)):
        torch.nn.init.constant_(gate.psi[1].bias, bias)
        torch.testing.assert_close(gate(x, signal), expected)
    assert math.isclose(gate.attention_map(x, signal).mean().item(), 1.0)
