"""What is read of a mechanism equals closed forms, and reading changes nothing."""

import math

import pytest
import torch
from formulas import softmax
from torch import nn

from attnbench.models.attention._windows import WindowBlock
from attnbench.models.build import build_model
from attnbench.models.gate_readings import COLUMNS, _Entropy, mechanisms_of, read_gates
from attnbench.models.names import model_names

SIZE = {2: (24, 16), 3: (16, 8, 8)}
WIDTHS = (16, 32, 64)
both = pytest.mark.parametrize("ndim", [2, 3])


def network_of(name, ndim, randomise=lambda network: network):
    return randomise(build_model(name, ndim, 1, 2, WIDTHS)).double().eval()


def picture(ndim, size=None):
    return torch.randn(2, 1, *(size or SIZE[ndim]), dtype=torch.float64)


def fill(network, name, value):
    """Set all parameters whose path ends in `name`."""
    with torch.no_grad():
        for path, parameter in network.slots.named_parameters():
            if path.endswith(name):
                parameter.fill_(value)


def inputs_by_place(network, x):
    """First input of every mechanism by slot and level."""
    caught, hooks = {}, []
    for slot, (level,), module in mechanisms_of(network):
        hooks.append(
            module.register_forward_pre_hook(
                lambda _, arguments, key=(slot, level): caught.update({key: arguments[0]})
            )
        )
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return caught


@both
def test_scale_is_gamma_and_change_what_it_adds(ndim, randomise):
    network = network_of("self_attention", ndim, randomise)
    fill(network, "gamma", -0.3)
    # A constant value at every position: attention, whatever its weights, gives that constant.
    fill(network, "value.weight", 0.0)
    fill(network, "value.bias", 2.0)
    x = picture(ndim)
    rows, features = read_gates(network, x), inputs_by_place(network, x)
    assert [(row["slot"], row["level"]) for row in rows] == [("decoder", 1), ("decoder", 0)]
    for row in rows:
        inputs = features[row["slot"], row["level"]]
        added = 0.3 * 2.0 * math.sqrt(inputs.numel())
        assert row["scale"] == pytest.approx(0.3)
        assert row["change"] == pytest.approx(added / float(inputs.norm()))
        assert math.isnan(row["gate_mean"]) and math.isnan(row["gate_sd"])


@both
@pytest.mark.parametrize("name", ["self_attention", "dual_attention", "non_local", "criss_cross"])
def test_a_mechanism_that_starts_as_the_identity_changes_nothing(name, ndim):
    rows = read_gates(network_of(name, ndim), picture(ndim))
    assert rows
    assert all(row["scale"] == 0 and row["change"] == 0 for row in rows)


@both
@pytest.mark.parametrize("name", ["squeeze_excitation", "spatial_se", "spatial_attention"])
def test_a_gate_of_equal_scores_halves_every_value(name, ndim, randomise):
    network = network_of(name, ndim, randomise)
    for path in ("excite.2.weight", "squeeze.weight", "weigh.weight"):
        fill(network, path, 0.0)
    for row in read_gates(network, picture(ndim)):
        assert (row["gate_mean"], row["gate_sd"]) == (0.5, 0.0)
        assert row["change"] == pytest.approx(0.5)
        assert math.isnan(row["scale"]) and math.isnan(row["entropy"])


@both
def test_the_gate_of_a_mechanism_is_the_map_it_multiplies_with(ndim, randomise):
    network, x = network_of("attention_gate_upsampled", ndim, randomise), picture(ndim)
    rows = {row["level"]: row for row in read_gates(network, x)}
    for _, (level,), module in mechanisms_of(network):
        caught = []
        hook = module.register_forward_pre_hook(lambda _, given, kept=caught: kept.extend(given))
        with torch.no_grad():
            network(x)
            hook.remove()
            weights = module.attention_map(*caught)
        assert rows[level]["gate_mean"] == pytest.approx(float(weights.mean()))
        assert rows[level]["gate_sd"] == pytest.approx(float(weights.std(correction=0)))


@both
def test_entropy_equals_that_of_an_explicit_softmax(ndim, randomise):
    network, x = network_of("self_attention", ndim, randomise), picture(ndim)
    modules = {level: module for _, (level,), module in mechanisms_of(network)}
    features = inputs_by_place(network, x)
    for row in read_gates(network, x):
        module, inputs = modules[row["level"]], features["decoder", row["level"]].flatten(2)
        query, key = (
            torch.einsum("oc,bcn->bno", layer.weight.detach().flatten(1), inputs)
            + layer.bias.detach()
            for layer in (module.query, module.key)
        )
        weights = softmax(torch.einsum("bnd,bmd->bnm", query, key))
        # x log x is 0 at 0.
        logs = torch.where(weights > 0, weights.log(), torch.zeros(()).double())
        entropy = -(weights * logs).sum(-1).mean() / math.log(inputs.shape[2])
        assert inputs.shape[2] <= 1024
        assert row["entropy"] == pytest.approx(float(entropy), abs=1e-12)


