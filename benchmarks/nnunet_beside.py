"""`python -m benchmarks.nnunet_beside`: nnU-Net v2 as one more model in every table of a study.

nnU-Net's own code trains on the folds of a study of the hippocampus and predicts their test cases;
then Snakemake trains the study's own models for equally many steps and scores everybody's masks.
Trainings that are done are not repeated, so it may be interrupted. Training is brief: figures of
a thousand steps say that the way works, and nothing about nnU-Net.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from attnbench.check import load_study
from attnbench.files import write_json, write_text
from attnbench.study.settings import Study
from benchmarks.peers.nnunet_trained import PLAIN, Training
from benchmarks.timing import ROOT

DATASET, NUMBER = "hippocampus", 1
PATCH, BATCH, WIDTHS = (24, 40, 24), 2, (8, 16, 32, 64)
SEED = 0


def study_of(work: Path, steps: int, folds: int, mirror: str | None) -> dict[str, Any]:
    """The study: a U-Net, one variant and nnU-Net's predictions on the first `folds` of five."""
    return {
        "name": "nnunet_beside",
        "datasets": [{"name": DATASET, "patch": list(PATCH), "batch": BATCH}],
        "models": [
            "unet",
            "attention_gate",
            {
                "name": "nnunet",
                "predictions": {
                    "folder": f"{work}/nnunet/{{dataset}}-fold{{fold}}/{PLAIN}",
                    "origin": f"nnU-Net v2, 3d_fullres, {steps} steps on a CPU, with this study's "
                    "patch, batch and widths",
                },
            },
        ],
        "backbone": {"widths": list(WIDTHS)},
        "folds": {"outer": 5, "inner": 4, "run": list(range(folds))},
        "training": {"steps": steps, "validate_every": max(1, steps // 5)},
        "metrics": ["dice", "hd95"],
        "compute": {"device": "cpu", "threads": 1},
        "data": {"downloads": f"{work}/downloads"} | ({"mirror": mirror} if mirror else {}),
        "output": f"{work}/results",
    }


def snakemake(file: Path, *arguments: str) -> None:
    """Run Snakemake on the study in `file`; it prints the comparison where all is done."""
    subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "rules"),
            *("--configfile", str(file), "--", *arguments),
        ],
        cwd=ROOT,
        check=True,
    )


def attnbench(*arguments: str) -> None:
    """Run a command of this project."""
    subprocess.run([sys.executable, "-m", "attnbench.cli", *arguments], cwd=ROOT, check=True)


def train_nnunet(work: Path, study: Study, file: Path, fold: int) -> None:
    """Export the dataset, then train nnU-Net on a fold and predict its test cases."""
    raw = work / "raw" / f"Dataset{NUMBER:03d}_{DATASET}"
    if not raw.exists():
        attnbench("export-nnunet", "--study", str(file), "--dataset", DATASET, str(raw))
    out = work / "nnunet" / f"{DATASET}-fold{fold}"
    if (out / "facts.json").exists():
        return
    axes, steps = study.mirror_axes(DATASET, len(PATCH)), study.training.steps
    training = Training(
        str(raw), str(out), fold, steps, SEED, BATCH, PATCH, WIDTHS, mirror_axes=axes
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "training.json", asdict(training))
    subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.nnunet_trained", str(out / "training.json")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "nnunet_beside")
    parser.add_argument("--steps", type=int, default=1000, help="of every training")
    parser.add_argument("--folds", type=int, default=2, help="how many of the five")
    parser.add_argument("--mirror", help="of the data, where its origin cannot be reached")
    asked = parser.parse_args()
    work = asked.work.resolve()
    file = work / "study.yaml"
    work.mkdir(parents=True, exist_ok=True)
    content = study_of(work, asked.steps, asked.folds, asked.mirror)
    write_text(file, yaml.safe_dump(content, sort_keys=False))
    study = load_study(file)
    snakemake(file, str(study.layout.folds(DATASET)))
    for fold in study.folds_to_run(DATASET):
        train_nnunet(work, study, file, fold)
    snakemake(file)


if __name__ == "__main__":
    main()
