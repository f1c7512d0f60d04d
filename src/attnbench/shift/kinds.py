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

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.paths import Layout, Run
    from attnbench.study.settings import Study
    from attnbench.study.shift import TransferSettings


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
    Where the kind is `ensembled`, all runs of a model on a dataset have one such CSV together.
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
    ensembled: bool = False

    def requested(self, study: Study) -> bool:
        """True where the study asks for this kind of at least one run."""
        return bool(getattr(study, self.key)) and any(True for _ in self.runs(study))

    def steps(self, layout: Layout, run: Run) -> Mapping[str, Path]:
        """Verbs from training to a run's scores, each with the file that it leaves behind."""
        stages = layout.stages(run)
        if self.ensembled:
            scored = {"score_ensemble": layout.ensemble(run.dataset, run.model)}
        elif self.module:
            scored = {"score_shift": layout.run(run) / f"{self.name}.csv"}
        else:
            return stages
        return {"train": stages["train"], **scored}

    def files(self, layout: Layout, run: Run) -> tuple[Path, ...]:
        """Files that the table has a run's rows from, the scores first."""
        trained, *_, scores = self.steps(layout, run).values()
        return (scores, trained) if self.facts else (scores,)

    @property
    def table_columns(self) -> tuple[str, ...]:
        """Columns of the study's table."""
        return (*self.columns, *self.facts)


def _classes_by_test_set(study: Study, transfers: Iterable[TransferSettings]) -> dict[str, Any]:
    return {
        transfer.test: transfer.mapped(
            load_entry(transfer.train, study.catalog).classes,
            load_entry(transfer.test, study.catalog).classes,
        )
        for transfer in transfers
    }


KINDS: dict[str, ShiftKind] = {
    kind.name: kind
    for kind in (
        ShiftKind(
            "transfer",
            key="transfer",
            runs=lambda study: (
                run for run in study.trainings() if study.transfers_of(run.dataset)
            ),
            absent_note="runs not scored on external test sets",
            module="transfer",
            settings=lambda study, dataset: _classes_by_test_set(
                study, study.transfers_of(dataset)
            ),
            reads=lambda study, dataset: [item.test for item in study.transfers_of(dataset)],
            columns=(SCORE_COLUMNS[0], "test", *SCORE_COLUMNS[1:]),
        ),
        ShiftKind(
            "ensembles",
            key="transfer",
            runs=lambda study: (
                run for run in study.trainings() if study.ensembles_of(run.dataset)
            ),
            absent_note="runs whose ensemble is not scored",
            settings=lambda study, dataset: _classes_by_test_set(
                study, study.ensembles_of(dataset)
            ),
            reads=lambda study, dataset: [item.test for item in study.ensembles_of(dataset)],
            columns=("dataset", "test", "model", "members", *SCORE_COLUMNS[4:]),
            ensembled=True,
        ),
        ShiftKind(
            "held_out",
            key="held_out",
            runs=lambda study: (run for run in study.trainings() if run.dataset in study.held_out),
            absent_note="runs not scored on the held-out test set",
            module="held_out",
            reads=lambda _study, dataset: [dataset],
        ),
        ShiftKind(
            "corrupted",
            key="corruptions",
            runs=lambda study: study.trainings(),
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
