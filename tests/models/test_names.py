"""The names of mechanisms are the files that define them."""

import subprocess
import sys
from pathlib import Path

import pytest

import attnbench.models
from attnbench.models.names import mechanism_names, mechanisms_of
from attnbench.models.registry import get_mechanism
from attnbench.study import ModelPart


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
    assert all(ModelPart(name=name).name == name for name in names)


def test_names_are_known_without_torch():
    code = (
        "import sys; from attnbench.models.names import mechanism_names as n; assert n() and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ({"name": "unet"}, ()),
        ({"name": "cbam"}, ("cbam",)),
        (
            {"name": "mine", "slots": {"skip": ["scse", "attention_gate"], "decoder": "scse"}},
            ("attention_gate", "scse"),
        ),
    ],
)
def test_mechanisms_of_a_model_are_those_it_places(model, used):
    assert mechanisms_of(ModelPart.model_validate(model)) == used
