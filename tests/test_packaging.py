"""Versions, environments and generated files agree with each other."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import attnbench
from attnbench.study.settings import schema

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {
    canonicalize_name(line.split("==")[0]): line.split("==")[1]
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
}
ON_CONDA = {"pytorch-cpu": "torch", "pytorch-gpu": "torch", "snakemake-minimal": "snakemake"}
ON_CONDA |= {"matplotlib-base": "matplotlib"}
extras = PROJECT["optional-dependencies"]
REQUIRED = [Requirement(line) for line in PROJECT["dependencies"]]
OPTIONAL = [
    Requirement(line)
    for extra in ("test", "lint", "external", "browser", "dicom", "onnx")
    for line in extras[extra]
]


def conda(name: str) -> dict[str, str]:
    """Package to version in a conda environment, under the names of constraints.txt; without
    Python and pip.
    """
    lines = yaml.safe_load((ROOT / "envs" / name).read_text(encoding="utf-8"))["dependencies"]
    pairs = (line.split("=") for line in lines if line != "pip" and not line.startswith("python="))
    return {
        canonicalize_name(ON_CONDA.get(package, package)): version for package, version in pairs
    }


@pytest.mark.parametrize("requirement", [*REQUIRED, *OPTIONAL], ids=str)
def test_every_requirement_has_a_tested_version_in_its_range(requirement: Requirement):
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("name", ["cpu.yaml", "gpu.yaml"])
def test_conda_environments_carry_the_tested_versions(name: str):
    environment = conda(name)
    assert {package: PINS.get(package) for package in environment} == environment
    assert {canonicalize_name(requirement.name) for requirement in REQUIRED} <= environment.keys()


def test_the_schema_for_editors_is_current():
    """`make schema` writes it."""
    assert (
        json.loads((ROOT / "workflow/schemas/study.schema.json").read_text(encoding="utf-8"))
        == schema()
    )


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = re.findall(
        r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert attnbench.__version__ == PROJECT["version"] == citation["version"] == changes[0]


def test_make_help_names_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {line.split()[0] for line in shown.splitlines()} == phony


def test_ci_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert {"make test", "make test-report"} <= set(script.read_text(encoding="utf-8").splitlines())


def test_the_slurm_profile_replaces_the_default_one_whole():
    """It is given as `--workflow-profile`: what it does not repeat of the default profile would
    be lost.
    """
    default, slurm = (
        yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text(encoding="utf-8"))
        for name in ("default", "slurm")
    )
    assert default.keys() - {"cores"} <= slurm.keys()
    assert all(slurm[key] == default[key] for key in default.keys() - {"cores", "resources"})
