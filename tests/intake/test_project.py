"""`attnbench init`: a folder whose study is accepted as it is, and that is never written over."""

import subprocess
from pathlib import Path

import pytest
import yaml

from attnbench.check import load_study
from attnbench.errors import StudyError
from attnbench.intake.project import write_project

GATE = """
from torch import nn

class MyGate(nn.Module):
    def __init__(self, channels, ndim, gate_channels):
        super().__init__()

    def forward(self, x, gate):
        return x
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_the_study_is_valid_and_names_the_model_that_it_is_for(tmp_path, monkeypatch):
    said = write_project(tmp_path / "a b", GATE)
    assert names(tmp_path / "a b") == {
        "my_study.yaml",
        "README.md",
        ".gitignore",
        "my_attention.py",
    }
    monkeypatch.chdir(tmp_path / "a b")
    assert f"cd '{tmp_path / 'a b'}'" in said
    study = load_study(Path("my_study.yaml"))
    assert {"unet", "mine", "mine-parameters", "mine-flops"} <= {one.name for one in study.models}
    assert (tmp_path / "a b/my_attention.py").read_text() == GATE


def test_every_key_of_the_study_is_explained(tmp_path):
    write_project(tmp_path)
    text = (tmp_path / "my_study.yaml").read_text()
    assert load_study(tmp_path / "my_study.yaml").name == "nuclei_mini"
    for key in yaml.safe_load(text).keys() - {"name", "datasets", "backbone", "folds", "training"}:
        line = next(line for line in text.splitlines() if line.startswith(f"{key}:"))
        assert "#" in line, key


def test_what_results_leave_behind_is_left_out_by_git_and_nothing_else(tmp_path):
    write_project(tmp_path)
    for name in ("results/nuclei_mini/report.html", ".snakemake/log/x.log", "my_sets/a.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    command = ["git", "status", "--short", "-uall"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    seen = {line.split()[-1] for line in run.stdout.splitlines()}
    assert seen == {".gitignore", "README.md", "my_study.yaml", "my_sets/a.yaml"}


@pytest.mark.parametrize("name", ["my_study.yaml", "README.md", ".gitignore", "my_attention.py"])
def test_a_folder_with_one_of_the_files_stays_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(StudyError, match="already; nothing was written") as refused:
        write_project(tmp_path, GATE)
    assert name in str(refused.value)
    assert names(tmp_path) == {name} and (tmp_path / name).read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "there").write_text("mine")
    with pytest.raises(StudyError, match="is a file"):
        write_project(tmp_path / "there")
