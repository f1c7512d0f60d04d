"""Own mechanisms as readers and planning see them: labels, slots, and packages that bring some."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.models.names import facts_of, has_map, short_name
from attnbench.models.registry import get_mechanism
from attnbench.reporting.words import mechanism_labels
from attnbench.study.models import ModelSettings, Placement

GATE = """
import torch
from torch import nn
from attnbench.models.registry import mechanism

class Base(nn.Module):
    def __init__(self, channels, ndim, gate_channels):
        super().__init__()
        self.weigh = {2: nn.Conv2d, 3: nn.Conv3d}[ndim](channels, 1, 1)

    def attention_map(self, x, gate):
        return self.weigh(x).sigmoid()

    def forward(self, x, gate):
        return x * self.attention_map(x, gate)

@mechanism(default=("skip",), short="Packed gate")
class Gate(Base):
    pass

class Plain(Base):
    pass

class Open(nn.Module):
    def __init__(self, channels, ndim):
        super().__init__()

    def forward(self, x):
        return x
"""
ENTRY_POINTS = """
[attnbench.mechanisms]
packed = my_gates.gates:Gate
unplaced = my_gates.gates:Plain
cbam = my_gates.gates:Gate
absent = my_gates.nowhere:Gate
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gates.py").write_text(GATE)
    return tmp_path


def test_what_is_inherited_from_own_code_is_read_without_running_it(folder):
    for name, slots, mapped in (
        ("Gate", ("skip",), True),
        ("Plain", ("skip",), True),
        ("Open", ("encoder", "bottleneck", "skip", "decoder"), False),
    ):
        reference = f"./first/gates.py:{name}"
        assert facts_of(reference).slots == slots == get_mechanism(reference).slots
        model = ModelSettings(name="mine", slots={"skip": [Placement(name=reference)]})
        assert has_map(model) is mapped


def test_two_classes_of_one_name_are_told_apart_by_their_references(folder):
    first, second = "./first/gates.py:Plain", "./second/gates.py:Plain"
    assert short_name("./first/gates.py:Gate") == "Packed gate"
    assert mechanism_labels(["cbam", first]) == {"cbam": "CBAM", first: "Plain"}
    assert mechanism_labels([first, second]) == {
        first: "Plain (./first/gates.py:Plain)",
        second: "Plain (./second/gates.py:Plain)",
    }


@pytest.fixture
def command(tmp_path):
    """`attnbench` where a package is installed that brings mechanisms."""
    package, about = tmp_path / "site" / "my_gates", tmp_path / "site" / "my_gates-1.2.dist-info"
    for path in (package, about):
        path.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "gates.py").write_text(GATE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-gates\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    script = (
        f"import sys; sys.path.append({str(package.parent)!r}); from attnbench.cli import main; "
        "main()"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


def checked(command, tmp_path, *models):
    study = {"name": "x", "datasets": ["phantom2d"], "models": ["unet", *models]}
    (tmp_path / "x.json").write_text(json.dumps(study))
    return command("study", "check", "--light", "x.json")


def test_what_a_package_brings_is_a_model_by_its_name(command, tmp_path):
    listed = command("models", "--ndim", "2", "--json")
    (row,) = (row for row in json.loads(listed.stdout) if row["model"] == "packed")
    assert (row["slots"], row["year"]) == (["skip"], None)
    assert row["source"] == "my_gates.gates.Gate of my-gates"
    for name, why in (
        ("unplaced", "declares no default slot"),
        ("absent", "no module 'my_gates.nowhere'"),
        ("cbam", "a model of attnbench itself and my_gates.gates.Gate of my-gates"),
    ):
        (line,) = (line for line in listed.stderr.splitlines() if f"by its name: {name}," in line)
        assert why in line
    own = {"name": "mine", "slots": {"skip": "unplaced"}}
    found = checked(command, tmp_path, "packed", "packed-random", own)
    assert (found.returncode, found.stderr) == (0, "")
    assert "4 models" in found.stdout


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("cbam", "a model of attnbench itself and my_gates.gates.Gate of my-gates"),
        ("cbam-random", "a model of attnbench itself and my_gates.gates.Gate of my-gates"),
        ("unplaced", "slots: {skip: unplaced}"),
        ("absent", "there is no module 'my_gates.nowhere'"),
        ("pakced", "did you mean 'packed'"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_used(command, tmp_path, model, said):
    found = checked(command, tmp_path, model)
    assert found.returncode == 1
    assert said in found.stderr
    assert checked(command, tmp_path, "eca").returncode == 0


def test_our_own_page_lists_none_of_them(command):
    page = command("models", "--markdown")
    assert page.returncode == 0
    assert page.stdout == (Path(__file__).parents[2] / "docs" / "models.md").read_text()
