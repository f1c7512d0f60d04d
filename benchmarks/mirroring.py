"""`python -m benchmarks.mirroring`: what mirroring along each axis does to the U-Net.

On real sets whose images have an up and a down the U-Net is trained by the default recipe
without mirroring, then with mirroring along one axis at a time, at two budgets, and judged by the
Dice per class of the inner validation of the first fold; one seed. One row per training and class
goes to benchmarks/results/mirroring.csv. The catalog leaves out an axis that exchanges classes, or
that does harm here at both budgets (docs/decisions/mirroring.md).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from typing import Any

import torch

from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.study.settings import Study
from benchmarks.recipe import BUDGETS, rows_at, validation_dice
from benchmarks.timing import ROOT

ROWS = ROOT / "benchmarks" / "results" / "mirroring.csv"
COLUMNS = ("dataset", "mirrored", "steps", "class", "dice")
DATASETS: tuple[dict[str, Any], ...] = (
    {"name": "retina_drive", "size": [192, 192], "patch": [64, 64], "batch": 4},
    {"name": "us_usgra", "size": [96, 96], "patch": [96, 96], "batch": 2},
    {"name": "hippocampus", "patch": [24, 40, 24], "batch": 2},
)


def study_of(dataset: dict[str, Any], axes: tuple[int, ...], steps: int) -> Study:
    return check_study(
        {
            "name": "mirroring",
            "datasets": [dataset],
            "models": ["unet"],
            "backbone": {"widths": [8, 16, 32, 64]},
            "folds": {"outer": 4, "inner": 3},
            "output": str(ROOT / "results" / "mirroring"),
            "training": {
                "steps": steps,
                "validate_every": steps,
                "augmentation": {"flip": list(axes)},
            },
        }
    )


def trainings() -> Iterator[tuple[dict[str, Any], str, tuple[int, ...], int]]:
    """Dataset, the name of the mirrored axis, its number in a tuple, and the steps."""
    for dataset, steps in itertools.product(DATASETS, BUDGETS):
        names = load_entry(dataset["name"]).axes
        yield dataset, "none", (), steps
        for axis, name in enumerate(names):
            yield dataset, name, (axis,), steps


def main() -> None:
    torch.set_num_threads(1)
    done = {tuple(row[key] for key in COLUMNS[:3]) for row in rows_at(ROWS)}
    with ROWS.open("a", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        if not done:
            table.writerow(COLUMNS)
        for dataset, mirrored, axes, steps in trainings():
            if (dataset["name"], mirrored, str(steps)) in done:
                continue
            study = study_of(dataset, axes, steps)
            classes = load_entry(dataset["name"]).classes.values()
            for name, found in zip(classes, validation_dice(study, "unet"), strict=True):
                row = (dataset["name"], mirrored, steps, name, f"{found:.4f}")
                table.writerow(row)
                print(*row, flush=True)
            stream.flush()


if __name__ == "__main__":
    main()
