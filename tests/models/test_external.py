"""External networks: imported by path, padded and never resized, refused with what to do."""

import math
from pathlib import Path

import pytest
import torch
import yaml

from attnbench.check import check_study, load_study
from attnbench.errors import AttnBenchError, ModelError, StudyError
from attnbench.models.build import build_network, build_unet
from attnbench.models.buildable import check_models
from attnbench.models.cost import count_flops
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, ModelSettings
from attnbench.training.loop import train

ROOT = Path(__file__).parents[2]
ARGUMENTS = {"inputs": "{in_channels}", "classes": "{classes}", "ndim": "{ndim}"}


@pytest.fixture(autouse=True)
def _own_networks(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def build(network="own_networks.Strict", arguments=ARGUMENTS, ndim=2, patch=(16, 16), **keys):
    settings = ModelSettings(name="mine", network=network, arguments=arguments, **keys)
    return build_network(settings, BackboneSettings(), NetworkSpec(ndim, 1, 3, patch))


@pytest.mark.parametrize("size", [(16, 16), (9, 15), (3, 20, 8)])
def test_a_divisor_pads_the_input_and_crops_the_chosen_output(size):
    network = build(ndim=len(size), divisor=8, output=0)
    x = torch.randn(2, 1, *size)
    padded = torch.zeros(2, 1, *[-(-side // 8) * 8 for side in size])
    inside = (..., *map(slice, size))
    padded[inside] = x
    assert network(x).shape == (2, 3, *size)
    assert torch.equal(network(x), network.network(padded)[0][inside])


def test_a_fixed_size_pads_to_the_patch_and_refuses_more():
    network = build(
        "own_networks.OneSize", {"size": "{patch}", "classes": 3}, patch=(8, 12), fixed_size=True
    )
    x = torch.randn(1, 1, 5, 12)
    assert torch.equal(network(x), x * network.network.weight[:, :5])
    with pytest.raises(ModelError, match=r"larger than its fixed size \(8, 12\)"):
        network(torch.randn(1, 1, 9, 12))


def test_placeholders_are_replaced_at_any_depth():
    network = build(
        arguments={"inputs": "{in_channels}", "classes": "{classes}", "ndim": "{ndim}", "width": 6}
    )
    assert network.network.layers[0].out_channels == 6
    found = build("torch.nn.Sequential", {}, divisor=2)
    assert list(found.network.children()) == []
    with pytest.raises(
        ModelError, match=r"no placeholder '\{classs\}'; did you mean '\{classes\}'"
    ):
        build(arguments={**ARGUMENTS, "classes": "{classs}"})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"network": "monai_absent.Net"},
            "install monai_absent, run in the folder that holds it, or add that",
        ),
        ({"network": "segmentation_models_pytorch.nowhere.Unet"}, "pip install"),
        (
            {"network": "own_networks.Strickt"},
            "own_networks has no 'Strickt'; did you mean 'Strict'",
        ),
        ({"arguments": {"colour": "red"}}, "refuses {'colour': 'red'}: TypeError"),
        ({"network": "os.system", "arguments": {}}, "os.system: of Python's standard library"),
    ],
    ids=["module", "extra", "class", "arguments", "standard library"],
)
def test_what_cannot_be_built_is_refused_with_what_to_do(keys, said):
    with pytest.raises(AttnBenchError) as refusal:
        build(**keys)
    assert said in str(refusal.value)


def study_with(*models):
    return check_study(
        {"name": "own", "datasets": ["phantom2d", "phantom3d"], "models": ["unet", *models]}
    )


def test_the_check_of_a_study_names_every_model_that_cannot_be_built():
    half = {"name": "half", "network": "own_networks.Half"}
    wrong = {"name": "wrong", "network": "own_networks.Nothing"}
    heads = {
        "name": "heads",
        "slots": {"encoder": {"name": "axial_attention", "options": {"heads": 7}}},
    }
    good = {"name": "good", "network": "own_networks.Strict", "arguments": ARGUMENTS}
    good |= {"divisor": 8, "output": 0}
    with pytest.raises(StudyError) as refusal:
        check_models(study_with(half, wrong, heads, good, "cbam-flops"), "my.yaml")
    message = str(refusal.value)
    for line in (
        "half on phantom2d: half, for input",
        "found output",
        "expected (2, ",
        "wrong on phantom3d",
        "heads on phantom2d",
    ):
        assert line in message
    assert (
        "good" not in message
        and "cbam-flops" not in message
        and message.startswith("my.yaml: 6 model(s)")
    )


