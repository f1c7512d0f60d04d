"""Own code: found without being run, known by what it means, refused once it has changed."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.check import check_study
from attnbench.errors import OwnCodeError, StudyError
from attnbench.own import fingerprint, imported_modules, load, locate

GATE = '''
import torch
from torch import nn
from layers_beside import squash

class MyGate(nn.Module):
    """Weighs the skip."""
    def __init__(self, channels, ndim, gate_channels):
        super().__init__()
        self.conv = {2: nn.Conv2d, 3: nn.Conv3d}[ndim](channels, 8, 1)  # width

    def forward(self, x, gate):
        return x * squash(self.conv(x).mean(1, keepdim=True))
'''
BESIDE = "import torch\ndef squash(x): return torch.sigmoid(x)\n"
REFERENCE = "./my_attention.py:MyGate"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_attention.py").write_text(GATE)
    (tmp_path / "layers_beside.py").write_text(BESIDE)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("my_attention.py", "channels, 8, 1", "channels, 12, 1", True),
        ("my_attention.py", "# width", "# the width of the gate", False),
        ("my_attention.py", "Weighs the skip.", "Weighs what comes over the skip.", False),
        ("layers_beside.py", "sigmoid(x)", "tanh(x)", True),
        ("layers_beside.py", "import torch\n", "import torch\n\n\n", False),
    ],
)
def test_a_fingerprint_is_that_of_what_the_code_means(folder, file, old, new, counts):
    before = fingerprint(REFERENCE)
    edit(folder / file, old, new)
    assert (fingerprint(REFERENCE) != before) is counts


def test_a_fingerprint_does_not_depend_on_the_folder(folder, tmp_path_factory, monkeypatch):
    before = fingerprint(REFERENCE)
    other = tmp_path_factory.mktemp("other")
    for path in folder.glob("*.py"):
        (other / path.name).write_text(path.read_text())
    assert fingerprint(f"{other}/my_attention.py:MyGate") == before


def test_a_package_is_followed_from_its_init_to_where_a_class_is_defined(folder):
    package = folder / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("from .gates import MyGate as Gate\n")
    (package / "gates.py").write_text("from .parts import width\nclass MyGate: ...\n")
    (package / "parts.py").write_text("width = 8\n")
    (package / "unused.py").write_text("width = 9\n")
    found = locate("my_package.Gate")
    assert (found.path, found.node.name) == (package / "gates.py", "MyGate")
    before = fingerprint("my_package.Gate")
    edit(package / "unused.py", "9", "10")
    assert fingerprint("my_package.Gate") == before
    edit(package / "parts.py", "8", "9")
    assert fingerprint("my_package.Gate") != before


def test_installed_packages_count_by_their_version_and_ours_are_named(folder, monkeypatch):
    (folder / "mine.py").write_text(
        "import yaml, torch\nfrom attnbench.models.layers import conv1x1\nclass A: ...\n"
    )
    assert imported_modules("./mine.py:A") == ("attnbench.models.layers",)
    real, before = importlib.metadata.version, fingerprint("./mine.py:A")
    for package, counts in (("torch", False), ("numpy", False), ("yaml", True)):
        newer = {package: "99", {"yaml": "PyYAML"}.get(package, package): "99"}
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name, of=newer: of.get(name) or real(name)
        )
        assert (fingerprint("./mine.py:A") != before) is counts


def test_planning_runs_no_own_code(folder):
    (folder / "my_attention.py").write_text(f"raise SystemExit('it ran')\n{GATE}")
    script = (
        "from attnbench.check import check_study\n"
        f"model = {{'name': 'mine', 'slots': {{'skip': '{REFERENCE}'}}}}\n"
        "study = {'name': 'x', 'datasets': ['phantom2d'], 'models': ['unet', model]}\n"
        "check_study(study)\nimport sys\nprint('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (found.stdout.strip(), found.stderr) == ("False", "")


def test_code_that_has_changed_since_planning_is_refused(folder):
    source = fingerprint(REFERENCE)
    assert load(REFERENCE, source).__name__ == "MyGate"
    edit(folder / "my_attention.py", "8", "12")
    with pytest.raises(OwnCodeError, match="has changed since this study was planned"):
        load(REFERENCE, source)
    assert load(REFERENCE)(4, 2, 4).conv.out_channels == 12


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("./absent.py:MyGate", "no file"),
        ("./my_attention.py:MyGaet", "did you mean 'MyGate'"),
        ("nowhere_at_all.Gate", "there is no module 'nowhere_at_all'"),
        ("./broken.py:Gate", "no Python that can be read"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(folder, reference, said):
    (folder / "broken.py").write_text("class Gate(:\n")
    model = {"name": "mine", "slots": {"skip": reference}}
    with pytest.raises(StudyError, match=said):
        check_study({"name": "x", "datasets": ["phantom2d"], "models": ["unet", model]}, "my.yaml")


@pytest.mark.parametrize("reference", ["os.system", "subprocess.run", "shutil.rmtree"])
def test_the_standard_library_is_never_called(reference):
    with pytest.raises(OwnCodeError, match="standard library"):
        load(reference)


def test_recipes_have_the_fingerprint_and_a_written_study_keeps_it(folder):
    content = {
        "name": "x",
        "datasets": ["phantom2d"],
        "models": ["unet", {"name": "mine", "slots": {"skip": REFERENCE}}],
        "controls": ["parameters"],
    }
    study = check_study(content)
    written = study.model_dump(mode="json")
    edit(folder / "layers_beside.py", "sigmoid", "tanh")
    changed, kept = check_study(content), check_study(written)
    for model in ("mine", "mine-parameters"):
        assert study.recipe("phantom2d", model) == kept.recipe("phantom2d", model)
        assert study.recipe("phantom2d", model) != changed.recipe("phantom2d", model)
    assert study.recipe("phantom2d", "unet") == changed.recipe("phantom2d", "unet")
