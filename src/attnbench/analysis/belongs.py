"""What the analysis reads of a study has to belong to it, and to be as its jobs left it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.scoring.gather import table_stamp
from attnbench.scoring.rows import Tested
from attnbench.seals import refuse_changed
from attnbench.shift.gather import shift_stamp
from attnbench.shift.kinds import requested_kinds
from attnbench.training.sealed import sealed_files
from attnbench.training.stamp import Stamp, refuse_other

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_READ = {"train": ("history.csv", "run.json"), "predict": ("calibration.csv", "gates.csv"),
         "score_external": ("run.json",)}  # fmt: skip


def refuse_foreign(study: Study) -> None:
    """Refuse tables of scores, and files of runs, that are not those of this study.

    Raises:
        SealError: a file that is there has changed since its job left it, has no seal, or is of
            another run, recipe, metric or question; with what to do.
    """
    layout, tested = study.layout, Tested(study)
    refuse_other_table(study, layout.scores, "gather", table_stamp(study))
    for name, kind in requested_kinds(study).items():
        refuse_other_table(study, layout.shift(name), f"gather/{name}", shift_stamp(tested, kind))
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
