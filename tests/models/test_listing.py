"""The list of models: complete, true to the networks it lists, and current on its page."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from attnbench.check import load_study
from attnbench.cli import app
from attnbench.models.build import build_model
from attnbench.models.cost import count_activation_bytes, count_flops, count_parameters
from attnbench.models.listing import axes_of
from attnbench.models.names import model_names, named_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows():
    shown = CliRunner().invoke(app, ["models", "--json", "--ndim", "2"])
    assert shown.exit_code == 0, shown.output
    return {row["model"]: row for row in json.loads(shown.output)}


def test_every_model_is_listed_with_its_own_size(rows):
    assert list(rows) == list(model_names())
    for word in ("unet", "cbam", "u_transformer"):
        network = build_model(word, 2, 1, 2)
        assert rows[word]["parameters"] == sum(
            parameter.numel() for parameter in network.parameters()
        )
    assert rows["cbam"]["year"] == 2018 and "Woo" in rows["cbam"]["paper"]
    assert rows["attention_gate"]["slots"] == ["skip"]


def test_the_page_is_current():
    """`make docs` writes it."""
    shown = CliRunner().invoke(app, ["models", "--markdown"])
    assert (ROOT / "docs/models.md").read_text(encoding="utf-8") == shown.output


@pytest.mark.parametrize(("name", "ndim"), [("zoo_small", 2), ("zoo_small_3d", 3)])
def test_the_zoo_studies_hold_every_model(name, ndim):
    models = [model.name for model in load_study(ROOT / f"studies/{name}.yaml").models]
    assert models == [word for word in model_names() if ndim in axes_of(named_model(word))]


def saved_bytes(network, x):
    """What automatic differentiation really keeps, on the CPU."""
    kept = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(x)
    return (
        sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in parameters)
        if outputs.any()
        else 0
    )


@pytest.mark.parametrize(
    "word", ["unet", "self_attention", "cbam", "axial_attention", "window_attention"]
)
def test_activations_are_what_a_real_step_keeps(word):
    network = build_model(word, 2, 1, 2, (8, 16)).train()
    expected = saved_bytes(network, torch.randn(1, 1, 32, 32))
    assert count_activation_bytes(network, (1, 1, 32, 32)) == pytest.approx(expected, rel=0.02)


def test_flops_of_a_unet_are_those_of_its_convolutions():
    network = build_model("unet", 2, 1, 3, (4, 8))
    macs = 16 * 16 * (9 * 1 * 4 + 9 * 4 * 4) + 8 * 8 * (9 * 4 * 8 + 9 * 8 * 8)
    macs += 16 * 16 * (8 * 4) + 16 * 16 * (9 * 8 * 4 + 9 * 4 * 4) + 16 * 16 * 4 * 3
    assert count_flops(network, (1, 1, 16, 16)) == 2 * macs


def test_counting_leaves_the_network_as_it_was():
    network = build_model("cbam", 2, 1, 2, (8, 16)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    size = count_parameters(network)
    count_flops(network, (1, 1, 16, 16))
    count_activation_bytes(network, (1, 1, 16, 16))
    assert network.training and size == count_parameters(network)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
    assert network(torch.randn(1, 1, 16, 16)).isfinite().all()
