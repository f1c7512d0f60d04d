"""A deformable convolution is an ordinary one whose taps are moved, and D-LKA is built of it."""

import itertools

import pytest
import torch
from formulas import close, convolve, gelu, layer_norm, linear, spread
from test_attend import bytes_kept
from torch import nn

from attnbench.models.attention import _deformable
from attnbench.models.attention._deformable import DeformableConvolution
from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C = 4
SIZES = {2: (6, 5), 3: (3, 4, 5)}
# Axes, kernel, dilation; 2-D kernels of even reach, 3-D as D-LKA has it.
FORMS = [(2, 3, 1), (2, 5, 1), (2, 3, 3), (3, 3, 1), (3, 3, 2)]
forms = pytest.mark.parametrize(("ndim", "kernel", "dilation"), FORMS)
depths = pytest.mark.parametrize("groups", [C, 1], ids=["depthwise", "dense"])


@pytest.fixture(autouse=True, params=["held", "parts"])
def _memory(request, monkeypatch):
    """All taps at once, as for small features, and in parts of 3000 values, as for large."""
    if request.param == "parts":
        monkeypatch.setattr(_deformable, "HELD", 0)
        monkeypatch.setattr(_deformable, "PART", 3000)


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def case(ndim, kernel, dilation, groups, randomise):
    module = DeformableConvolution(ndim, C, kernel, dilation, groups)
    return randomise(module).double(), double(2, C, *SIZES[ndim])


def set_offsets(module, values):
    """Let every position have the same offsets, (taps, axes) or what spreads to it, in pixels."""
    ndim = module.offsets.weight.dim() - 2
    with torch.no_grad():
        module.offsets.weight.zero_()
        module.offsets.bias.view(-1, ndim).copy_(torch.as_tensor(values))


def interpolate(x, place):
    """Linear interpolation of x (C, *spatial) at `place` (axes), zero outside: a sum over all
    pixels of hats of width 2.
    """
    weight = torch.ones((), dtype=x.dtype)
    for side, at in zip(x.shape[1:], place, strict=True):
        hat = (1 - (torch.arange(side) - at).abs()).clamp(min=0)
        weight = weight[..., None] * hat
    return (weight * x).flatten(1).sum(1)


