"""The machines that runs were trained and predicted on: what is compared should be of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnbench.analysis.frames import of_rows
from attnbench.errors import DataError, listed
from attnbench.seals import read_seal
from attnbench.shift.kinds import requested_kinds
from attnbench.training.stamp import MACHINE, Stamp

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.study.settings import Study

_STAGES = {"training": "", "prediction": "predict_"}  # how the names of its facts begin
FACTS_IN_WORDS = {"device": "devices", "precision": "precisions", "torch": "versions of torch"}


def compute_machines(study: Study) -> pd.DataFrame:
    """What runs were trained and predicted on: rows of fact (device, precision, torch), stage,
    value and number of runs.

    Of a version of torch the part before `+` counts, which says nothing of the device.
    """
    # A run that was predicted for several tables counts once.
    seen: set[tuple[str, str, str, str]] = set()
    for job, stamp in _stamps(study):
        for stage, beginning in _STAGES.items():
            for fact in MACHINE:
                if value := stamp.get(f"{beginning}{fact}"):
                    seen.add((fact, stage, str(value).split("+")[0], job))
    counts = Counter((fact, stage, value) for fact, stage, value, _ in seen)
    stages = list(_STAGES)
    order = sorted(counts, key=lambda key: (MACHINE.index(key[0]), stages.index(key[1]), key[2]))
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
            said, facts = "; ".join(machines_in_words(rows)), FACTS_IN_WORDS[str(fact)]
            raise DataError(
                f"runs of different {facts} in one comparison: {said}. A difference of models "
                "could be one of machines: make the smaller part again on the machine of "
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
