"""The scores of all runs beside their own test folds, in one table of the study for each kind of
shift.
"""

from __future__ import annotations

from collections.abc import Callable

from attnbench.errors import StudyError, nearest
from attnbench.files import read_json
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.gather import join_scores
from attnbench.shift.corruption import CORRUPTED_COLUMNS
from attnbench.shift.transfer import TRANSFER_COLUMNS
from attnbench.study.paths import Run
from attnbench.study.settings import Study


def gather_shift(study: Study, table: str) -> tuple[Run, ...]:
    """Join `transfer`, `corrupted` or `data_efficiency` of all finished runs into `<table>.csv`;
    return the missing runs.
    """
    if table not in study.shift_tables():
        asked = (
            nearest(table, study.shift_tables()) if study.shift_tables() else "it asks for no shift"
        )
        raise StudyError(f"the study has no table {table!r}; {asked}")
    return _GATHER[table](study)


def _transfer(study: Study) -> tuple[Run, ...]:
    runs = (run for run in study.runs() if study.transfers_of(run.dataset))
    files = ((run, study.layout.run(run) / "transfer.csv") for run in runs)
    return join_scores(study.layout.transfer, TRANSFER_COLUMNS, files)


def _corrupted(study: Study) -> tuple[Run, ...]:
    files = ((run, study.layout.run(run) / "corrupted.csv") for run in study.runs())
    return join_scores(study.layout.corrupted, CORRUPTED_COLUMNS, files)


def _data_efficiency(study: Study) -> tuple[Run, ...]:
    def groups(run: Run) -> int:
        return read_json(study.layout.run(run) / "run.json")["training_groups"]

    files = ((run, study.layout.run(run) / "scores.csv") for run in study.data_efficiency_runs())
    added: dict[str, Callable[[Run], int]] = {
        "percent": lambda run: run.percent,
        "training_groups": groups,
    }
    return join_scores(study.layout.data_efficiency, SCORE_COLUMNS, files, added)


_GATHER: dict[str, Callable[[Study], tuple[Run, ...]]] = {
    "transfer": _transfer,
    "corrupted": _corrupted,
    "data_efficiency": _data_efficiency,
}