def test_a_network_of_the_users_own_trains_by_the_same_recipe():
    torch.manual_seed(0)
    masks = (torch.rand(4, 12, 12) > 0.5).long()
    batches = [(masks.unsqueeze(1) + 0.1 * torch.randn(4, 1, 12, 12), masks)] * 60
    study = study_with(
        {
            "name": "mine",
            "network": "own_networks.Strict",
            "arguments": ARGUMENTS,
            "divisor": 8,
            "output": 0,
        }
    )
    settings = study.training.model_copy(update={"learning_rate": 0.05})
    spec = NetworkSpec(2, 1, 2, (12, 12))
    network = build_network(study.model("mine"), study.backbone, spec)
    rows = list(train(network, batches, batches[:1], settings, 60, torch.device("cpu"), None))
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def published(study, name, ndim):
    """Batches of squares on noise, and a network of the study that is built for them."""
    # Swin UNETR needs more: of 32 voxels one position is left at its deepest level.
    side = 64 if ndim == 2 or name == "swin_unetr" else 32
    patch = (side,) * ndim
    torch.manual_seed(0)
    masks = torch.zeros(2 if ndim == 2 else 1, *patch, dtype=torch.long)
    masks[(slice(None), *[slice(side // 4, side // 2)] * ndim)] = 1
    images = masks.unsqueeze(1) + 0.3 * torch.randn(len(masks), 1, *patch)
    spec = NetworkSpec(ndim, 1, 2, patch)
    return build_network(study.model(name), study.backbone, spec), [(images, masks)]


NETWORKS = ("basic_unet", "monai_attention_unet", "dynunet", "segresnet", "unetr", "swin_unetr")


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_of_monai_train_and_keep_every_size(name, ndim):
    pytest.importorskip("monai", reason="an extra: pip install 'attnbench[external]'")
    study = load_study(ROOT / "studies/external_networks.yaml")
    network, batches = published(study, name, ndim)
    steps = 10 if ndim == 2 else 4
    rows = list(
        train(network, batches * steps, batches, study.training, steps, torch.device("cpu"), None)
    )
    assert all(math.isfinite(row["loss"]) for row in rows)
    with torch.no_grad():
        first, last = (loss_of(published(study, name, ndim)[0], batches), loss_of(network, batches))
        side = batches[0][0].shape[-1]
        smaller = torch.randn(1, 1, *[side - 14, side, side - 20][:ndim])
        assert network.eval()(smaller).shape == (1, 2, *smaller.shape[2:])
    assert last < first


def loss_of(network, batches):
    """Cross-entropy of a batch, with the statistics of the batch itself."""
    ((images, masks),) = batches
    return float(torch.nn.functional.cross_entropy(network.train()(images), masks))


def test_the_study_of_external_networks_can_be_planned():
    pytest.importorskip("monai", reason="an extra: pip install 'attnbench[external]'")
    study = load_study(ROOT / "studies/external_networks.yaml")
    assert {model.name for model in study.models if model.network} == set(NETWORKS)
    check_models(study, "external_networks.yaml")


def test_a_network_of_segmentation_models_pytorch_trains_in_2d():
    pytest.importorskip(
        "segmentation_models_pytorch", reason="needs a torchvision built for this torch"
    )
    arguments = {
        "encoder_name": "resnet18",
        "encoder_weights": None,
        "in_channels": "{in_channels}",
        "classes": "{classes}",
        "decoder_attention_type": "scse",
    }
    network = build("segmentation_models_pytorch.Unet", arguments, patch=(64, 64), divisor=32)
    masks = torch.randint(3, (2, 50, 64))
    batches = [(torch.randn(2, 1, 50, 64), masks)] * 3
    settings = study_with().training
    rows = list(train(network, batches, batches[:1], settings, 3, torch.device("cpu"), None))
    assert all(math.isfinite(row["loss"]) for row in rows)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def test_controls_of_an_external_network_are_plain_unets_of_its_size():
    """The FLOPs of its two convolutions are counted by hand."""
    width, side = 96, 64
    mine = {
        "name": "mine",
        "network": "own_networks.Strict",
        "arguments": {**ARGUMENTS, "width": width},
        "divisor": 8,
        "output": 0,
        "training": {"learning_rate": 0.003},
    }
    study = check_study(
        {
            "name": "own",
            "datasets": ["phantom2d"],
            "models": ["unet", mine],
            "controls": ["random", "parameters", "flops"],
            "backbone": {"widths": [2, 4]},
        }
    )
    names = [model.name for model in study.models]
    assert [name for name in names if name.startswith("mine")] == [
        "mine", "mine-parameters", "mine-flops",
    ]  # fmt: skip
    assert ("mine", "mine-flops") in study.control_pairs
    spec = NetworkSpec(2, 1, 2, (side, side))
    built = {
        name: build_network(study.model(name), study.backbone_of(name), spec) for name in names
    }
    assert isinstance(built["mine-parameters"], UNet) and isinstance(built["mine-flops"], UNet)
    own = 9 * width + width + 2 * width + 2
    assert count(built["mine"]) == own
    assert abs(count(built["mine-parameters"]) / own - 1) <= 0.01
    operations = 2 * side**2 * (9 * width + 2 * width)
    assert abs(count_flops(built["mine-flops"], spec.input_shape) / operations - 1) <= 0.02
    for name in ("mine-parameters", "mine-flops"):
        assert study.model(name).training == study.model("mine").training
        # Another network is another target.
        assert study.recipe("phantom2d", name)["model"]["arguments"]["width"] == width
    written = check_study(yaml.safe_load(study.to_yaml()))
    assert written.model_dump() == study.model_dump()


def test_a_control_begins_with_the_weights_that_its_widths_have_without_a_target():
    mine = {"name": "mine", "network": "hostile_networks.Good", "arguments": {"width": 64}}
    study = study_with(mine, "mine-parameters")
    own = BackboneSettings(widths=(2, 3))
    spec = NetworkSpec(2, 1, 2, (16, 16))
    torch.manual_seed(0)
    control = build_network(study.model("mine-parameters"), own, spec)
    torch.manual_seed(0)
    plain = build_unet(own, spec, widths=control.widths)
    for one, other in zip(control.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("control", ["random", "gamma0", "uniform", "conv1x1"])
def test_controls_that_change_mechanisms_are_refused_by_name(control):
    with pytest.raises(StudyError, match="its controls are plain U-Nets of its size"):
        study_with({"name": "mine", "network": "own_networks.Half"}, f"mine-{control}")


def test_a_target_below_every_unet_is_said_with_what_can_be_done():
    study = study_with({"name": "mine", "network": "hostile_networks.Good"}, "mine-parameters")
    spec = NetworkSpec(2, 1, 2, (16, 16))
    wide = BackboneSettings(widths=(4, 8, 16, 32, 64))
    with pytest.raises(ModelError, match=r"5 levels within 1% of 50; nearest.*fewer levels are"):
        build_network(study.model("mine-parameters"), wide, spec)
