"""Kinds of shift: what a study may ask about its runs beside their own test folds.

A new kind is a study key, a row here, a frame in `analysis/tables.py` that `analysis/shift.py`
computes, and a figure and a table of it. Its runs, its table, the gathering, what is missing and
what is said about that follow from the row. A kind whose runs are scored by a verb of its own
also needs the module that scores a run, the verb in `cli.py` and its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.study.paths import STAGES

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study


@dataclass(frozen=True)
class ShiftKind:
    """One kind of shift; the study's table of its scores is `<name>.csv`.

    `requested` says whether a study asks for it, `runs` are those it asks about. `steps` are the
    verbs from training to a run's scores, each with the file that it leaves in the run's folder,
    the last being the scores: a CSV with `columns`. Every row of the table also gets `facts` of
    the run's `run.json`. `absent_note` says in a few words what is missing.
    """

    name: str
    requested: Callable[[Study], bool]
    runs: Callable[[Study], Iterable[Run]]
    steps: Mapping[str, str]
    absent_note: str
    columns: tuple[str, ...] = SCORE_COLUMNS
    facts: tuple[str, ...] = ()

    @property
    def added(self) -> tuple[str, ...]:
        """Columns that the table has beside those of scores."""
        return tuple(name for name in (*self.columns, *self.facts) if name not in SCORE_COLUMNS)

    @property
    def files(self) -> tuple[str, ...]:
        """Files of a run that the table is made from, the scores first."""
        scores = tuple(self.steps.values())[-1]
        return (scores, STAGES["train"]) if self.facts else (scores,)


KINDS: dict[str, ShiftKind] = {
    kind.name: kind
    for kind in (
        ShiftKind(
            "transfer",
            lambda study: bool(study.transfer),
            lambda study: (run for run in study.runs() if study.transfers_of(run.dataset)),
            {"train": STAGES["train"], "transfer": "transfer.csv"},
            "runs not scored on external test sets",
            columns=(SCORE_COLUMNS[0], "test", *SCORE_COLUMNS[1:]),
        ),
        ShiftKind(
            "corrupted",
            lambda study: bool(study.corruptions),
            lambda study: study.runs(),
            {"train": STAGES["train"], "corrupt": "corrupted.csv"},
            "runs not scored on corrupted images",
            columns=(*SCORE_COLUMNS, "corruption", "level"),
        ),
        ShiftKind(
            "data_efficiency",
            lambda study: bool(study.data_efficiency),
            lambda study: study.data_efficiency_runs(),
            STAGES,
            "runs on fewer training groups not finished",
            facts=("percent", "training_groups"),
        ),
    )
}


def requested_kinds(study: Study) -> dict[str, ShiftKind]:
    """The kinds that a study asks for, by name."""
    return {name: kind for name, kind in KINDS.items() if kind.requested(study)}
