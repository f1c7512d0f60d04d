"""What the analysis reads of a study: of this study, as it was left, and of one machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.frames import of_rows
from attnbench.errors import DataError, listed
from attnbench.scoring.gather import table_stamp
from attnbench.seals import read_seal, refuse_changed
from attnbench.shift.gather import shift_stamp
from attnbench.shift.kinds import requested_kinds
from attnbench.training.sealed import sealed_files
from attnbench.training.stamp import MACHINE, Stamp, refuse_other

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.study.settings import Study

STAGES_OF_MACHINES = {"training": "", "prediction": "predict_"}
"""Stages whose machine a stamp states, each with the beginning of the names of these facts."""
_READ = {"train": ("history.csv", "run.json"), "predict": ("calibration.csv", "gates.csv"),
         "score_external": ("run.json",)}  # fmt: skip
_WORDS = {"device": "devices", "precision": "precisions", "torch": "versions of torch"}


def refuse_foreign(study: Study) -> None:
    """Refuse tables of scores, and files of runs, that are not those of this study.

    Raises:
        SealError: a file that is there has changed since its job left it, has no seal, or is of
            another run, recipe, metric or question; with what to do.
    """
    layout = study.layout
    refuse_other_table(study, layout.scores, "gather", table_stamp(study))
    for name, kind in requested_kinds(study).items():
        refuse_other_table(study, layout.shift(name), f"gather/{name}", shift_stamp(study, kind))
    for run in study.runs():
        elsewhere = run.model in study.elsewhere
        for job in ("score_external",) if elsewhere else ("train", "predict"):
            there = [name for name in _READ[job] if (layout.run(run) / name).is_file()]
            if there:
                sealed_files(study, run, *there)


def refuse_other_table(study: Study, table: Path, job: str, expected: Stamp) -> None:
    """Refuse a table of scores that was not gathered from all the runs of this very study.

    A table that is not there is left to who reads it.

    Args:
        study: that of the reader.
        table: the file.
        job: that gathers it.
        expected: what its seal has to say.

    Raises:
        SealError: as `refuse_foreign`.
    """
    remedy = f"delete it and start Snakemake again, or `attnbench {_command(job)} --study STUDY`"
    if table.is_file():
        seal = refuse_changed(study.layout.seal(job), study.layout.output, [table], remedy)
        refuse_other(seal.stamp, expected, table, remedy)


def _command(job: str) -> str:
    return job.replace("gather/", "gather-shift ")


def compute_machines(study: Study) -> pd.DataFrame:
    """What runs were trained and predicted on: rows of fact (device, precision, torch), stage,
    value and number of runs.

    Of a version of torch the part before `+` counts, which says nothing of the device.
    """
    # A run that was predicted for several tables counts once.
    seen: set[tuple[str, str, str, str]] = set()
    for job, stamp in _stamps(study):
        for stage, beginning in STAGES_OF_MACHINES.items():
            for fact in MACHINE:
                if value := stamp.get(f"{beginning}{fact}"):
                    seen.add((fact, stage, str(value).split("+")[0], job))
    counts = Counter((fact, stage, value) for fact, stage, value, _ in seen)
    order = sorted(counts, key=lambda key: (MACHINE.index(key[0]), *key[:0:-1]))
    return of_rows("machines", [(*key, counts[key]) for key in order])


def refuse_mixed_machines(machines: pd.DataFrame, study: Study) -> None:
    """Refuse runs of several devices, precisions or versions of torch that nobody accepted.

    Args:
        machines: as of `compute_machines`.
        study: it has `analysis.accept_mixed`.

    Raises:
        DataError: which there are, with the number of runs of each, and what to do.
    """
    for fact, rows in machines.groupby("fact", sort=False):
        if len(set(rows["value"])) > 1 and fact not in study.analysis.accept_mixed:
            said = "; ".join(machines_in_words(rows))
            raise DataError(
                f"runs of different {_WORDS[str(fact)]} in one comparison: {said}. A difference "
                "of models could be one of machines: make the smaller part again on the machine of "
                "the others (`attnbench rerun STUDY --model M --fold K --seed S`, with `--from "
                "predict` where only predictions differ), or accept it by name, "
                f"`analysis: {{accept_mixed: [{fact}]}}`, which every table then says"
            )


def machines_in_words(rows: pd.DataFrame) -> Iterator[str]:
    """Yield for every stage the runs of each value: `training: 4 runs cpu, 2 runs cuda`."""
    for stage, own in rows.groupby("stage", sort=False):
        counted = zip(own["runs"], own["value"], strict=True)
        yield f"{stage}: " + listed([f"{number} runs {value}" for number, value in counted])


def _stamps(study: Study) -> Iterator[tuple[str, Stamp]]:
    """Stamps of all that is compared, each with what was trained or predicted: of scores where
    there are any, else of the training.
    """
    layout = study.layout
    for run in study.trainings():
        paths = [layout.seal(f"{job}/{run}") for job in ("score", "train")]
        yield from ((str(run), read_seal(path).stamp) for path in paths if path.is_file())
    for name, kind in requested_kinds(study).items():
        for run in kind.runs(study):
            job = f"score_shift/{name}/{run}" if kind.module else f"score/{run}"
            if kind.ensembled:
                job = f"score_ensemble/{run.dataset}/{run.model}"
            if (path := layout.seal(job)).is_file():
                yield (
                    f"{run.dataset}/{run.model}" if kind.ensembled else str(run),
                    read_seal(path).stamp,
                )
