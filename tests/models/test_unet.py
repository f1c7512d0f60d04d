"""The one U-Net: any size, closed parameter count, one backbone for every model, every slot
wired.
"""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attnbench.errors import ModelError
from attnbench.models.attention import mechanism_names
from attnbench.models.attention.eca import ECA
from attnbench.models.attention.spatial_se import SpatialSE
from attnbench.models.build import build_model
from attnbench.models.describe import count_parameters
from attnbench.models.layers import InstanceNorm
from attnbench.models.names import known_models
from attnbench.models.registry import get_mechanism
from attnbench.models.unet import UNet, pad_to_multiple
from attnbench.study.models import BackboneSettings, ModelSettings, Placement, resolve_model
from attnbench.study.names import SLOTS

WIDTHS = (8, 16, 32)
BACKBONE = ("encoder.", "up.", "decoder.", "head.")
STARTS_AS_NOTHING = (
    "self_attention",
    "non_local",
    "dual_attention",
    "criss_cross",
    "global_context",
)
both = pytest.mark.parametrize("ndim", [2, 3])


def image(ndim, batch=2, channels=1, sides=(12, 8, 16)):
    return torch.randn(batch, channels, *sides[:ndim])


def everywhere(name):
    """The mechanism at every level of every slot, of a U-Net with three widths."""
    levels = {slot: (2,) if slot == "bottleneck" else (0, 1) for slot in SLOTS}
    return {slot: [Placement(name=name, levels=levels[slot])] for slot in SLOTS}


