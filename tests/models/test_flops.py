"""FLOPs of every mechanism are those of its equations, counted by hand.

A function below writes them out for one mechanism, in multiply-adds of convolutions and matrix
products; the tests double them. A new mechanism needs a function of its name here, and no more.
"""

import math
from typing import NamedTuple

import pytest
import torch
from torch import nn

from attnbench.models.attention import mechanism_names
from attnbench.models.cost import count_flops
from attnbench.models.registry import create_mechanism, get_mechanism

# Sides below 8 or odd, and widths per head that are no multiple of 8: where padding would show.
SIDES = [(8, 12), (7, 5), (4, 6, 8), (3, 5, 7)]
CHANNELS = [48, 160]
GATE_CHANNELS = 40


class Features(NamedTuple):
    """Channels and sides of what a mechanism maps, channels of its gate."""

    c: int
    sides: tuple[int, ...]
    g: int = GATE_CHANNELS

    @property
    def n(self):
        """Positions."""
        return math.prod(self.sides)

    @property
    def ndim(self):
        return len(self.sides)

    @property
    def halved(self):
        """Sides one level deeper, rounded up as the U-Net's padding does."""
        return tuple(-(-side // 2) for side in self.sides)

    @property
    def coarse(self):
        """Positions one level deeper."""
        return math.prod(self.halved)


COUNTS = {}


def counted(function):
    """Enter the count of the mechanism of the function's name."""
    COUNTS[function.__name__] = function
    return function


def hidden(c, reduction):
    """Width of a hidden layer over channels, with its floor of 8."""
    return max(8, c // reduction)


@counted
def attention_gate(f):
    theta = math.prod(side // 2 for side in f.sides)  # 2^n kernel of stride 2
    gate = theta * f.c * f.c * 2**f.ndim + f.coarse * f.g * f.c + theta * f.c
    return gate + 2 * f.n * f.c * f.c  # two convolutions behind the product


@counted
def attention_gate_upsampled(f):
    inner = f.c // 2
    return f.n * (f.c * inner + f.g * inner + inner)


@counted
def axial_attention(f):
    # q, k, v and output, then scores and their mean of values, over all heads.
    return sum(f.n * 4 * f.c * f.c + 2 * f.n * side * f.c for side in f.sides)


@counted
def bam(f):
    h = hidden(f.c, 16)
    return 2 * f.c * h + f.n * (f.c * h + 2 * 3**f.ndim * h * h + h)


@counted
def bi_level_routing(f):
    most, chosen = {2: 7, 3: 4}[f.ndim], 4
    region = [-(-side // most) for side in f.sides]
    count = math.prod(-(-side // inside) for side, inside in zip(f.sides, region, strict=True))
    # Regions that reach over the far ends are whole; queries meet four regions' keys.
    padded, keys = count * math.prod(region), chosen * math.prod(region)
    routing = count * 2 * f.c * f.c + count * count * f.c
    depthwise = f.n * (3**f.ndim + 5**f.ndim) * f.c
    return depthwise + f.n * (4 + 6) * f.c * f.c + routing + 2 * padded * keys * f.c


@counted
def cbam(f):
    # One network over channels for the mean and the maximum.
    return 2 * (2 * f.c * hidden(f.c, 16)) + f.n * 2 * 7**f.ndim


@counted
def channel_cross_fusion(f):
    widths, patches, heads = (f.c, 2 * f.c), (16, 8), 4
    cells, total = math.prod(-(-side // 16) for side in f.sides), sum(widths)
    count = 0
    for c, patch in zip(widths, patches, strict=True):
        embedding = patch**f.ndim * c * c + 3**f.ndim * c
        attention = heads * c * c + 2 * heads * c * total + c * c
        count += cells * (embedding + 4 * (attention + 8 * c * c) + c * c)
    return count + cells * 4 * 2 * heads * total * total


@counted
def channel_prior(f):
    strips = f.ndim * (7 + 11 + 21)
    excite = 2 * 2 * f.c * hidden(f.c, 4)
    return excite + f.n * (3 * f.c * f.c + 5**f.ndim * f.c + strips * f.c)


@counted
def channel_se(f):
    return 2 * f.c * (f.c // 2)


@counted
def coordinate_attention(f):
    return 2 * sum(f.sides) * f.c * hidden(f.c, 32)


@counted
def criss_cross(f):
    inner = f.c // 8
    projections = f.n * (2 * f.c * inner + f.c * f.c)
    return 2 * (projections + f.n * sum(f.sides) * (inner + f.c))


@counted
def cross_attention(f):
    # theta, phi, the filter's convolution; q, k, v and output; scores and mean of values.
    return f.coarse * (f.g * f.c + 6 * f.c * f.c) + 2 * f.coarse**2 * f.c


@counted
def deformable_large_kernel(f):
    # A deformable convolution: the offsets' dense convolution, then the one whose taps they move.
    local, distant = 5**f.ndim * f.c, 7**f.ndim * f.c
    offsets = 2 * 5**2 * local + 2 * 7**2 * distant
    deform = 3 * 3**3 * 3**3 * f.c + 3**3 * f.c * f.c
    return f.n * (3 * f.c * f.c + local + distant + {2: offsets, 3: deform}[f.ndim])


@counted
def dual_attention(f):
    inner = f.c // 8
    positions = f.n * (2 * f.c * inner + f.c * f.c) + f.n * f.n * (inner + f.c)
    return positions + 2 * f.c * f.c * f.n


@counted
def eca(f):
    return {48: 3, 160: 5}[f.c] * f.c  # the kernel grows with the channels


@counted
def efficient_multi_scale_attention(f):
    width = 8  # of a group, for both numbers of channels
    # Profiles, the local branch, and the product of each branch with the other's softmax.
    return sum(f.sides) * f.c * width + f.n * (3**f.ndim * f.c * width + 2 * f.c)


@counted
def efficient_self_attention(f):
    cells, depthwise = 8**f.ndim, 3**f.ndim * f.c
    return f.n * (2 * depthwise + (3 + 1 + 1) * f.c * f.c + 2 * cells * f.c)


@counted
def external_attention(f):
    return f.n * (2 * f.c * f.c + 2 * 64 * f.c)


@counted
def focal_modulation(f):
    depthwise = (3**f.ndim + 5**f.ndim + 7**f.ndim) * f.c
    # The context of the whole image passes the 1x1 convolution with the others.
    return f.n * (f.c * (2 * f.c + 4) + depthwise + 2 * f.c * f.c + 8 * f.c * f.c)


@counted
def gated_axial_attention(f):
    # q and k of half the values' width: three terms of scores, two of values.
    axes = sum(f.n * (2 * f.c * f.c + side * (3 * f.c // 2 + 2 * f.c)) for side in f.sides)
    return 2 * f.n * f.c * f.c + axes


@counted
def global_context(f):
    return 2 * f.n * f.c + 2 * f.c * hidden(f.c, 16)


@counted
def large_kernel_attention(f):
    # Three of 1x1: before, in and behind the attention.
    return f.n * (5**f.ndim * f.c + 7**f.ndim * f.c + 3 * f.c * f.c)


@counted
def large_kernel_grouped_gate(f):
    inner = f.c // 2
    groups = math.gcd(inner, f.g)
    return f.n * (3**f.ndim * (f.c + f.g) * inner // groups + inner)


@counted
def linear_attention(f):
    inner = f.c // 2
    return f.n * (4 * f.c * inner + 2 * inner * inner)


@counted
def multi_head_self_attention(f):
    return f.n * 4 * f.c * f.c + 2 * f.n * f.n * f.c


@counted
def non_local(f):
    inner, pooled = f.c // 2, math.prod(side // 2 for side in f.sides)
    return 2 * (f.n + pooled) * f.c * inner + 2 * f.n * pooled * inner


@counted
def polarized_self_attention(f):
    half = f.c // 2
    channel = f.n * (f.c + f.c * half + half) + half * f.c
    return channel + f.n * (2 * f.c * half + half)


@counted
def reverse_attention(f):
    return f.coarse * f.g


@counted
def scse(f):
    return channel_se(f) + spatial_se(f)


@counted
def selective_kernel(f):
    groups, h = math.gcd(32, f.c), max(32, f.c // 16)
    return 2 * f.n * 3**f.ndim * f.c * f.c // groups + f.c * h + h * 2 * f.c


@counted
def selective_state_space(f):
    inner, states, rank, directions = 2 * f.c, 16, -(-f.c // 16), 2 * f.ndim
    layers = f.c * 2 * inner + 3**f.ndim * inner + inner * f.c
    selection = directions * inner * (rank + 2 * states + rank)
    # 9 operations per state, channel and direction, of which the tests make half.
    return f.n * (layers + selection + 9 * directions * inner * states // 2)


@counted
def self_attention(f):
    inner = f.c // 8
    return f.n * (2 * f.c * inner + f.c * f.c) + f.n * f.n * (inner + f.c)


@counted
def shifted_window_attention(f):
    return 2 * window_attention(f)


@counted
def simam(f):
    return 0


@counted
def spatial_attention(f):
    return f.n * 2 * 7**f.ndim


@counted
def spatial_reduction_attention(f):
    keys = math.prod(-(-side // 4) for side in f.sides)
    reduced = keys * (4**f.ndim + 2) * f.c * f.c
    return f.n * (2 + 8) * f.c * f.c + reduced + 2 * f.n * keys * f.c


@counted
def spatial_se(f):
    return f.n * f.c


@counted
def squeeze_excitation(f):
    return 2 * f.c * hidden(f.c, 16)


@counted
def transformer(f):
    layer = f.n * (4 + 8) * f.c * f.c + 2 * f.n * f.n * f.c
    return f.n * (f.c * f.c + 3**f.ndim * f.c) + 12 * layer


@counted
def triplet_attention(f):
    values = f.c * f.n
    return sum(values // side * 2 * 7**f.ndim for side in (f.c, *f.sides))


@counted
def window_attention(f):
    window = {2: 7, 3: 4}[f.ndim]
    cells = window**f.ndim
    # Windows that reach over the far ends are whole: the algorithm pads the image to them.
    padded = math.prod(-(-side // window) for side in f.sides) * cells
    return padded * 4 * f.c * f.c + 2 * padded * cells * f.c + f.n * 8 * f.c * f.c


class Bare(nn.Module):
    """A mechanism that makes the gate, or the other skips, that it receives beside `x`."""

    def __init__(self, name, f):
        super().__init__()
        self.entry, self.f = get_mechanism(name), f
        self.mechanism = create_mechanism(
            name,
            (f.c, 2 * f.c) if self.entry.joint else f.c,
            f.ndim,
            gate_channels=f.g if self.entry.gate else None,
        )

    def forward(self, x):
        f = self.f
        if self.entry.joint:
            return self.mechanism([x, x.new_empty(1, 2 * f.c, *f.halved)])
        if not self.entry.gate:
            return self.mechanism(x)
        sides = f.halved if self.entry.gate == "coarse" else f.sides
        return self.mechanism(x, x.new_empty(1, f.g, *sides))


@pytest.mark.parametrize("c", CHANNELS)
@pytest.mark.parametrize("sides", SIDES, ids=lambda sides: "x".join(map(str, sides)))
@pytest.mark.parametrize("name", mechanism_names())
def test_flops_are_those_of_the_equations(name, sides, c):
    assert name in COUNTS, f"{name} has no count by hand in {__file__}"
    if len(sides) not in get_mechanism(name).ndims:
        pytest.skip(f"{name} has no {len(sides)}-D form")
    f = Features(c, sides)
    with torch.device("meta"):
        module = Bare(name, f)
    assert count_flops(module, (1, c, *sides)) == 2 * COUNTS[name](f)


def test_every_count_is_that_of_a_mechanism():
    assert set(COUNTS) == set(mechanism_names())
