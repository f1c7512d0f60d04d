"""A checkout of its own with a tiny study in it, run once; every test works on a copy."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "envs", "src")
TINY = """
name: tiny
datasets: [{name: phantom2d, size: [32, 32]}]
models: [unet, attention_gate]
backbone: {widths: [2, 4], blocks_per_level: 1}
folds: {outer: 2, inner: 2}
training: {steps: 3, batch: 2, patch_2d: [16, 16], validate_every: 2}
metrics: [dice, hd95]
analysis: {bootstrap: 200}
"""
# What a study must never inherit: with --configfile, the default study is not read.
DEFAULT = """
name: default
datasets: [phantom2d]
models: [unet]
seeds: [5, 6]
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository's parts that a run needs, with `tiny.yaml` and another
    `config.yaml`.
    """

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results" / "tiny"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """As in an activated environment, with the sources of this checkout."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the tiny study; standard output and error come back together."""
        return self.snakemake_on("--configfile", "tiny.yaml", *arguments)

    def snakemake_on(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule that a run would do now, `all` left out."""
        return jobs_in(self.snakemake("-n", *arguments))

    def copy(self, folder: Path) -> "Checkout":
        """The same state elsewhere, with all time stamps."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Checkout(folder)


def jobs_in(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    assert run.returncode == 0, run.stdout
    table = run.stdout.partition("Job stats:")[2].partition("total")[0]
    counts = {
        rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)
    }
    return {rule: count for rule, count in counts.items() if rule != "all"}


@pytest.fixture(scope="session")
def planned_by() -> Callable[[subprocess.CompletedProcess[str]], dict[str, int]]:
    """Jobs by rule that a dry run names, `all` left out."""
    return jobs_in


@pytest.fixture(scope="session")
def tiny() -> str:
    """The text of `tiny.yaml`."""
    return TINY


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Nothing has run yet."""
    folder = tmp_path_factory.mktemp("untouched")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(
                source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy2(source, folder / part)
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "config.yaml").write_text(DEFAULT)
    return Checkout(folder)


@pytest.fixture(scope="session")
def first_run(
    untouched: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, subprocess.CompletedProcess[str]]:
    checkout = untouched.copy(tmp_path_factory.mktemp("finished"))
    run = checkout.snakemake()
    assert run.returncode == 0, run.stdout
    return checkout, run


@pytest.fixture
def finished(
    first_run: tuple[Checkout, subprocess.CompletedProcess[str]], tmp_path: Path
) -> Checkout:
    """A copy of the finished study, to be changed at will."""
    return first_run[0].copy(tmp_path / "checkout")
