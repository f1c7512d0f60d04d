"""Row 8: planning up to 42,000 runs (`snakemake -n`), beside as many trivial jobs.

The study has 28 datasets (the entry of one phantom under 28 names, in a copy of the package),
100 models that put every mechanism into one slot, 5 folds and 3 seeds. The trivial workflow has
the same jobs: for every run a chain of three rules with one file between them, no parameters,
and as many single jobs as the study has besides.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice, product
from pathlib import Path

import yaml

from attnbench.models.attention import mechanism_names
from attnbench.models.registry import get_mechanism
from benchmarks.record import Record, compare
from benchmarks.timing import ROOT, Finished, alone

FOLDS, SEEDS = 5, 3
# Runs as datasets x models, and how often each is planned.
SIZES = ((2, 35, 3), (10, 35, 1), (28, 100, 1))
TRIVIAL = """
RUNS = [f"{{d}}-{{m}}-{{r}}" for d in range({datasets}) for m in range({models}) for r in range(15)]
rule all:
    input: expand("score/{{run}}", run=RUNS), expand("single/{{i}}", i=range({single}))
rule score:
    input: "predict/{{run}}"
    output: "score/{{run}}"
    shell: "touch {{output}}"
rule predict:
    input: "train/{{run}}"
    output: "predict/{{run}}"
    shell: "touch {{output}}"
rule train:
    output: "train/{{run}}"
    shell: "touch {{output}}"
rule single:
    output: "single/{{i}}"
    shell: "touch {{output}}"
"""


def row_8(_device: str) -> Iterator[Record]:
    for datasets, models, repeats in SIZES:
        runs = datasets * models * FOLDS * SEEDS
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = (
                write_study(Path(folder, "study"), datasets, models),
                Path(folder, "trivial"),
            )
            jobs = 3 * runs + _single_jobs(datasets, models)
            theirs.mkdir()
            content = TRIVIAL.format(
                datasets=datasets, models=models, single=_single_jobs(datasets, models)
            )
            (theirs / "Snakefile").write_text(content, encoding="utf-8")
            rounds = [(plan(ours), plan(theirs)) for _ in range(repeats)]
        what = f"snakemake -n of {runs:,} runs ({jobs:,} jobs)"
        first, second = ([pair[side].seconds for pair in rounds] for side in (0, 1))
        yield compare(8, what, "as many trivial jobs", first, second, "<= 1.5")
        first, second = ([pair[side].peak_bytes / 1e6 for pair in rounds] for side in (0, 1))
        yield compare(
            8,
            f"peak memory of it, {runs:,} runs",
            "as many trivial jobs",
            first,
            second,
            "<= 1.5",
            unit="MB",
        )


def write_study(folder: Path, datasets: int, models: int) -> Path:
    """Copy the workflow with `datasets` more phantoms in its catalog, and a study of them all."""
    for name in ("workflow", "src/attnbench"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    entries = folder / "src/attnbench/catalog/entries"
    phantom = (entries / "phantom2d.yaml").read_text(encoding="utf-8")
    names = [f"set{number:02}" for number in range(datasets)]
    for name in names:
        (entries / f"{name}.yaml").write_text(
            phantom.replace("name: phantom2d", f"name: {name}"), encoding="utf-8"
        )
    placed = islice(cycle(product(_placeable(), (0, 1, 2))), models - 1)
    variants = [
        {"name": f"m{number:02}", "slots": {"encoder": {"name": mechanism, "levels": [level]}}}
        for number, (mechanism, level) in enumerate(placed)
    ]
    study = {
        "name": "large",
        "datasets": names,
        "models": ["unet", *variants],
        "folds": {"outer": FOLDS},
        "seeds": list(range(SEEDS)),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return folder


def _placeable() -> list[str]:
    return [
        name
        for name in mechanism_names()
        if "encoder" in get_mechanism(name).slots and not get_mechanism(name).joint
    ]


def _single_jobs(datasets: int, models: int) -> int:
    """Number of jobs beside the three of every run.

    Three of a dataset, two of a dataset and model, and those of the study.
    """
    return 3 * datasets + 2 * datasets * models + 25


def plan(folder: Path) -> Finished:
    """Plan the workflow in `folder` as `snakemake -n` does, with the package that lies in it.

    Started from a small interpreter, so that the peak of memory is the planning's and not this
    process'.
    """
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "1",
        "--dry-run",
        "--quiet",
        "all",
        "--directory",
        str(folder),
    ]
    command += ["--snakefile", str(folder / "Snakefile"), "--workflow-profile", "none"]
    return Finished(
        *alone("benchmarks.timing:finish_process", command, {"PYTHONPATH": str(folder / "src")})
    )
