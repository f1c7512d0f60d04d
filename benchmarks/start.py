"""Row 7: the cost of a job before its useful work, in processes, beside `import torch`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.first_work import WORK
from benchmarks.record import Record, compare
from benchmarks.timing import finish_process, interleave

REPEATS = 3
STUDY = """
name: start
output: {folder}
datasets: [{{name: phantom2d, patch: [64, 64], batch: 2, steps: 2}}]
models: [unet, self_attention]
backbone: {{widths: [4, 8], blocks_per_level: 1}}
folds: {{outer: 2}}
"""
RUN = ("--model", "self_attention", "--fold", "0", "--seed", "0")


def row_7(_device: str) -> Iterator[Record]:
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder, "study.yaml")
        study.write_text(STUDY.format(folder=Path(folder, "results")), encoding="utf-8")
        dataset = ("--study", str(study), "--dataset", "phantom2d")
        for verb in ("fetch", "prepare", "folds"):
            _attnbench(verb, *dataset)
        for verb in ("train", "predict"):
            _attnbench(verb, *dataset, *RUN)
        works = {
            "torch": lambda: finish_process([sys.executable, "-c", "import torch, os; os._exit(0)"])
        }
        for verb in WORK:
            arguments = dataset + RUN[:2] if verb in ("measure", "describe") else dataset + RUN
            command = [sys.executable, "-m", "benchmarks.first_work", verb, *arguments]
            works[verb] = lambda command=command: finish_process(command)
        seconds = interleave(works, REPEATS)
    for verb in WORK:
        what = f"attnbench {verb}, until {WORK[verb].rpartition(':')[2]}"
        yield compare(7, what, "import torch", seconds[verb], seconds["torch"], "<= 1.3")


def _attnbench(*arguments: str) -> None:
    finish_process([sys.executable, "-m", "attnbench.cli", *arguments])
