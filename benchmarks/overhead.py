"""Row 9: how much of a whole study is spent outside training steps.

Runs the default study into a temporary folder; `ATTNBENCH_STUDY_OUTPUT` names the folder of a
finished study that is reported too. Jobs count by Snakemake's own benchmark files. Every job
takes its threads for as long as it runs; what jobs take beside the training loops of `run.json`
is overhead, evaluation included: predictions, scores, measurements, figures and the report.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.record import Record
from benchmarks.timing import ROOT, finish_process

GOAL = "<= 0.25"


def row_9(device: str) -> Iterator[Record]:
    if device == "cuda":
        return
    finished = os.environ.get("ATTNBENCH_STUDY_OUTPUT")
    if finished:
        yield from _shares(Path(finished), None)
    with tempfile.TemporaryDirectory() as folder:
        study = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
        output, file = Path(folder, "output"), Path(folder, "study.yaml")
        file.write_text(yaml.safe_dump({**study, "output": str(output)}), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", "all", "--configfile", str(file)]
        yield from _shares(output, finish_process(command).seconds)


def _shares(output: Path, wall: float | None) -> Iterator[Record]:
    jobs = Counter[str]()
    for path in sorted((output / "benchmarks").rglob("*.tsv")):
        verb = path.relative_to(output / "benchmarks").parts[0].removesuffix(".tsv")
        with path.open(encoding="utf-8", newline="") as stream:
            jobs[verb] += sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))
    steps = sum(
        json.loads(path.read_text(encoding="utf-8"))["train_seconds"]
        for path in (output / "runs").rglob("run.json")
    )
    total = sum(jobs.values())
    share = 1 - steps / total
    most = ", ".join(f"{verb} {seconds:.0f} s" for verb, seconds in jobs.most_common(6))
    what = f"study {yaml.safe_load((output / 'study.yaml').read_text(encoding='utf-8'))['name']}"
    note = f"jobs {total:.0f} s, training loops {steps:.0f} s; most: {most}"
    yield Record(
        9, f"{what}: share outside training", "", share, None, "", share, share, share, GOAL, note
    )
    start = (jobs["train"] - steps) / total
    note = "process start, data, model and files of the jobs that train"
    yield Record(9, f"{what}: of it in training jobs", "", start, None, "", note=note)
    if wall:
        yield Record(9, f"{what}: wall time", "", wall, None, "s")