def explicit(module, x):
    """One position, one tap at a time."""
    layer = module.convolution
    kernel, dilation, ndim = layer.kernel_size[0], layer.dilation[0], x.dim() - 2
    offsets = convolve(module.offsets, x, dilation=dilation).unflatten(1, (-1, ndim))
    taps = list(itertools.product(range(kernel), repeat=ndim))
    y = torch.zeros(x.shape[0], layer.weight.shape[0], *x.shape[2:], dtype=x.dtype)
    for b, position in itertools.product(
        range(len(x)), itertools.product(*map(range, x.shape[2:]))
    ):
        for number, tap in enumerate(taps):
            moved = offsets[(b, number, slice(None), *position)]
            step = torch.tensor([dilation * (t - kernel // 2) for t in tap])
            value = interpolate(x[b], torch.tensor(position) + step + moved)
            weight = layer.weight[(slice(None), slice(None), *tap)]
            depthwise = weight.shape[1] == 1
            y[(b, slice(None), *position)] += weight[:, 0] * value if depthwise else weight @ value
    return y if layer.bias is None else y + spread(layer.bias[None], ndim)


@forms
@depths
def test_with_zero_offsets_it_is_the_ordinary_convolution(
    ndim, kernel, dilation, groups, randomise
):
    module, x = case(ndim, kernel, dilation, groups, randomise)
    set_offsets(module, 0)
    close(module(x), convolve(module.convolution, x, groups=groups, dilation=dilation))


@forms
@depths
def test_with_whole_offsets_it_is_the_convolution_of_the_moved_image(
    ndim, kernel, dilation, groups, randomise
):
    module, x = case(ndim, kernel, dilation, groups, randomise)
    step = (1, -2, 1)[:ndim]
    set_offsets(module, step)
    # The image in a plane of zeros, so that what lies outside stays there when it is moved.
    plane = nn.functional.pad(x, [3] * (2 * ndim))
    moved = torch.roll(plane, [-s for s in step], list(range(2, 2 + ndim)))
    expected = convolve(module.convolution, moved, groups=groups, dilation=dilation)
    inner = (..., *(slice(3, 3 + side) for side in x.shape[2:]))
    close(module(x), expected[inner])


@pytest.mark.parametrize(("ndim", "kernel", "dilation"), [(2, 3, 2), (3, 3, 1)])
@depths
def test_each_tap_reads_where_its_offset_points(ndim, kernel, dilation, groups, randomise):
    module, x = case(ndim, kernel, dilation, groups, randomise)
    x = x[..., :3]
    close(module(x), explicit(module, x))


@pytest.mark.parametrize("ndim", [2, 3])
@depths
def test_gradients_are_those_of_differences(ndim, groups, randomise):
    module = randomise(DeformableConvolution(ndim, C, 3, groups=groups)).double()
    x = double(1, C, *(3, 2, 2)[:ndim]).requires_grad_()
    names, values = zip(*module.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


def test_an_axis_of_one_position_is_taken(randomise):
    module, x = case(2, 5, 1, C, randomise)
    close(module(x[..., :1]), explicit(module, x[..., :1]))


def test_no_value_per_tap_and_channel_is_kept():
    """Of the 49 taps of D-LKA a plain form keeps 49 values per channel; kept are two places per
    tap, the offsets' places, whatever the channels.
    """
    channels, positions, taps = 64, 56 * 56, 49
    module = DeformableConvolution(2, channels, 7, dilation=3, groups=channels, bias=False)
    kept = bytes_kept(module, torch.randn(1, channels, 56, 56, requires_grad=True))
    assert kept < 4 * positions * (2 * taps + 3 * channels) < 4 * positions * taps * channels / 8


def weights_2d(weigh, u):
    local, distant, mix = weigh
    return linear(mix, explicit(distant, explicit(local, u)))


def weights_3d(weigh, u):
    local, distant, deform, mix = weigh
    u = convolve(distant, convolve(local, u, groups=C), groups=C, dilation=3)
    return linear(mix, explicit(deform, u))


@pytest.mark.parametrize(("size", "weights"), [((4, 3), weights_2d), ((2, 3, 3), weights_3d)])
def test_deformable_large_kernel_attention(size, weights, randomise):
    module = randomise(create_mechanism("deformable_large_kernel", C, len(size))).double()
    x = double(1, C, *size)
    y = layer_norm(module.norm, x.movedim(1, -1)).movedim(-1, 1)
    z = gelu(linear(module.first, y))
    weight = weights(module.weigh, z)
    scale = spread(module.layer_scale[None], len(size))
    close(module(x), x + scale * (y + linear(module.second, z * weight)))
    close(module.attention_map(x), weight.abs().mean(1, keepdim=True))


def test_in_volumes_it_starts_undeformed():
    module = create_mechanism("deformable_large_kernel", C, 3).double()
    x = double(1, C, 4, 5, 3)
    local, distant, deform, mix = module.weigh
    u = convolve(distant, convolve(local, x, groups=C), groups=C, dilation=3)
    close(module.weigh(x), linear(mix, convolve(deform.convolution, u)))


@pytest.mark.parametrize("c", [8, 48])
def test_parameters_are_those_of_the_formulas(c):
    around = 3 * (c * c + c) + 3 * c  # 1x1 convolutions, normalisation, scale
    offsets = c * 5**2 * 2 * 5**2 + 2 * 5**2 + c * 7**2 * 2 * 7**2 + 2 * 7**2
    plane = around + offsets + c * 5**2 + c * 7**2
    deform = c * 3**3 * 3 * 3**3 + 3 * 3**3 + c * c * 3**3 + c
    volume = around + c * 5**3 + c + c * 7**3 + c + deform
    for ndim, expected in ((2, plane), (3, volume)):
        assert count_parameters(create_mechanism("deformable_large_kernel", c, ndim)) == expected
