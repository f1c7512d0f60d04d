"""The names of mechanisms are the files that define them."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

import attnbench.models
from attnbench.check import check_study
from attnbench.models.attention import mechanism_names
from attnbench.models.build import build_model
from attnbench.models.names import known_models, model_names, named_model, short_name
from attnbench.models.presets import PRESETS
from attnbench.models.registry import get_mechanism
from attnbench.study.models import ModelSettings


def test_each_public_file_registers_the_one_mechanism_of_its_name():
    folder = Path(attnbench.models.__file__).parent / "attention"
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(mechanism_names()) == files
    assert {get_mechanism(name).name for name in files} == files
    classes = [get_mechanism(name).module for name in files]
    assert len(set(classes)) == len(files)


def test_names_are_sorted_words_of_a_study():
    names = mechanism_names()
    assert list(names) == sorted(names)
    assert all(ModelSettings(name=name).name == name for name in names)


def test_names_are_known_without_torch():
    code = "import sys; from attnbench.models.names import model_names, short_name as short; "
    code += "assert all(map(short, model_names())) and 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ({"name": "unet"}, ()),
        ({"name": "cbam"}, ("cbam",)),
        ({"name": "u_transformer"}, ("cross_attention", "multi_head_self_attention")),
        (
            {"name": "mine", "slots": {"skip": ["scse", "attention_gate"], "decoder": "scse"}},
            ("attention_gate", "scse"),
        ),
    ],
)
def test_mechanisms_of_a_model_are_those_it_places(model, used):
    settings = ModelSettings.model_validate(model)
    settings = settings if settings.slots else named_model(settings.name)
    assert settings.mechanisms() == used


def test_what_is_read_from_a_file_is_what_it_registers():
    for name, facts in known_models().mechanisms.items():
        entry = get_mechanism(name)
        assert (facts.slots, facts.default, facts.finest, facts.deepest) == (
            entry.slots,
            entry.default,
            entry.finest,
            entry.deepest,
        )
        assert ("gamma0" in facts.lacks, "uniform" in facts.lacks) == (
            not entry.scale,
            not entry.logits,
        )
        assert short_name(name) == entry.short


def test_every_model_has_a_short_name_of_its_own():
    names = [short_name(name) for name in model_names()]
    assert len(set(names)) == len(names) and None not in names
    assert max(len(str(name)) for name in names) <= 20
    assert (short_name("unet"), short_name("mine")) == ("U-Net", None)


def test_words_of_models_are_unet_the_mechanisms_and_the_presets():
    assert model_names()[0] == "unet"
    assert set(model_names()) == {"unet", *mechanism_names(), *PRESETS}
    assert not set(PRESETS) & {"unet", *mechanism_names()}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_preset_builds_like_the_study_that_writes_it_out(name, ndim):
    slots = {slot: list(names) for slot, names in PRESETS[name].slots.items()}
    content = {"name": "s", "datasets": ["phantom2d"]}
    study = check_study({**content, "models": ["unet", name, {"name": "mine", "slots": slots}]})
    assert study.model(name).slots == study.model("mine").slots != {}
    assert named_model(name) == study.model(name)
    network = build_model(name, ndim, in_channels=1, classes=3, widths=(16, 32, 64))
    assert network(torch.randn(1, 1, *(9, 14, 10)[:ndim])).shape == (1, 3, *(9, 14, 10)[:ndim])


def test_u_transformer_has_self_attention_at_the_bottleneck_and_cross_attention_at_every_skip():
    network = build_model("u_transformer", 2, 1, 3, widths=(16, 32, 64))
    kinds = Counter(type(module).__name__ for module in network.modules())
    assert (kinds["MultiHeadSelfAttention"], kinds["CrossAttention"]) == (1, 2)
