"""Transformer mechanisms equal their papers' formulas, written out over heads and positions;
their sizes are closed.
"""

import itertools
import math

import pytest
import torch
from formulas import close, linear, normalise, sigmoid, softmax

from attnbench.models.describe import count_parameters
from attnbench.models.registry import create_mechanism

C, G = 16, 24
SIZES = {2: (6, 4), 3: (4, 6, 2)}
both = pytest.mark.parametrize("ndim", [2, 3])


def features(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(name, ndim, randomise, channels=C, **options):
    return randomise(create_mechanism(name, channels, ndim, **options)).double().eval()


def depthwise(layer, x):
    """A depth-wise 3^n convolution with zero padding, as a sum over its taps."""
    ndim = x.dim() - 2
    padded = torch.nn.functional.pad(x, [1, 1] * ndim)
    total = torch.zeros_like(x)
    for tap in itertools.product(range(3), repeat=ndim):
        window = padded[
            (..., *(slice(t, t + side) for t, side in zip(tap, x.shape[2:], strict=True)))
        ]
        total = total + layer.weight[(slice(None), 0, *tap)].reshape(1, -1, *[1] * ndim) * window
    return total if layer.bias is None else total + layer.bias.reshape(1, -1, *[1] * ndim)


def layer_norm(norm, x):
    """Over the channels of (B, C, ...)."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    centred = x - x.mean(1, keepdim=True)
    normal = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    return normal * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def mlp(layers, x):
    return linear(layers[2], gelu(linear(layers[0], x)))


def encode(x):
    """Positions as sines and cosines, value by value."""
    channels, sides = x.shape[1], x.shape[2:]
    width = 2 * math.ceil(channels / (2 * len(sides)))
    table = torch.zeros(channels, *sides, dtype=torch.float64)
    for channel in range(channels):
        axis, within = divmod(channel, width)
        wave = math.sin if within < width // 2 else math.cos
        frequency = 10000 ** (-2 * (within % (width // 2)) / width)
        for position in itertools.product(*map(range, sides)):
            table[(channel, *position)] = wave(position[axis] * frequency)
    return x + table


def multi_head(attention, source, values):
    """Of (B, C, N): head by head, query by query. Also the mean weight of each key."""
    q, k, v = (
        linear(layer, x)
        for layer, x in (
            (attention.query, source),
            (attention.key, source),
            (attention.value, values),
        )
    )
    width = q.shape[1] // attention.heads
    outputs, received = [], 0
    for head in range(attention.heads):
        rows = slice(head * width, (head + 1) * width)
        weights = softmax(torch.einsum("bcn,bcm->bnm", q[:, rows], k[:, rows]) / math.sqrt(width))
        outputs.append(torch.einsum("bnm,bcm->bcn", weights, v[:, rows]))
        received = received + weights.mean(1) / attention.heads
    return linear(attention.output, torch.cat(outputs, dim=1)), received


@both
@pytest.mark.parametrize("channels", [16, 40])
def test_multi_head_self_attention_of_u_transformer(ndim, channels, randomise):
    module = build("multi_head_self_attention", ndim, randomise, channels)
    x = features(2, channels, *SIZES[ndim])
    encoded = encode(x).flatten(2)
    expected, received = multi_head(module.attention, encoded, encoded)
    close(module(x), expected.reshape(x.shape))
    close(module.attention_map(x).flatten(1), received)


@both
def test_cross_attention_filters_the_skip_by_what_the_decoder_attends_to(ndim, randomise):
    module = build("cross_attention", ndim, randomise, gate_channels=G)
    x, gate = (
        features(2, C, *SIZES[ndim]),
        features(2, G, *(side // 2 for side in SIZES[ndim]), seed=4),
    )
    source = torch.relu(normalise(module.theta[1], linear(module.theta[0], encode(gate))))
    encoded = encode(x)
    corners = [
        encoded[(..., *(slice(start, None, 2) for start in c))]
        for c in itertools.product((0, 1), repeat=ndim)
    ]
    pooled = torch.stack(corners).amax(0)
    values = torch.relu(normalise(module.phi[1], linear(module.phi[0], pooled)))
    attended, _ = multi_head(module.attention, source.flatten(2), values.flatten(2))
    filtered = normalise(module.output[1], linear(module.output[0], attended.reshape(source.shape)))
    mode = {2: "bilinear", 3: "trilinear"}[ndim]
    weights = torch.nn.functional.interpolate(sigmoid(filtered), scale_factor=2, mode=mode)
    close(module(x, gate), x * weights)
    close(module.attention_map(x, gate), weights.mean(1, keepdim=True))


@both
def test_transformer_is_a_pre_norm_encoder(ndim, randomise):
    module = build("transformer", ndim, randomise, layers=2)
    x = features(2, C, *SIZES[ndim])
    embedded = linear(module.embed, x)
    sequence = (embedded + depthwise(module.position, embedded)).flatten(2)
    for layer in module.layers:
        source = layer_norm(layer.attention_norm, sequence)
        attended, received = multi_head(layer.attention, source, source)
        sequence = sequence + attended
        sequence = sequence + mlp(layer.mlp, layer_norm(layer.mlp_norm, sequence))
    close(module(x), layer_norm(module.norm, sequence).reshape(x.shape))
    close(module.attention_map(x).flatten(1), received)


def interpolate_line(x, axis, count):
    """Linear interpolation of one axis to `count` points, the first and last of which are the
    ends.
    """
    side = x.shape[axis]
    points = []
    for point in range(count):
        place = point * (side - 1) / (count - 1)
        low = min(int(place), side - 1)
        high = min(low + 1, side - 1)
        points.append(
            x.select(axis, low) * (1 - (place - low)) + x.select(axis, high) * (place - low)
        )
    return torch.stack(points, dim=axis)


@both
@pytest.mark.parametrize("odd", [False, True])
def test_efficient_self_attention_of_utnet(ndim, odd, randomise):
    grid, heads = 3, 4
    sides = {2: (7, 5), 3: (3, 5, 4)}[ndim] if odd else {2: (6, 3), 3: (3, 6, 3)}[ndim]
    module = build("efficient_self_attention", ndim, randomise, heads=heads, grid=grid)
    x = features(2, C, *sides)
    qkv = linear(module.qkv[1], depthwise(module.qkv[0], normalise(module.attention_norm, x)))
    q, k, v = qkv[:, :C], qkv[:, C : 2 * C], qkv[:, 2 * C :]
    for axis in range(2, 2 + ndim):
        k, v = interpolate_line(k, axis, grid), interpolate_line(v, axis, grid)
    width, table = C // heads, module.bias.table
    attended = torch.zeros_like(x)
    received = torch.zeros(2, *[grid] * ndim, dtype=torch.float64)
    cells = list(itertools.product(range(grid), repeat=ndim))
    for position in itertools.product(*map(range, sides)):
        cell = [p * grid // side for p, side in zip(position, sides, strict=True)]
        for head in range(heads):
            rows = slice(head * width, (head + 1) * width)
            scores = []
            for key in cells:
                offset = 0
                for own, other in zip(cell, key, strict=True):
                    offset = offset * (2 * grid - 1) + own - other + grid - 1
                product = (q[(slice(None), rows, *position)] * k[(slice(None), rows, *key)]).sum(1)
                scores.append((product + table[offset, head]) / math.sqrt(width))
            weights = softmax(torch.stack(scores, dim=1))
            for index, key in enumerate(cells):
                attended[(slice(None), rows, *position)] += (
                    weights[:, index, None] * v[(slice(None), rows, *key)]
                )
                received[(slice(None), *key)] += weights[:, index] / (heads * math.prod(sides))
    y = x + linear(module.output[1], depthwise(module.output[0], attended))
    close(module(x), y + linear(module.mix[2], torch.relu(normalise(module.mix[0], y))))
    mode = {2: "bilinear", 3: "trilinear"}[ndim]
    close(
        module.attention_map(x),
        torch.nn.functional.interpolate(received[:, None], sides, mode=mode),
    )


def swin_block(block, x, window):
    """Position by position: which positions share its window is decided in the image, nothing is
    padded or rolled.
    """
    sides, heads = x.shape[2:], block.heads
    width, table = x.shape[1] // heads, block.bias.table
    shifts = [window // 2 if block.shifted and side > window else 0 for side in sides]
    qkv = linear(block.qkv, layer_norm(block.attention_norm, x))
    q, k, v = qkv.split(x.shape[1], dim=1)
    places = list(itertools.product(*map(range, sides)))

    def window_of(position):
        return tuple((p - shift) // window for p, shift in zip(position, shifts, strict=True))

    attended = torch.zeros_like(x)
    for position in places:
        members = [other for other in places if window_of(other) == window_of(position)]
        for head in range(heads):
            rows = slice(head * width, (head + 1) * width)
            scores = []
            for other in members:
                offset = 0
                for mine, theirs in zip(position, other, strict=True):
                    offset = offset * (2 * window - 1) + mine - theirs + window - 1
                product = (q[(slice(None), rows, *position)] * k[(slice(None), rows, *other)]).sum(
                    1
                )
                scores.append(product / math.sqrt(width) + table[offset, head])
            weights = softmax(torch.stack(scores, dim=1))
            for index, other in enumerate(members):
                attended[(slice(None), rows, *position)] += (
                    weights[:, index, None] * v[(slice(None), rows, *other)]
                )
    y = x + linear(block.output, attended)
    return y + mlp(block.mlp, layer_norm(block.mlp_norm, y))


@pytest.mark.parametrize("sides", [(8, 4), (7, 5), (3, 9), (2, 3), (4, 4, 4), (3, 5, 2)])
def test_window_attention_stays_inside_windows(sides, randomise):
    module = build("window_attention", len(sides), randomise, window=4, head_width=8)
    x = features(2, C, *sides)
    close(module(x), swin_block(module.block, x, 4))


@pytest.mark.parametrize("sides", [(8, 8), (8, 4), (7, 5), (3, 9), (10, 1), (4, 4, 4), (3, 5, 2)])
def test_shifted_windows_join_only_what_adjoins_in_the_image(sides, randomise):
    module = build("shifted_window_attention", len(sides), randomise, window=4, head_width=8)
    x = features(2, C, *sides)
    close(module(x), swin_block(module.shifted, swin_block(module.plain, x, 4), 4))


def test_shifted_windows_of_an_odd_size_overlap_the_plain_ones(randomise):
    module = build("shifted_window_attention", 2, randomise, window=3)
    x = features(1, C, 7, 8)
    close(module(x), swin_block(module.shifted, swin_block(module.plain, x, 3), 3))


def test_attention_received_in_windows_adds_up_to_the_number_of_windows(randomise):
    for name in ("window_attention", "shifted_window_attention"):
        weights = build(name, 2, randomise, window=4).attention_map(features(2, C, 8, 12))
        close(weights.sum((1, 2, 3)), torch.full((2,), 6, dtype=torch.float64))


@both
def test_channel_cross_fusion_attends_over_the_channels_of_all_skips(ndim, randomise):
    widths, heads, patch = (4, 6), 2, 4
    module = randomise(
        create_mechanism("channel_cross_fusion", widths, ndim, layers=2, heads=heads, patch=patch)
    ).double()
    module.eval()
    fine = {2: (8, 6), 3: (4, 6, 8)}[ndim]  # 6 is no multiple of the patch
    skips = [
        features(2, widths[0], *fine),
        features(2, widths[1], *(side // 2 for side in fine), seed=4),
    ]
    grid = [math.ceil(side / patch) for side in fine]
    cells = list(itertools.product(*map(range, grid)))
    sequences = []
    for skip, embedding in zip(skips, module.embeddings, strict=True):
        size, layer = embedding.patch, embedding.embed
        tokens = torch.zeros(2, skip.shape[1], *grid, dtype=torch.float64)
        for cell in cells:
            block = skip[(..., *(slice(size * c, size * c + size) for c in cell))]
            kernel = layer.weight[(..., *(slice(side) for side in block.shape[2:]))]
            product = torch.einsum("bcn,ocn->bo", block.flatten(2), kernel.flatten(2))
            tokens[(..., *cell)] = product + layer.bias
        sequences.append((tokens + depthwise(embedding.position, tokens)).flatten(2))
    total = sum(widths)
    for layer in module.layers:
        joined = layer_norm(layer.joined_norm, torch.cat(sequences, dim=1))
        key, value = linear(layer.attention.key, joined), linear(layer.attention.value, joined)
        after, received = [], torch.zeros(2, total, dtype=torch.float64)
        for level, x in enumerate(sequences):
            query = linear(layer.attention.query[level], layer_norm(layer.norms[level], x))
            mixed = 0
            for head in range(heads):
                own, all_rows = (slice(head * n, (head + 1) * n) for n in (widths[level], total))
                scores = torch.einsum("bcn,bkn->bck", query[:, own], key[:, all_rows]) / math.sqrt(
                    total
                )
                centred = scores - scores.mean((1, 2), keepdim=True)
                weights = softmax(
                    centred / (centred.square().mean((1, 2), keepdim=True) + 1e-5).sqrt()
                )
                mixed = mixed + torch.einsum("bck,bkn->bcn", weights, value[:, all_rows]) / heads
                received += weights.sum(1) / (heads * total)
            y = x + linear(layer.attention.output[level], mixed)
            after.append(y + mlp(layer.mlps[level][1], layer_norm(layer.mlps[level][0], y)))
        sequences = after
    for level, (skip, y) in enumerate(zip(skips, module(skips), strict=True)):
        rebuild = module.rebuild[level]
        mixed = normalise(
            rebuild.norm, linear(rebuild.mix, layer_norm(module.norms[level], sequences[level]))
        )
        expected = skip.clone()
        for index, cell in enumerate(cells):
            place = (..., *(slice(rebuild.patch * c, rebuild.patch * (c + 1)) for c in cell))
            expected[place] += torch.relu(mixed[:, :, index]).reshape(2, -1, *[1] * ndim)
        close(y, expected)
    close(torch.cat(module.channel_map(skips), dim=1).flatten(1), received)


@both
def test_channel_cross_fusion_takes_any_levels(ndim):
    module = create_mechanism("channel_cross_fusion", (4, 8), ndim)
    skips = [torch.randn(2, 4, *[32] * ndim), torch.randn(2, 8, *[8] * ndim)]
    assert [y.shape for y in module(skips)] == [x.shape for x in skips]


@both
@pytest.mark.parametrize("c", [16, 64])
def test_parameters_are_those_of_the_formulas(ndim, c):
    taps, mlp4 = 3**ndim, 8 * c * c + 5 * c
    window = {2: 7, 3: 4}[ndim]
    swin = (
        (3 * c * c + 3 * c)
        + (c * c + c)
        + 4 * c
        + mlp4
        + (2 * window - 1) ** ndim * max(1, c // 32)
    )
    expected = {
        "multi_head_self_attention": 4 * c * c,
        "cross_attention": 4 * c * c + (G * c + c) + 2 * (c * c + c) + 3 * 2 * c,
        "transformer": (c * c + c) + (taps * c + c) + 12 * (4 * (c * c + c) + mlp4 + 4 * c) + 2 * c,
        "efficient_self_attention": 2 * taps * c + 5 * c * c + 2 * 2 * c + 4 * 15**ndim,
        "window_attention": swin,
        "shifted_window_attention": 2 * swin,
    }
    found = {
        name: count_parameters(create_mechanism(name, c, ndim, gate_channels=G))
        for name in expected
    }
    assert found == expected


@both
def test_parameters_of_channel_cross_fusion_are_those_of_the_formula(ndim):
    widths, heads, patches = (4, 8, 12), 4, (16, 8, 4)
    total = sum(widths)
    embedding = sum(
        c * c * p**ndim + c + c * 3**ndim + c for c, p in zip(widths, patches, strict=True)
    )
    layer = 2 * heads * total**2 + 2 * total
    layer += sum(heads * c * c + c * c + 2 * 2 * c + 8 * c * c + 5 * c for c in widths)
    rebuild = sum(2 * c + c * c + c + 2 * c for c in widths)
    assert (
        count_parameters(create_mechanism("channel_cross_fusion", widths, ndim))
        == embedding + 4 * layer + rebuild
    )
