"""Maps read from a running network are those of the formulas, and reading them changes nothing."""

import pytest
import torch
from torch.nn import functional as F

from attnbench.check import check_study
from attnbench.models.attention_maps import attention_maps, mechanisms_with_map
from attnbench.models.build import build_model, build_network
from attnbench.models.names import has_map, model_names, named_model
from attnbench.models.spec import NetworkSpec
from attnbench.study.models import BackboneSettings

SIZE = {2: (24, 16), 3: (16, 8, 8)}
both = pytest.mark.parametrize("ndim", [2, 3])


def network_of(name, ndim, randomise, widths=(8, 16, 32)):
    return randomise(build_model(name, ndim, 1, 2, widths)).double().eval()


def picture(ndim, size=None):
    return torch.randn(2, 1, *(size or SIZE[ndim]), dtype=torch.float64)


def inputs_of(module, network, x):
    """What a module of the network receives while `x` passes."""
    caught = []
    hook = module.register_forward_pre_hook(lambda _, arguments: caught.extend(arguments))
    with torch.no_grad():
        network(x)
    hook.remove()
    return caught


def on_input(weights, x):
    return F.interpolate(weights, x.shape[2:], mode={4: "bilinear", 5: "trilinear"}[x.dim()])


@both
def test_map_of_a_gate_is_its_psi(ndim, randomise):
    network, x = network_of("attention_gate", ndim, randomise), picture(ndim)
    with torch.no_grad():
        maps = attention_maps(network, x)
        assert list(maps) == ["skip1"]  # the finest skip is not gated
        for place, gate in mechanisms_with_map(network):
            skip, signal = inputs_of(gate, network, x)
            convolve = {2: F.conv2d, 3: F.conv3d}[ndim]
            mixed = convolve(skip, gate.theta.weight, stride=2) + convolve(
                signal, gate.phi.weight, gate.phi.bias
            )
            psi = 1 / (1 + torch.exp(-convolve(mixed.clamp(min=0), gate.psi.weight, gate.psi.bias)))
            torch.testing.assert_close(
                maps[place], on_input(on_input(psi, skip), x), rtol=1e-9, atol=1e-9
            )


@both
def test_map_of_self_attention_is_the_mean_over_queries_of_an_explicit_softmax(ndim, randomise):
    network, x = network_of("self_attention", ndim, randomise), picture(ndim)
    with torch.no_grad():
        maps = attention_maps(network, x)
        for place, module in mechanisms_with_map(network):
            (features,) = inputs_of(module, network, x)
            query, key = (
                torch.einsum("oc,bcn->bno", layer.weight.flatten(1), features.flatten(2))
                + layer.bias
                for layer in (module.query, module.key)
            )
            scores = torch.einsum("bnd,bmd->bnm", query, key)
            weights = torch.exp(scores - scores.amax(2, keepdim=True))
            weights = (
                (weights / weights.sum(2, keepdim=True)).mean(1).reshape(-1, 1, *features.shape[2:])
            )
            torch.testing.assert_close(maps[place], on_input(weights, x), rtol=1e-9, atol=1e-12)
            positions = features[0, 0].numel()
            torch.testing.assert_close(
                maps[place].flatten(1).mean(1), torch.full((2,), 1 / positions).double()
            )


@both
@pytest.mark.parametrize("name", ["cbam", "attention_gate", "self_attention"])
def test_reading_maps_leaves_the_network_as_it_was(name, ndim, randomise):
    network, x = network_of(name, ndim, randomise), picture(ndim)
    keys = list(network.state_dict())
    with torch.no_grad():
        before = network(x)
        attention_maps(network, x)
        assert torch.equal(network(x), before)
    assert list(network.state_dict()) == keys
    assert not any(module._forward_hooks for module in network.modules())


@both
def test_map_lies_where_the_image_does_when_the_network_pads(ndim, randomise):
    network = network_of("spatial_se", ndim, randomise)
    odd = {2: (21, 14), 3: (13, 7, 6)}[ndim]
    x = picture(ndim, odd)
    whole = F.pad(x, [n for side in reversed(odd) for n in (0, -side % 4)])
    inside = (..., *map(slice, odd))
    with torch.no_grad():
        maps, padded = attention_maps(network, x), attention_maps(network, whole)
    assert maps.keys() == padded.keys()
    for place, weights in maps.items():
        assert weights.shape == (2, 1, *odd)
        torch.testing.assert_close(weights, padded[place][inside])


def test_several_mechanisms_of_a_level_are_numbered_and_others_left_out():
    decoder = ["spatial_se", "eca", "simam"]
    models = [
        {"name": "mixed", "slots": {"decoder": [{"name": n, "levels": [0]} for n in decoder]}},
        "unet",
    ]
    content = {"name": "s", "datasets": ["phantom2d"], "models": models}
    mixed = check_study(content).model("mixed")
    network = build_network(mixed, BackboneSettings(widths=(4, 8)), NetworkSpec(2, 1, 2, (8, 8)))
    assert has_map(mixed)
    assert list(attention_maps(network.eval(), torch.randn(1, 1, 8, 8))) == [
        "decoder0.0",
        "decoder0.1",
    ]


@pytest.mark.parametrize("word", model_names())
def test_which_models_have_a_map_is_known_without_building_them(word):
    with torch.device("meta"):
        network = build_model(word, 2, 1, 2, (16, 32))
    assert has_map(named_model(word)) == bool(list(mechanisms_with_map(network)))
    assert word == "unet" or not has_map(named_model(f"{word}-random"))


def test_models_that_weight_channels_alone_have_no_map():
    with_map = {word for word in model_names() if has_map(named_model(word))}
    assert {
        "attention_gate",
        "cbam",
        "self_attention",
        "window_attention",
        "u_transformer",
    } <= with_map
    without = {
        "unet",
        "squeeze_excitation",
        "eca",
        "channel_se",
        "selective_kernel",
        "channel_cross_fusion",
    }
    assert not with_map & without
