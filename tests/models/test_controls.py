"""A control is exactly what it says: the same network but for one thing."""

import itertools
from fnmatch import fnmatch

import pytest
import torch

from attnbench.errors import ModelError
from attnbench.models.attention import mechanism_names
from attnbench.models.build import build_model, build_network, find_match, reference_patch
from attnbench.models.controls import Pointwise, hidden_widths, mechanisms_in
from attnbench.models.cost import count_flops, count_parameters
from attnbench.models.matching import match_widths
from attnbench.models.names import known_models, model_names, named_model
from attnbench.models.registry import create_mechanism, get_mechanism
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings

WIDTHS = (16, 32, 48)
WORDS = [word for word in model_names() if word != "unet"]
SCALED = [name for name in mechanism_names() if get_mechanism(name).scale]
SOFTMAX = [name for name in mechanism_names() if get_mechanism(name).logits]


def ndims(word):
    names = named_model(word).mechanisms()
    return set.intersection(*(set(get_mechanism(name).ndims) for name in names))


FORMS = [(word, ndim) for word in WORDS for ndim in sorted(ndims(word))]


def seeded(word, ndim=2, widths=(16, 32), classes=2):
    torch.manual_seed(0)
    return build_model(word, ndim, 1, classes, widths)


def steps(network, count=2, ndim=2):
    """Train for a few steps on fixed random data; returns the network in evaluation."""
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.01)
    network.train()
    for _ in range(count):
        network(torch.randn(2, 1, *[8] * ndim, generator=generator)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    return network.eval()


class Unchanged(torch.nn.Module):
    """The identity in the place of any mechanism: what it is given first comes back."""

    def forward(self, x, *signal):
        return x


@pytest.mark.parametrize(("word", "ndim"), FORMS)
def test_with_the_identity_for_every_mechanism_a_variant_is_the_plain_unet_bit_for_bit(word, ndim):
    variant, plain = seeded(word, ndim), seeded("unet", ndim)
    started = variant.state_dict()
    assert all(torch.equal(started[key], value) for key, value in plain.state_dict().items())
    for modules in (*variant.slots.chains.values(), variant.slots.joint):
        for index in range(len(modules)):
            modules[index] = Unchanged()
    placed = [module for module in variant.slots.modules() if isinstance(module, Unchanged)]
    assert placed
    x = torch.randn(2, 1, *[8] * ndim)
    for _ in range(2):
        with torch.no_grad():
            assert torch.equal(variant(x), plain(x))
        found, expected = variant.state_dict(), plain.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        before = expected["head.weight"].clone()
        variant, plain = steps(variant, 3, ndim), steps(plain, 3, ndim)
        assert not torch.equal(plain.state_dict()["head.weight"], before)


@pytest.mark.parametrize("name", SCALED)
def test_what_is_declared_as_scale_makes_the_mechanism_start_as_the_identity(name):
    module = create_mechanism(name, 16, 2)
    assert all(not module.get_parameter(key).any() for key in get_mechanism(name).scale)
    x = torch.randn(2, 16, 6, 5)
    assert torch.equal(module(x), x)
    with torch.no_grad():
        for key in get_mechanism(name).scale:
            module.get_parameter(key).fill_(0.5)
    assert not torch.allclose(module(x), x)


@pytest.mark.parametrize("name", SCALED)
def test_gamma0_stays_the_plain_unet_through_training(name):
    control, plain = steps(seeded(f"{name}-gamma0")), steps(seeded("unet"))
    assert count_parameters(control) > count_parameters(plain)
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(control(x), plain(x))
    assert not torch.equal(steps(seeded(name))(x), plain(x))


@pytest.mark.parametrize("word", WORDS)
def test_random_trains_everything_but_the_mechanism(word):
    control = seeded(f"{word}-random")
    before = {key: value.clone() for key, value in control.state_dict().items()}
    after = steps(control).state_dict()
    scales = {
        name
        for mechanism, _ in mechanisms_in(control.slots)
        for name in (*mechanism.scale, *mechanism.gain)
    }
    for key, value in before.items():
        mechanism = key.startswith("slots.") and not any(
            key.endswith(f".{name}") for name in scales
        )
        assert torch.equal(value, after[key]) == mechanism, key


def explicit_mean(module, x):
    """What the mechanism gives when every position attends to all positions with the same
    weight.
    """
    mean = x.flatten(2).mean(2)[..., None, None].expand_as(x)
    if isinstance(module, get_mechanism("self_attention").module):
        return x + module.gamma * module.value(mean)
    return x + module.transform(mean[..., 0, 0])[..., None, None]


@pytest.mark.parametrize(("name", "channels"), [("self_attention", 16), ("global_context", 32)])
def test_uniform_is_the_mean_over_all_positions(name, channels):
    *_, (_, module) = mechanisms_in(steps(seeded(f"{name}-uniform"), 5).double().slots)
    x = torch.randn(2, channels, 6, 5, dtype=torch.float64)
    assert not torch.allclose(module(x), x)
    torch.testing.assert_close(module(x), explicit_mean(module, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SOFTMAX)
def test_uniform_silences_what_it_declares_and_nothing_else(name):
    control = steps(seeded(f"{name}-uniform"))
    silenced = {key for key, value in control.named_parameters() if not value.requires_grad}
    assert all(not control.get_parameter(key).any() for key in silenced)
    for mechanism, module in mechanisms_in(control.slots):
        for pattern in mechanism.logits:
            names = [
                f"{name}.{key}".lstrip(".")
                for name, owner in module.named_modules()
                for key in vars(owner)
            ]
            names += [key for key, _ in (*module.named_modules(), *module.named_parameters())]
            assert any(fnmatch(key, pattern) for key in names), pattern


@pytest.mark.parametrize(
    "name", ["self_attention", "non_local", "transformer", "multi_head_self_attention"]
)
def test_uniform_attention_maps_are_flat(name):
    control = steps(seeded(f"{name}-uniform"))
    for _, module in mechanisms_in(control.slots):
        channels = next(p.shape[1] for p in module.parameters() if p.dim() > 1)
        weights = module.attention_map(torch.randn(1, channels, 6, 6))
        assert weights.std() < 1e-6 < weights.mean()


@pytest.mark.parametrize(("name", "ndim"), FORMS)
def test_conv1x1_has_the_nearest_number_of_parameters_and_no_mechanism(name, ndim):
    variant, control, plain = (
        build_model(word, ndim, 1, 2, (16, 32, 64)) for word in (name, f"{name}-conv1x1", "unet")
    )
    own = count_parameters(variant) - count_parameters(plain)
    found = count_parameters(control) - count_parameters(plain)
    placed = [module for module in control.modules() if isinstance(module, Pointwise)]
    channels = [module.first.in_channels for module in placed]
    assert placed
    # Each of the pointwise blocks misses its target by at most half a hidden unit, or cannot be
    # smaller than one.
    assert abs(found - own) <= sum(channels) or all(
        module.first.out_channels == 1 for module in placed
    )
    assert control(torch.randn(2, 1, *[8] * ndim)).shape == (2, 2, *[8] * ndim)


def test_pointwise_is_the_formula():
    module = Pointwise(4, 6, 2)
    x = torch.randn(2, 4, 3, 5)
    first, second = module.first.weight[:, :, 0, 0], module.second.weight[:, :, 0, 0]
    hidden = torch.einsum("hc,bcij->bhij", first, x).clamp(min=0)
    torch.testing.assert_close(module(x), x + torch.einsum("ch,bhij->bcij", second, hidden))


def test_hidden_widths_are_the_nearest():
    for parameters, channels in itertools.product((3, 100, 999, 12345), (4, 16)):
        (hidden,) = hidden_widths(parameters, [channels])
        distances = {width: abs(2 * channels * width - parameters) for width in range(1, 4000)}
        assert distances[hidden] == min(distances.values())


@pytest.mark.parametrize("kind", ["parameters", "flops"])
@pytest.mark.parametrize(("word", "ndim"), FORMS)
def test_matched_unets_are_within_tolerance(word, ndim, kind):
    patch = (16,) * ndim
    backbone, spec = BackboneSettings(widths=WIDTHS), NetworkSpec(ndim, 1, 2, patch)
    control = named_model(f"{word}-{kind}", backbone)
    match = find_match(control, backbone, spec)
    matched = build_network(control, backbone, spec)
    variant = build_network(named_model(word, backbone), backbone, spec)
    plain = UNet(ndim, 1, 2, match.widths)
    assert [key for key, _ in matched.named_parameters()] == [
        key for key, _ in plain.named_parameters()
    ]
    assert count_parameters(matched) == count_parameters(plain)
    if kind == "parameters":
        found, target = count_parameters(matched), count_parameters(variant)
    else:
        found, target = (count_flops(network, (1, 1, *patch)) for network in (matched, variant))
    assert (match.found, match.target) == (found, target)
    assert abs(found / target - 1) <= {"parameters": 0.01, "flops": 0.02}[kind]


@pytest.mark.parametrize("block", ["plain", "residual", "recurrent_residual"])
def test_widths_are_found_for_every_kind_of_backbone(block):
    backbone = BackboneSettings(widths=WIDTHS, block=block, deep_supervision=True, norm="group")
    control = named_model("attention_gate-parameters", backbone)
    match = find_match(control, backbone, NetworkSpec(2, 3, 4, (32, 32)))
    assert abs(match.difference) <= 0.01


def test_a_target_out_of_reach_is_refused_with_the_nearest():
    with pytest.raises(ModelError, match=r"within 1% of 21; nearest: widths \[1, 2\] with 20 "):
        match_widths(
            (1, 1), 21, 0.01, lambda widths: 10 * widths[0] ** 2 + 5 * widths[0] * widths[1]
        )


@pytest.mark.parametrize("control", ["gamma0", "uniform"])
@pytest.mark.parametrize("word", WORDS)
def test_a_control_that_a_mechanism_cannot_have_is_refused_with_the_reason(word, control):
    known = known_models().mechanisms
    if not any(control in known[name].lacks for name in named_model(word).mechanisms()):
        build_model(f"{word}-{control}", 2, 1, 2, (16, 32))
        return
    reason = {"gamma0": "no scale that starts at zero", "uniform": "no softmax over positions"}[
        control
    ]
    with pytest.raises(ModelError, match=reason):
        build_model(f"{word}-{control}", 2, 1, 2, (16, 32))


def test_the_reference_patch_is_stated():
    assert reference_patch(2) == (64, 64) and reference_patch(3) == (32, 32, 32)
