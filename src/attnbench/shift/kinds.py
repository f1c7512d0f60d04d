"""Kinds of shift: what a study may ask about its runs beside their own test folds.

A new kind is a study key, a row here, a module that scores a run, and a frame of the analysis;
its runs, its table, its rules and what is said where it is missing follow from the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study


@dataclass(frozen=True)
class ShiftKind:
    """One kind: its `name` is that of the study's table `<name>.csv`, `requested` says whether a
    study asks for it, `runs` are those it asks about.

    `steps` are the verbs from training to the run's part of the table, each with the file that it
    leaves in the run's folder, the last being that part. `columns` are those that the joined table
    has beside those of scores. `absent_note` says in a few words what is missing.
    """

    name: str
    requested: Callable[[Study], bool]
    runs: Callable[[Study], Iterable[Run]]
    steps: Mapping[str, str]
    columns: tuple[str, ...]
    absent_note: str


def _transfer_runs(study: Study) -> Iterable[Run]:
    return (run for run in study.runs() if study.transfers_of(run.dataset))


_TRAIN = {"train": "run.json"}

KINDS: dict[str, ShiftKind] = {
    kind.name: kind
    for kind in (
        ShiftKind(
            "transfer",
            lambda study: bool(study.transfer),
            _transfer_runs,
            {**_TRAIN, "transfer": "transfer.csv"},
            ("test",),
            "runs not scored on external test sets",
        ),
        ShiftKind(
            "corrupted",
            lambda study: bool(study.corruptions),
            lambda study: study.runs(),
            {**_TRAIN, "corrupt": "corrupted.csv"},
            ("corruption", "level"),
            "runs not scored on corrupted images",
        ),
        ShiftKind(
            "data_efficiency",
            lambda study: bool(study.data_efficiency),
            lambda study: study.data_efficiency_runs(),
            {**_TRAIN, "predict": "predictions.npz", "score": "scores.csv"},
            ("percent", "training_groups"),
            "runs on fewer training groups not finished",
        ),
    )
}


def requested_kinds(study: Study) -> tuple[ShiftKind, ...]:
    """The kinds that a study asks for."""
    return tuple(kind for kind in KINDS.values() if kind.requested(study))
