"""Scores of all runs beside their own test folds: one table of the study per kind of shift."""

from __future__ import annotations

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
    files = ((run, layout.run(run) / kind.files[0]) for run in kind.runs(study))
    return join_scores(layout.shift(name), kind.columns, files, kind.facts)