@pytest.mark.parametrize("size", [(16, 16), (13, 21), (5, 9), (8, 12, 16), (7, 9, 5)], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_maps_any_size_to_one_logit_per_class(size, batch):
    network = UNet(len(size), 3, 4, WIDTHS)
    assert network(torch.randn(batch, 3, *size)).shape == (batch, 4, *size)


@both
@pytest.mark.parametrize("widths", [(4, 8), (8, 16, 32), (6, 10, 14, 22)], ids=str)
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_parameter_count_is_the_closed_formula(ndim, widths, blocks):
    inputs, classes, kernel = 2, 5, 3**ndim

    def level(before, after):
        return (
            kernel * before * after
            + 2 * after
            + (blocks - 1) * (kernel * after * after + 2 * after)
        )

    encoder = sum(
        level(before, after) for before, after in zip((inputs, *widths[:-1]), widths, strict=True)
    )
    up = sum(2**ndim * coarse * fine + fine for fine, coarse in itertools.pairwise(widths))
    decoder = sum(level(2 * fine, fine) for fine in widths[:-1])
    head = widths[0] * classes + classes
    network = UNet(ndim, inputs, classes, widths, blocks_per_level=blocks)
    assert count_parameters(network) == encoder + up + decoder + head


@both
def test_padding_goes_to_the_far_end_and_changes_nothing_when_the_size_fits(ndim):
    x = image(ndim, sides=(5, 8, 3))
    padded = pad_to_multiple(x, 4)
    assert padded.shape[2:] == (8, 8, 4)[:ndim]
    kept = padded[(..., *(slice(side) for side in x.shape[2:]))]
    assert torch.equal(kept, x) and padded.count_nonzero() == x.count_nonzero()
    assert pad_to_multiple(padded, 4) is padded


@both
def test_every_slot_and_level_is_visited_once_in_the_order_of_the_data(ndim):
    network = UNet(ndim, 1, 2, WIDTHS, slots=everywhere("spatial_se"))
    visits = []
    for name, module in network.named_modules():
        if isinstance(module, SpatialSE):
            place = name.split(".")[-2]
            module.register_forward_hook(
                lambda _, given, __, place=place: visits.append((place, given[0].shape))
            )
    x = image(ndim)
    network(x)
    places = ["encoder0", "encoder1", "bottleneck2", "skip1", "decoder1", "skip0", "decoder0"]
    expected = []
    for place in places:
        level = int(place[-1])
        expected.append((place, (2, WIDTHS[level], *(side // 2**level for side in x.shape[2:]))))
    assert visits == expected


@pytest.mark.parametrize(
    "place", ["encoder0", "encoder1", "bottleneck2", "skip0", "skip1", "decoder0", "decoder1"]
)
def test_what_a_slot_returns_is_what_the_network_goes_on_with(place):
    slot, level = place[:-1], int(place[-1])
    network = UNet(
        2, 1, 2, WIDTHS, slots={slot: [Placement(name="spatial_se", levels=(level,))]}
    ).eval()
    (probe,) = (module for module in network.modules() if isinstance(module, SpatialSE))
    plain = UNet(2, 1, 2, WIDTHS).eval()
    plain.load_state_dict(
        {key: value for key, value in network.state_dict().items() if key.startswith(BACKBONE)}
    )
    x = image(2)
    probe.register_forward_hook(lambda _, given, result: given[0])
    assert torch.equal(network(x), plain(x))
    probe.register_forward_hook(lambda _, given, result: given[0].flip(1))
    assert not torch.allclose(network(x), plain(x), atol=1e-3)


def test_encoder_slot_feeds_both_the_skip_and_the_next_level():
    network = UNet(2, 1, 2, (8, 16), slots={"encoder": [Placement(name="spatial_se", levels=(0,))]})
    (probe,) = (module for module in network.modules() if isinstance(module, SpatialSE))
    kept = []
    probe.register_forward_hook(lambda _, given, result: kept.append(result))
    network.pool.register_forward_hook(lambda _, given, result: kept.append(given[0]))
    network.decoder[0].register_forward_pre_hook(lambda _, given: kept.append(given[0][:, :8]))
    network(image(2))
    returned, pooled, skip = kept
    assert torch.equal(returned, pooled) and torch.equal(returned, skip)


@pytest.mark.parametrize("name", mechanism_names())
def test_backbone_starts_from_the_same_weights_whatever_the_slots_hold(name):
    torch.manual_seed(11)
    plain = build_model("unet", 2, 1, 3, (16, 32, 64)).state_dict()
    torch.manual_seed(11)
    variant = build_model(name, 2, 1, 3, (16, 32, 64)).state_dict()
    assert all(torch.equal(weight, variant[key]) for key, weight in plain.items())
    assert not any(key.startswith(BACKBONE) for key in set(variant) - set(plain))


@both
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", STARTS_AS_NOTHING)
def test_zero_initialised_mechanisms_start_as_exactly_the_baseline(name, training, ndim):
    torch.manual_seed(2)
    plain = UNet(ndim, 1, 3, WIDTHS).train(training)
    torch.manual_seed(2)
    variant = UNet(ndim, 1, 3, WIDTHS, slots=everywhere(name)).train(training)
    x = image(ndim)
    assert torch.equal(variant(x), plain(x))


@pytest.mark.parametrize(
    ("name", "deeper"), [("attention_gate", 1), ("attention_gate_upsampled", 0)]
)
def test_coarse_and_upsampled_gates_receive_their_own_signal(name, deeper):
    network = UNet(2, 1, 2, WIDTHS, slots={"skip": [Placement(name=name, levels=(0, 1))]})
    seen = []
    for module in network.modules():
        if isinstance(module, get_mechanism(name).module):
            module.register_forward_hook(lambda _, given, __: seen.append(given[1].shape))
    network(image(2, sides=(16, 24)))
    levels = [level + deeper for level in (1, 0)]
    assert seen == [(2, WIDTHS[level], 16 // 2**level, 24 // 2**level) for level in levels]


@pytest.mark.parametrize(
    ("name", "levels"),
    [("self_attention", {"decoder0", "decoder1"}), ("non_local", {"encoder1", "encoder2"})],
)
def test_deepest_levels_are_the_default(name, levels):
    widths = (8, 8, 8, 8) if name == "non_local" else (8, 8, 8)
    network = build_model(name, 2, 1, 2, widths)
    module = get_mechanism(name).module
    assert {
        key.split(".")[-2] for key, found in network.named_modules() if isinstance(found, module)
    } == levels


@pytest.mark.parametrize(
    ("depth", "levels"), [(2, {"skip0"}), (3, {"skip1"}), (5, {"skip1", "skip2", "skip3"})]
)
def test_the_finest_skip_is_not_gated_where_there_is_another(depth, levels):
    """Oktay et al., section 3.2; a network of one skip is gated there."""
    network = build_model("attention_gate", 2, 1, 2, (4,) * depth)
    assert set(network.slots.chains) == levels


@pytest.mark.parametrize(
    ("slot", "level", "allowed"),
    [("decoder", 2, "0, 1"), ("bottleneck", 0, "2"), ("encoder", 7, "0, 1")],
)
def test_a_level_that_does_not_exist_is_refused(slot, level, allowed):
    model = ModelSettings(name="mine", slots={slot: [Placement(name="eca", levels=(level,))]})
    with pytest.raises(ValueError, match=rf"level {level} of slot '{slot}'.* are {allowed}$"):
        resolve_model(model, {}, BackboneSettings(widths=WIDTHS), known_models())


def test_mechanisms_without_levels_are_refused_not_left_out():
    with pytest.raises(ModelError, match="eca in slot 'skip': no levels"):
        UNet(2, 1, 2, WIDTHS, slots={"skip": [Placement(name="eca")]})


def test_mechanisms_of_one_place_follow_each_other():
    slots = {
        "decoder": [Placement(name="eca", levels=(0,)), Placement(name="spatial_se", levels=(0,))]
    }
    network = UNet(2, 1, 2, WIDTHS, slots=slots)
    passed = []
    for module in network.modules():
        if isinstance(module, ECA | SpatialSE):
            module.register_forward_hook(
                lambda layer, given, result: passed.append((type(layer), given[0], result))
            )
    network(image(2))
    (first, _, between), (second, received, _) = passed
    assert (first, second) == (ECA, SpatialSE) and received is between


def test_the_norm_of_the_network_is_the_one_asked_for():
    kinds = {"instance": InstanceNorm, "batch": nn.BatchNorm2d, "group": nn.GroupNorm}
    for norm, kind in kinds.items():
        network = UNet(2, 1, 2, WIDTHS, norm=norm)
        assert sum(isinstance(module, kind) for module in network.modules()) == 2 * 5


@both
def test_instance_norm_equals_torchs_forward_and_backward(ndim):
    """torch's own, in double precision, is the slow path; single precision stays within 1e-5 of
    it.
    """
    torch.manual_seed(0)
    norm = InstanceNorm(5, affine=True)
    weight, bias = torch.randn(2, 5)
    norm.load_state_dict({"weight": weight, "bias": bias})
    x, upward = torch.randn(2, 3, 5, *(7, 6, 4)[:ndim])
    exact = [values.double().requires_grad_() for values in (x, weight, bias)]
    expected = F.instance_norm(exact[0], weight=exact[1], bias=exact[2])
    expected.backward(upward.double())
    x.requires_grad_()
    norm(x).backward(upward)
    torch.testing.assert_close(norm(x).double(), expected, atol=1e-5, rtol=0)
    for values, right in zip((x, norm.weight, norm.bias), exact, strict=True):
        torch.testing.assert_close(values.grad.double(), right.grad, atol=1e-4, rtol=1e-5)


@both
def test_one_step_of_training_changes_every_weight(ndim):
    network = build_model("unet", ndim, 1, 3, WIDTHS)
    before = {key: value.clone() for key, value in network.named_parameters()}
    network(image(ndim)).square().mean().backward()
    torch.optim.SGD(network.parameters(), lr=1.0).step()
    assert all(not torch.equal(value, before[key]) for key, value in network.named_parameters())
