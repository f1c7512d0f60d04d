"""Networks as files: run by other programs they are the network, or there is no file."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from attnbench.errors import ModelError
from attnbench.inference.model_file import write_network
from attnbench.inference.plain_operators import in_plain_operators, selective_scan
from attnbench.models.attention._scan import scan
from attnbench.models.build import build_model, build_network
from attnbench.models.spec import NetworkSpec
from attnbench.study.models import BackboneSettings, ModelSettings

SPEC = NetworkSpec(2, 1, 3, (16, 16))


def unet(name: str = "unet") -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, 2, 1, 3, widths=(2, 4), blocks_per_level=1).eval()


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return unet()


def by_onnxruntime(path: Path, batch: torch.Tensor) -> np.ndarray:
    return onnxruntime.InferenceSession(path).run(["logits"], {"image": batch.numpy()})[0]


def test_onnxruntime_gives_the_networks_logits_for_any_number_and_sides(tmp_path, network):
    path = tmp_path / "unet.onnx"
    written = write_network(network, SPEC, "onnx", path)
    assert (written.freedom.batch, written.freedom.step) == (True, 2)
    for shape in ((1, 1, 16, 16), (2, 1, 6, 40), (5, 1, 22, 18)):
        batch = images(*shape)
        expected = network(batch).detach().numpy()
        assert by_onnxruntime(path, batch) == pytest.approx(expected, abs=1e-5)
    assert 0 < written.difference < 1e-4 * written.largest


def test_torch_reads_its_file_without_this_package(tmp_path, network):
    path = tmp_path / "unet.pt2"
    write_network(network, SPEC, "torch", path)
    program = torch.export.load(path)
    assert "attnbench" not in program.graph_module.code
    batch = images(3, 1, 20, 12)
    assert torch.equal(program.module()(batch), network(batch))


def test_no_operator_of_this_package_is_left_in_a_file():
    # One scan of 16 positions: tracing takes its time for each.
    model = ModelSettings(
        name="scan", slots={"bottleneck": {"name": "selective_state_space", "levels": [1]}}
    )
    backbone = BackboneSettings(widths=(2, 4), blocks_per_level=1)
    network = build_network(model, backbone, NetworkSpec(2, 1, 3, (8, 8))).eval()
    batch = images(1, 1, 8, 8)
    traced = torch.export.export(network, (batch,))
    assert "attnbench" in traced.graph_module.code
    plain = in_plain_operators(traced)
    assert "attnbench" not in plain.graph_module.code
    expected = network(batch).detach().numpy()
    assert plain.module()(batch).detach().numpy() == pytest.approx(expected, abs=1e-5)


class Noisy(nn.Module):
    """Answers something else whenever it is asked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.expand(-1, 3, -1, -1) + torch.rand_like(x)


class Untraceable(nn.Module):
    """Does with numbers outside torch what no file can hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.sort(x.numpy())).expand(-1, 3, -1, -1)


@pytest.mark.parametrize(
    ("module", "match"), [(Noisy(), "differs from the network by"), (Untraceable(), "cannot")]
)
def test_what_is_not_the_network_leaves_no_file(tmp_path, module, match):
    with pytest.raises(ModelError, match=match):
        write_network(module, SPEC, "torch", tmp_path / "network.pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_mechanism_in_the_way_is_named(tmp_path, monkeypatch):
    network = unet("attention_gate")
    gate = network.slots.chains["skip0"][0]
    monkeypatch.setattr(
        type(gate), "forward", lambda self, x, gate: torch.from_numpy(np.sort(x.numpy()))
    )
    with pytest.raises(ModelError, match="the mechanism attention_gate"):
        write_network(network, SPEC, "torch", tmp_path / "gate.pt2")


def test_another_ending_is_refused(tmp_path, network):
    with pytest.raises(ModelError, match=r"ends in .onnx; found '.pt'"):
        write_network(network, SPEC, "onnx", tmp_path / "unet.pt")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_the_plain_scan_is_the_recurrence(length, seed):
    random = torch.Generator().manual_seed(seed)
    values, delta = (torch.rand(2, 3, length, 5, generator=random) for _ in range(2))
    rates = -4 * torch.rand(3, 4, 5, generator=random)
    read, write = (torch.randn(2, 3, length, 4, generator=random) for _ in range(2))
    expected = torch.zeros(2, 3, length, 5)
    state = torch.zeros(2, 3, 4, 5)
    for t in range(length):
        step = delta[:, :, t, None]
        state = (
            torch.exp(step * rates) * state + step * read[:, :, t, :, None] * values[:, :, t, None]
        )
        expected[:, :, t] = (write[:, :, t, :, None] * state).sum(2)
    found, _ = selective_scan(values, delta, rates, read, write)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert scan(values, delta, rates, read, write)[0].numpy() == pytest.approx(
        expected.numpy(), abs=1e-4
    )
