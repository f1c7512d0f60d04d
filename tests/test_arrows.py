"""The rooms of the package stand in one order, and an import only points back."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnbench.reporting.contents import FIGURES, TABLES

PACKAGE = Path(__file__).parents[1] / "src" / "attnbench"
ORDER = (
    "errors", "addresses", "encoding", "process", "full_disk", "files", "seals", "locks", "stops",
    "workflow", "study", "own", "catalog", "disk", "data", "intake", "models", "training",
    "scoring", "check", "inference", "shift", "analysis", "reporting", "sealing", "rerun",
    "upkeep", "api",
    "cli_options", "cli_dataset", "cli_metric", "cli_model", "cli_results", "cli_run",
    "cli_upkeep", "cli",
)  # fmt: skip
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
WITHOUT_TORCH = (
    "errors", "addresses", "encoding", "process", "full_disk", "files", "seals", "locks", "stops",
    "workflow", "study", "own", "catalog", "disk", "scoring", "check",
    "analysis", "reporting", "rerun", "upkeep", "api", "cli_options", "cli_dataset",
    "cli_metric", "cli_model",
    "cli_results", "cli_run", "cli_upkeep", "cli",
)  # fmt: skip
by_file = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


@by_file
def test_a_room_imports_only_rooms_before_it(path: Path):
    names = (name.split(".") for name in imported(path))
    rooms = {
        parts[1]
        for parts in names
        if parts[0] == "attnbench" and len(parts) > 1 and parts[1] in ORDER
    }
    later = {name for name in rooms - {room(path)} if ORDER.index(name) >= ORDER.index(room(path))}
    assert later == set()


@by_file
def test_yaml_is_read_by_study_and_catalog_only(path: Path):
    assert "yaml" not in packages(path) or room(path) in {"study", "catalog"}


@by_file
def test_no_file_imports_snakemake(path: Path):
    assert "snakemake" not in packages(path)


@by_file
def test_addresses_are_known_to_the_catalog_only(path: Path):
    addresses = re.findall(r"https?://\w[^\s\"']*", path.read_text(encoding="utf-8"))
    assert addresses == [] or room(path) == "catalog"


def loaded_by(modules: list[str]) -> str:
    """Names of everything that Python has loaded once `modules` are imported."""
    imports = "".join(f"importlib.import_module({name!r})\n" for name in modules)
    script = f"import sys, importlib\n{imports}print(*sys.modules)"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_rooms_that_do_not_compute_networks_run_without_torch():
    modules = [
        ".".join(("attnbench", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path in SOURCES
        if room(path) in WITHOUT_TORCH
    ]
    assert "torch" not in loaded_by(modules).split()


def test_drawing_a_figure_does_not_load_what_computes_statistics():
    modules = [f"attnbench.reporting.figures.{spec.module}" for spec in FIGURES]
    modules += [f"attnbench.reporting.tables.{spec.module}" for spec in TABLES]
    assert "scipy" not in loaded_by(modules).split()


@pytest.mark.parametrize("heavy", ["torch", "pandas", "matplotlib", "medpy", "scipy", "numpy"])
def test_what_the_snakefile_imports_is_light(heavy: str):
    text = (PACKAGE.parents[1] / "Snakefile").read_text(encoding="utf-8")
    imports = re.findall(r"^from attnbench\S* import (?:\([^)]*\)|.*)$", text, re.MULTILINE)
    assert len(imports) > 3
    models = "'models': ['unet', 'attention_gate']"
    study = f"check_study({{'name': 'x', 'datasets': ['phantom2d'], {models}}})"
    script = "\n".join(
        [
            *imports,
            f"study = {study}",
            "rerun.code('train', study.model('attention_gate'))",
            "import sys",
        ]
    )
    found = subprocess.run(
        [sys.executable, "-c", f"{script}\nprint({heavy!r} in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "False"
