"""Kinds of shift: what a study may ask about its runs beside their own test folds.

A new kind is a study key (`study/settings.py`), a row here, a module of this room that scores a
run unless runs are scored as usual, a frame (`analysis/tables.py`) that `analysis/shift.py`
computes, and its figure or table (`reporting/contents.py` and a module). Verb, rule, gathering,
what is missing and the protocol follow from the row; a sentence for the methods stands in
`reporting/exports/methods.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.catalog import load_entry
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.study.paths import STAGES

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study


def _nothing(_study: Study, _dataset: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class ShiftKind:
    """One kind of shift; the study's table of its scores is `<name>.csv`.

    `key` is that of the study file, `runs` are those that it asks about, `absent_note` says in a
    few words what is missing. Runs are trained and scored as usual or, where `module`
    names one of this room, trained runs are scored by its `score_<name>(study, run)`, decided by
    the `settings` for a dataset and the prepared cases of the datasets that it `reads`. A run's
    scores are a CSV with `columns`; every row of the table also gets `facts` of its `run.json`.
    """

    name: str
    key: str
    runs: Callable[[Study], Iterable[Run]]
    absent_note: str
    module: str = ""
    settings: Callable[[Study, str], Any] = _nothing
    reads: Callable[[Study, str], Sequence[str]] = _nothing
    columns: tuple[str, ...] = SCORE_COLUMNS
    facts: tuple[str, ...] = ()

    def requested(self, study: Study) -> bool:
        """True where the study asks for this kind."""
        return bool(getattr(study, self.key))

    @property
    def steps(self) -> Mapping[str, str]:
        """Verbs from training to a run's scores, each with the file that it leaves behind."""
        own = {"train": STAGES["train"], "score_shift": f"{self.name}.csv"}
        return own if self.module else STAGES

    @property
    def added(self) -> tuple[str, ...]:
        """Columns that the table has beside those of scores."""
        return tuple(name for name in (*self.columns, *self.facts) if name not in SCORE_COLUMNS)

    @property
    def files(self) -> tuple[str, ...]:
        """Files of a run that the table is made from, the scores first."""
        scores = tuple(self.steps.values())[-1]
        return (scores, STAGES["train"]) if self.facts else (scores,)


def _classes_by_test_set(study: Study, dataset: str) -> dict[str, Any]:
    classes = load_entry(dataset).classes
    return {
        transfer.test: transfer.mapped(classes, load_entry(transfer.test).classes)
        for transfer in study.transfers_of(dataset)
    }


KINDS: dict[str, ShiftKind] = {
    kind.name: kind
    for kind in (
        ShiftKind(
            "transfer",
            key="transfer",
            runs=lambda study: (run for run in study.runs() if study.transfers_of(run.dataset)),
            absent_note="runs not scored on external test sets",
            module="transfer",
            settings=_classes_by_test_set,
            reads=lambda study, dataset: [item.test for item in study.transfers_of(dataset)],
            columns=(SCORE_COLUMNS[0], "test", *SCORE_COLUMNS[1:]),
        ),
        ShiftKind(
            "corrupted",
            key="corruptions",
            runs=lambda study: study.runs(),
            absent_note="runs not scored on corrupted images",
            module="corruption",
            settings=lambda study, _dataset: study.corruptions,
            columns=(*SCORE_COLUMNS, "corruption", "level"),
        ),
        ShiftKind(
            "data_efficiency",
            key="data_efficiency",
            runs=lambda study: study.data_efficiency_runs(),
            absent_note="runs on fewer training groups not finished",
            facts=("percent", "training_groups"),
        ),
    )
}
"""Every kind by name."""


def requested_kinds(study: Study) -> dict[str, ShiftKind]:
    """The kinds that a study asks for, by name."""
    return {name: kind for name, kind in KINDS.items() if kind.requested(study)}
