"""Which job leaves which file of a study; whose the other files in its output folder are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.data.sealed import INSPECTED
from attnbench.sealing import jobs_after_data
from attnbench.shift.kinds import requested_kinds
from attnbench.training.sealed import FILES

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

# Written while jobs work, or by Snakemake: nothing is made from them.
_ASIDE = ("seals", "logs", "benchmarks", "studies")
_BESIDE_RUNS = ("train.log", "progress.csv", "checkpoint.pt", "predictions.removed")
_FOR_TENSORBOARD = "events.out.tfevents."


def runs_by_job(study: Study) -> dict[str, Run]:
    """The run of every job of the study that is about one run."""
    layout, elsewhere = study.layout, study.elsewhere
    runs = [*study.runs(), *study.data_efficiency_runs()]
    found: dict[str, Run] = {}
    for run in runs:
        jobs = ["score_external"] if run.model in elsewhere else ["train", "predict", "score"]
        found |= {f"{job}/{run}": run for job in jobs}
    for kind in requested_kinds(study).values():
        for run in kind.runs(study) if kind.module else ():
            name = kind.steps(layout, run)["score_shift"].stem
            found[f"score_shift/{name}/{run}"] = run
    return found


def files_by_job(study: Study) -> dict[str, list[Path]]:
    """What every job of a study leaves once all is done, by the name of its seal."""
    layout = study.layout
    names = [one.name for one in study.datasets]
    found: dict[str, list[Path]] = {}
    for name in names:
        found[f"inspect/{name}"] = [layout.inspected(name) / file for file in INSPECTED]
        found[f"prepare/{name}"] = [
            layout.prepared(name) / file
            for file in ("dataset.json", "cases.csv", "images.npy", "masks.npy")
        ]
        found[f"folds/{name}"] = [layout.folds(name), layout.statistics(name)]
    for job, run in runs_by_job(study).items():
        verb, shift = job.split("/")[:2]
        left = FILES.get(verb, (f"{shift}.csv",))
        found[job] = [layout.run(run) / file for file in left]
    found["gather"] = [layout.scores]
    kinds = requested_kinds(study)
    found |= {f"gather/{kind}": [layout.shift(kind)] for kind in kinds}
    for kind in kinds.values():
        for run in kind.runs(study) if kind.ensembled else ():
            ensemble = layout.ensemble(run.dataset, run.model)
            found[f"score_ensemble/{run.dataset}/{run.model}"] = [ensemble]
    return found | {job.name: job.leaves for job in jobs_after_data(study)}


def files_of_nobody(study: Study, known: Collection[Path]) -> Iterator[Path]:
    """Yield the files in the output folder that are not `known` and that no job writes aside.

    Originals are not among them: a folder of downloads may serve several studies.
    """
    layout = study.layout
    aside = {layout.output / name for name in _ASIDE} | {layout.downloads}
    beside = {layout.study, layout.provenance}
    for parent, folders, files in os.walk(layout.output):
        folder = Path(parent)
        # Hidden are locks, and files that are being written.
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and folder / name not in aside
        )
        for name in sorted(name for name in files if not name.startswith(".")):
            path = folder / name
            by_run = name in _BESIDE_RUNS or name.startswith(_FOR_TENSORBOARD)
            by_run &= folder.is_relative_to(layout.output / "runs")
            if path not in known and path not in beside and not by_run:
                yield path
