"""Bi-level routing attention equals a form that walks through positions, regions and heads."""

import itertools
import math

import pytest
import torch
from formulas import affine, close, convolve, gelu, layer_norm, softmax
from test_attend import bytes_kept

from attnbench.errors import ModelError
from attnbench.models.describe import count_parameters
from attnbench.models.gate_readings import _Entropy
from attnbench.models.registry import create_mechanism

# Sides that the regions divide, that they do not, shorter than the number of regions.
SIZES = [(14, 7), (9, 16), (5, 3), (4, 8, 4), (5, 9, 3)]
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))


def case(size, randomise, channels=64, **options):
    module = randomise(create_mechanism("bi_level_routing", channels, len(size), **options))
    return module.double(), torch.randn(2, channels, *size, dtype=torch.float64)


def mlp(module, x):
    hidden = gelu(affine(module.mlp[0], layer_norm(module.mlp_norm, x)))
    return affine(module.mlp[2], hidden)


def region_of(position, size, regions):
    return tuple(p // math.ceil(s / regions) for p, s in zip(position, size, strict=True))


def explicit(module, x):
    """The block and the attention that each position receives."""
    size, c = x.shape[2:], x.shape[1]
    positions = list(itertools.product(*map(range, size)))
    homes = [region_of(position, size, module.attention.regions) for position in positions]
    regions = sorted(set(homes))
    members = {r: [n for n, home in enumerate(homes) if home == r] for r in regions}
    x = x + convolve(module.position, x, groups=c)
    tokens = x.flatten(2).transpose(1, 2)
    qkv = affine(module.attention.qkv, layer_norm(module.attention_norm, tokens))
    query, key, value = qkv.split(c, -1)
    attended, received = torch.zeros_like(tokens), torch.zeros(tokens.shape[:2], dtype=x.dtype)
    for b, home in itertools.product(range(len(x)), regions):
        mean_query = query[b, members[home]].mean(0)
        likeness = {r: (mean_query @ key[b, members[r]].mean(0)).item() for r in regions}
        chosen = sorted(regions, key=likeness.__getitem__)[-module.attention.chosen :]
        seen = [n for r in chosen for n in members[r]]
        for head in torch.arange(c).chunk(c // 32):
            scores = c**-0.5 * query[b, members[home]][:, head] @ key[b, seen][:, head].T
            weights = softmax(scores)
            received[b, seen] += weights.sum(0) / (len(positions) * (c // 32))
            rows = torch.tensor(members[home])
            attended[b, rows[:, None], head] = weights @ value[b, seen][:, head]
    values = value.transpose(1, 2).reshape(x.shape)
    local = convolve(module.attention.local, values, groups=c).flatten(2).transpose(1, 2)
    tokens = tokens + affine(module.attention.output, attended + local)
    tokens = tokens + mlp(module, tokens)
    return tokens.transpose(1, 2).reshape(x.shape), received.reshape(-1, 1, *size)


@sizes
def test_positions_attend_to_the_regions_most_like_their_own(size, randomise):
    module, x = case(size, randomise)
    expected, received = explicit(module, x)
    for training in (True, False):
        close(module.train(training)(x), expected)
    close(module.attention_map(x), received)
    close(received.flatten(1).sum(1), torch.ones(2, dtype=x.dtype))


@sizes
def test_with_all_regions_chosen_it_is_attention_over_all_positions(size, randomise):
    module, x = case(size, randomise, chosen=7**2 * 4**3)
    c = x.shape[1]
    y = x + convolve(module.position, x, groups=c)
    tokens = y.flatten(2).transpose(1, 2)
    qkv = affine(module.attention.qkv, layer_norm(module.attention_norm, tokens))
    query, key, value = qkv.unflatten(-1, (3, c // 32, 32)).permute(2, 0, 3, 1, 4)
    weights = softmax(c**-0.5 * torch.einsum("bhnd,bhmd->bhnm", query, key))
    attended = torch.einsum("bhnm,bhmd->bnhd", weights, value).flatten(2)
    values = value.transpose(1, 2).flatten(2).transpose(1, 2).reshape(x.shape)
    local = convolve(module.attention.local, values, groups=c).flatten(2).transpose(1, 2)
    tokens = tokens + affine(module.attention.output, attended + local)
    tokens = tokens + mlp(module, tokens)
    close(module(x), tokens.transpose(1, 2).reshape(x.shape))
    close(module.attention_map(x).flatten(1), weights.mean((1, 2)))


def test_what_no_region_chooses_changes_nothing_but_its_neighbourhood(randomise):
    """The routing is hard: only the convolutions carry values out of a region not chosen."""
    module, x = case((28, 28), randomise, channels=32, chosen=1)
    with torch.no_grad():
        module.position.weight.zero_()
        module.attention.local.weight.zero_()
    ignored = (module.attention_map(x)[0, 0] == 0).nonzero()
    assert len(ignored)
    other = x.clone()
    other[0, :, ignored[:, 0], ignored[:, 1]] *= 1 + 1e-9
    same = torch.ones(28, 28, dtype=torch.bool)
    same[ignored[:, 0], ignored[:, 1]] = False
    assert torch.equal(module(other)[0][:, same], module(x)[0][:, same])


@pytest.mark.parametrize("side", [35, 37])  # whole regions, and padding that is masked
def test_memory_is_linear_in_positions(side):
    module = create_mechanism("bi_level_routing", 16, 2)
    small, large = (
        bytes_kept(module, torch.randn(1, 16, s, s, requires_grad=True)) for s in (side, 4 * side)
    )
    assert large < 17 * small


def test_channels_that_do_not_split_into_heads_are_refused_with_the_nearest():
    with pytest.raises(ModelError, match=r"65 channels; 2 heads of at least 32 need .*nearest: 64"):
        create_mechanism("bi_level_routing", 65, 2)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("c", [8, 64])
def test_parameters_are_those_of_the_formula(c, ndim):
    depthwise = c * 3**ndim + c + c * 5**ndim + c
    attention = 2 * c + 3 * c * c + 3 * c + c * c + c
    expected = depthwise + attention + 2 * c + 3 * c * c + 3 * c + 3 * c * c + c
    assert count_parameters(create_mechanism("bi_level_routing", c, ndim)) == expected


@pytest.mark.parametrize("size", [(9, 16), (5, 9, 3)])
def test_readings_count_the_queries_of_the_image_alone(size, randomise):
    """The entropy of rows that are all alike is that of one row; padding's own would be 1."""
    module, x = case(size, randomise, channels=8)
    with torch.no_grad():
        module.attention.qkv.weight[:8] = 0  # every query of the image is the bias
        module.attention.qkv.bias[:8] = 9
    assert not module.attention.inside(module.attention_norm(x.movedim(1, -1))).all()
    entropy = _Entropy()
    with entropy.watch(module):
        module(x)
    normal = module.attention_norm((x + module.position(x)).movedim(1, -1))
    key = affine(module.attention.qkv, normal)[..., 8:16].flatten(1, -2)
    homes = [
        region_of(p, size, module.attention.regions) for p in itertools.product(*map(range, size))
    ]
    regions = sorted(set(homes))
    members = {r: [n for n, home in enumerate(homes) if home == r] for r in regions}
    found = []
    for b in range(2):
        likeness = {r: (9 * key[b, members[r]].mean(0).sum()).item() for r in regions}
        chosen = sorted(regions, key=likeness.__getitem__)[-4:]
        weights = softmax(8**-0.5 * 9 * key[b, [n for r in chosen for n in members[r]]].sum(-1))
        found.append(-(weights * weights.log()).sum() / math.log(len(weights)))
    assert entropy.mean() == pytest.approx(sum(found).item() / 2, rel=1e-9)
