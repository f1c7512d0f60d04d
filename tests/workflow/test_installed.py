"""The built wheel away from any checkout: what is in it, `attnbench run`, and use as a module."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parents[2]

COMMAND = Path(sys.executable).parent / "attnbench"
WORKFLOW = re.compile(r"(Snakefile|config\.yaml|(workflow|envs|profiles|studies)/.*)")
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]  # what is built changes it
build_meta.build_sdist(folder)
build_meta.build_editable(folder + "/editable")
"""


@dataclass(frozen=True)
class Built:
    checkout: Path
    tracked: list[str]
    wheel: Path


def built_wheel(source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    """The files that git knows, as they are here, with some that do not belong there; a wheel of
    them.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    checkout = tmp_path_factory.mktemp("checkout")
    for name in tracked:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    stale = checkout / "build/lib/attnbench/_workflow/workflow/rules/old.smk"
    for junk in ("workflow/.DS_Store", "workflow/rules/__pycache__/x.pyc", stale):
        (checkout / junk).parent.mkdir(parents=True, exist_ok=True)
        (checkout / junk).write_text("junk")
    return Built(checkout, tracked, built_wheel(checkout, tmp_path_factory.mktemp("wheel")))


def test_the_wheel_has_every_file_of_package_and_workflow_and_no_other(built):
    package = {name.removeprefix("src/") for name in built.tracked if name.startswith("src/")}
    workflow = {name for name in built.tracked if WORKFLOW.fullmatch(name)}
    assert len(package) > 100 and len(workflow) > 30
    assert names_in(built.wheel) == package | {f"attnbench/_workflow/{name}" for name in workflow}
    with zipfile.ZipFile(built.wheel) as archive:
        for name in workflow:
            content = archive.read(f"attnbench/_workflow/{name}")
            assert content == (ROOT / name).read_bytes(), name


def test_a_source_archive_builds_the_same_wheel_and_an_editable_one_has_no_workflow(
    built, tmp_path
):
    (tmp_path / "editable").mkdir()
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    run = subprocess.run(command, cwd=built.checkout, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    archive, editable = next(tmp_path.glob("*.tar.gz")), next(tmp_path.glob("editable/*.whl"))
    assert names_in(built_wheel(archive, tmp_path)) == names_in(built.wheel)
    with zipfile.ZipFile(editable) as content:
        assert not [name for name in content.namelist() if "_workflow" in name]


@pytest.fixture
def installed(built, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`attnbench` with the wheel's content, from folders with spaces, in no activated venv."""
    site = tmp_path / "site packages"
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(site)
    return at(site)


def at(site: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(
            entry
            for entry in os.environ["PATH"].split(os.pathsep)
            if not (Path(entry) / "attnbench").exists()
        )
        # The command is that of this environment; its package, and that of all jobs, is `site`'s.
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(site), **variables}
        return subprocess.run(
            [str(COMMAND), *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run


def test_jobs_run_below_the_working_directory_and_the_exit_status_is_passed_on(
    installed, tiny, tmp_path
):
    folder = tmp_path / "my work"
    folder.mkdir()
    # Names that would be imported in place of Python's own, or taken for a profile.
    (folder / "random.py").write_text("raise SystemExit('imported')")
    (folder / "default").mkdir()
    (tmp_path / "a study.yaml").write_text(tiny)
    before = set((tmp_path / "site packages").rglob("*"))
    words = ("run", "../a study.yaml", "--cores", "1", "--")
    target = "results/tiny/data/folds/phantom2d.json"
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = installed(folder, *words, target, **quiet)
    assert done.returncode == 0 and (folder / target).is_file(), done.stdout
    assert "GPU" not in done.stdout and "gpu=" in done.stdout  # of the default profile
    assert set((tmp_path / "site packages").rglob("*")) == before
    again = installed(folder, *words, target, **quiet)
    assert "Nothing to be done" in again.stdout
    refused = installed(folder, *words, "results/tiny/none.csv", **quiet)
    assert refused.returncode == 1 and "none.csv" in refused.stdout
    (tmp_path / "a study.yaml").write_text(tiny.replace("unet", "unte"))
    wrong = installed(folder, "run", "../a study.yaml", "--dry-run")
    assert wrong.returncode == 1 and "did you mean 'unet'" in wrong.stdout


def test_what_a_checkout_has_run_is_not_run_again_by_the_installed_package(
    finished, installed, planned_by
):
    run = installed(finished.folder, "run", "tiny.yaml", "--dry-run")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout, run.stdout
    changed = installed(
        finished.folder, "run", "tiny.yaml", "-n", "--", "--config", "analysis={bootstrap: 300}"
    )
    jobs = planned_by(changed)
    assert jobs["analyse"] == 1 and "train" not in jobs


def test_without_a_study_it_is_that_of_the_folder_or_says_what_to_do(
    installed, tiny, planned_by, tmp_path
):
    empty = installed(tmp_path, "run", "-n")
    assert empty.returncode == 1
    assert "no study was named" in empty.stdout and "attnbench init FOLDER" in empty.stdout
    assert installed(tmp_path, "init", "new study").returncode == 0
    folder = tmp_path / "new study"
    beside = installed(folder, "run", "-n")
    assert beside.returncode == 1 and "my_study.yaml" in beside.stdout
    assert planned_by(installed(folder, "run", "my_study.yaml", "-n"))["train"] == 15
    (folder / "config.yaml").write_text(tiny)
    assert planned_by(installed(folder, "run", "-n"))["train"] == 4
    assert planned_by(installed(folder, "run", "--", "-n"))["train"] == 4


OUTER = """
rule all:
    input:
        "largest.txt",

{hooks_before}

module attnbench:
    snakefile:
        {snakefile!r}
    config:
        config["study"]


use rule * from attnbench as {names}


rule largest:
    input:
        attnbench.layout.prepared("phantom2d") / "cases.csv",
    output:
        "largest.txt",
    shell:
        "wc -l < {{input}} > {{output}}"

{hooks_after}
"""
HOOK = "onstart:\n    print('the outer workflow starts')\n"


def outer(folder: Path, tiny: str, text: str, *words: str, **environment: str):
    folder.mkdir(exist_ok=True)
    (folder / "Snakefile").write_text(text)
    study = tiny.strip().replace("\n", "\n  ")
    (folder / "outer.yaml").write_text(f"study:\n  {study}\n")
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "outer.yaml", "--cores", "1", *words],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_another_workflow_takes_it_as_a_module(installed, tiny, planned_by, tmp_path):
    snakefile = installed(tmp_path, "run", "--where").stdout.strip()
    site = {"PYTHONPATH": str(tmp_path / "site packages")}
    assert Path(snakefile) == tmp_path / "site packages/attnbench/_workflow/Snakefile"

    def text(before: str = "", after: str = "", names: str = "their_*") -> str:
        return OUTER.format(
            snakefile=snakefile, names=names, hooks_before=before, hooks_after=after
        )

    folder = tmp_path / "outer"
    planned = outer(folder, tiny, text(), "-n", "their_all", **site)
    assert planned_by(planned)["their_train"] == 4
    assert not (folder / "results").exists()
    # Whichever comes first, the outer hook is called, and jobs find their study.
    first = outer(
        folder,
        tiny,
        text(before=HOOK),
        "--",
        "results/tiny/data/raw/phantom2d/receipt.json",
        **site,
    )
    assert first.returncode == 0, first.stdout
    assert first.stdout.count("the outer workflow starts") == 1
    (folder / "results/tiny/study.yaml").write_text("name: old")
    second = outer(folder, tiny, text(after=HOOK), **site)
    assert second.returncode == 0, second.stdout
    assert second.stdout.count("the outer workflow starts") == 1
    assert (folder / "results/tiny/study.yaml").read_text() != "name: old"
    assert int((folder / "largest.txt").read_text()) > 1


def test_the_outer_workflow_of_the_documentation_works(installed, tiny, planned_by, tmp_path):
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    site = {"PYTHONPATH": str(tmp_path / "site packages")}
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer/mine.yaml").write_text("study: {}")
    run = outer(tmp_path / "outer", tiny, example, "-n", **site)
    jobs = planned_by(run)
    assert (
        jobs["conclude"] == 1 and jobs["attnbench_tables"] == 1 and "attnbench_report" not in jobs
    )


def test_a_module_says_what_it_cannot_do(installed, tiny, tmp_path):
    snakefile = installed(tmp_path, "run", "--where").stdout.strip()
    site = {"PYTHONPATH": str(tmp_path / "site packages")}
    text = OUTER.format(snakefile=snakefile, names="x_*", hooks_before="", hooks_after="")
    moved = text.replace("    config:\n", '    prefix: "elsewhere"\n    config:\n')
    run = outer(tmp_path / "outer", tiny, moved, "-n", **site)
    assert run.returncode == 1 and "output: elsewhere/results/tiny" in run.stdout
    empty = text.replace('config["study"]', "{}")
    run = outer(tmp_path / "outer", tiny, empty, "-n", **site)
    assert run.returncode == 1 and "config of module attnbench" in run.stdout
    assert "Traceback" not in run.stdout


DEPLOYED = """
from snakemake.utils import min_version


min_version("6.10.0")


configfile: "config/config.yaml"


module bench:
    snakefile:
        {snakefile!r}
    config:
        config


use rule * from bench
"""


def test_what_snakedeploy_writes_makes_everything_by_default(installed, planned_by, tmp_path):
    """The form of its template; `config` is copied with links followed."""
    folder = tmp_path / "deployed"
    shutil.copytree(ROOT / "config", folder / "config")
    assert (folder / "config/config.yaml").read_text() == (ROOT / "config.yaml").read_text()
    root = Path(installed(tmp_path, "run", "--where").stdout.strip()).parent
    (folder / "Snakefile").write_text(DEPLOYED.format(snakefile=str(root / "workflow/Snakefile")))
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site packages")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    jobs = planned_by(run)
    assert jobs["train"] == 12 and jobs["report"] == 1