@both
@pytest.mark.parametrize(
    ("name", "logits"),
    [
        ("self_attention", ("query.weight", "query.bias")),
        ("non_local", ("theta.weight", "theta.bias")),
        ("multi_head_self_attention", ("query.weight", "query.bias")),
        ("transformer", ("query.weight", "query.bias")),
        ("axial_attention", ("qkv.weight",)),
        ("window_attention", ("qkv.weight", "table")),
        ("shifted_window_attention", ("qkv.weight", "table")),
    ],
)
def test_equal_scores_have_entropy_one(name, logits, ndim, randomise):
    network = network_of(name, ndim, randomise)
    for path in logits:
        fill(network, path, 0.0)
    rows = read_gates(network, picture(ndim))
    assert rows
    assert [row["entropy"] for row in rows] == pytest.approx([1.0] * len(rows))


@both
def test_a_peaked_softmax_has_entropy_near_zero(ndim, randomise):
    network = network_of("self_attention", ndim, randomise)
    with torch.no_grad():
        for path, parameter in network.slots.named_parameters():
            if "query" in path:
                parameter.mul_(1e6)
    assert all(row["entropy"] < 0.02 for row in read_gates(network, picture(ndim)))


@both
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_count_the_queries_and_keys_of_the_image_alone(ndim, shifted, randomise):
    """Every query of a 5-sided image, cut into windows of 4, against the softmax that it sees."""
    block = WindowBlock(8, ndim, 4, 8, shifted)
    block = randomise(block).double().eval()
    x = torch.randn(2, *[5] * ndim, 8, dtype=torch.float64)
    with torch.no_grad():
        sides, shifts = block._layout(x)
        windows = block._windows(block.attention_norm(x), sides, shifts)
        query, key, _ = block._heads(windows)
        scores = block.scale * query @ key.transpose(-1, -2)
        weights = softmax(scores + block._scores_bias(x, sides, shifts))
        seen = block._windows(torch.ones(2, *[5] * ndim, 1), sides, shifts)[..., 0] > 0
    relative = []
    for window, rows in enumerate(weights):
        for row in rows[:, seen[window]].flatten(0, 1):
            row = row[row > 0]
            if len(row) > 1:
                relative.append(float(-(row * row.log()).sum()) / math.log(len(row)))
    wrapped = nn.Module()
    wrapped.block = block
    reader = _Entropy()
    with torch.no_grad(), reader.watch(wrapped):
        block(x)
    assert reader.mean() == pytest.approx(sum(relative) / len(relative))


@both
@pytest.mark.parametrize("name", [name for name in model_names() if name != "unet"])
def test_every_mechanism_is_read_and_stays_as_it_was(name, ndim, randomise):
    network, x = network_of(name, ndim, randomise), picture(ndim)
    keys = list(network.state_dict())
    with torch.no_grad():
        before = network(x)
        rows = read_gates(network, x)
        assert torch.equal(network(x), before)
    assert list(network.state_dict()) == keys
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )
    levels = sum(len(levels) for _, levels, _ in mechanisms_of(network))
    assert len(rows) == levels > 0
    for row in rows:
        assert tuple(row) == COLUMNS
        assert row["change"] > 0
        for name_ in ("gate_mean", "entropy"):
            assert math.isnan(row[name_]) or 0 < row[name_] < 1


@pytest.mark.parametrize("name", ["unet", "cbam-parameters", "cbam-conv1x1"])
def test_networks_without_a_mechanism_have_no_rows(name):
    assert read_gates(network_of(name, 2), picture(2)) == []


def test_controls_that_keep_the_mechanism_show_what_they_hold_fixed(randomise):
    x = picture(2)
    frozen = read_gates(network_of("self_attention-gamma0", 2), x)
    even = read_gates(network_of("self_attention-uniform", 2), x)
    untrained = read_gates(network_of("attention_gate-random", 2), x)
    assert {(row["scale"], row["change"]) for row in frozen} == {(0.0, 0.0)}
    assert [row["entropy"] for row in even] == pytest.approx([1.0] * len(even))
    assert all(row["change"] > 0 for row in untrained)


@both
def test_a_joint_mechanism_has_a_row_for_each_of_its_levels(ndim, randomise):
    rows = read_gates(network_of("channel_cross_fusion", ndim, randomise), picture(ndim))
    assert [(row["slot"], row["level"]) for row in rows] == [("skip", 0), ("skip", 1)]
    assert len({row["change"] for row in rows}) == 2
