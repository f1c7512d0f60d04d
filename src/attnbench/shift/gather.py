"""Scores of all runs beside their own test folds: one table of the study per kind of shift."""

from __future__ import annotations

from pathlib import Path

from attnbench.files import hash_of
from attnbench.scoring.gather import join_scores, table_stamp
from attnbench.scoring.rows import Tested
from attnbench.seals import write_seal
from attnbench.shift.kinds import ShiftKind
from attnbench.shift.score import requested_kind
from attnbench.shift.sealed import asked_of, check_shift
from attnbench.study.paths import Run
from attnbench.study.settings import Study


def gather_shift(study: Study, name: str) -> tuple[Run, ...]:
    """Join one kind's scores of all finished runs into `<name>.csv` and seal it; return the
    missing runs.

    Raises:
        StudyError: the study does not ask for such a kind.
        DataError: no run has scores, or a file has not exactly the rows that it should have.
        SealError: a file is not as its job left it, or that of another run, recipe or study.
    """
    kind, layout, tested = requested_kind(study, name), study.layout, Tested(study)
    # The runs of an ensemble have one file together; its first run stands for it.
    files: dict[Path, Run] = {}
    for run in kind.runs(study):
        files.setdefault(kind.files(layout, run)[0], run)
    parts = ((run, path) for path, run in files.items())
    missing = join_scores(
        layout.shift(name),
        kind.columns,
        parts,
        lambda run, path: check_shift(tested, kind, run, path),
        kind.facts,
    )
    stamp = shift_stamp(tested, kind)
    write_seal(layout.seal(f"gather/{name}"), layout.output, [layout.shift(name)], stamp)
    return missing


def shift_stamp(tested: Tested, kind: ShiftKind) -> dict[str, str]:
    """What a table of one kind belongs to: its runs as of `table_stamp`, and what was asked."""
    study = tested.study
    datasets = dict.fromkeys(run.dataset for run in kind.runs(study))
    asked = {dataset: asked_of(tested, kind, dataset) for dataset in datasets}
    # Where prepared data are gone, nobody knows what was asked of them.
    whole = {"asked_hash": hash_of(asked)} if all(asked.values()) else {}
    return {**table_stamp(study, kind.runs(study)), **whole}
