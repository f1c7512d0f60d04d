"""Scores of all runs beside their own test folds: one table of the study per kind of shift."""

from __future__ import annotations

from pathlib import Path

from attnbench.scoring.gather import join_scores
from attnbench.shift.score import requested_kind
from attnbench.study.paths import Run
from attnbench.study.settings import Study


def gather_shift(study: Study, name: str) -> tuple[Run, ...]:
    """Join one kind's scores of all finished runs into `<name>.csv`; return the missing runs.

    Raises:
        StudyError: the study does not ask for such a kind.
        DataError: no run has scores, or a file has other columns.
    """
    kind, layout = requested_kind(study, name), study.layout
    # The runs of an ensemble have one file together; its first run stands for it.
    files: dict[Path, Run] = {}
    for run in kind.runs(study):
        files.setdefault(kind.files(layout, run)[0], run)
    parts = ((run, path) for path, run in files.items())
    return join_scores(layout.shift(name), kind.columns, parts, kind.facts)
