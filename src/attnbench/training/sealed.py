"""Files of a run under the seals of its jobs: whoever reads one asks here whether it is that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnbench.errors import SealError
from attnbench.files import hash_of
from attnbench.seals import Seal, refuse_changed, write_seal
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.stamp import Stamp, identity, read_facts, refuse_other

FILES: Mapping[str, tuple[str, ...]] = {
    "train": ("model.pt", "history.csv", "run.json"),
    "predict": ("predictions.npz", "calibration.csv", "gates.csv"),
    "score": ("scores.csv",),
    "score_external": ("predictions.npz", "scores.csv", "run.json"),
}
"""What every job of a run leaves in the run's folder; `score_shift/<kind>` leaves `<kind>.csv`."""


def job_of(study: Study, run: Run, name: str) -> str:
    """The job that leaves a file of this name in the folder of a run."""
    if run.model in study.elsewhere:
        return "score_external"
    jobs = (job for job, names in FILES.items() if name in names)
    return next(jobs, f"score_shift/{Path(name).stem}")


def settings_of(study: Study, job: str) -> dict[str, str]:
    """Hashes of the settings of a study, beside the recipe, that decide what a job leaves."""
    groups: dict[str, set[str]] = {}
    if job != "train" and job != "score_external":
        groups["inference_hash"] = {"inference"}
    if job.startswith("score"):
        groups["scoring_hash"] = {"metrics", "own_metrics", "scoring"}
    return {
        name: hash_of(study.model_dump(mode="json", include=keys)) for name, keys in groups.items()
    }


def seal_run(study: Study, run: Run, job: str, stamp: Stamp, names: Sequence[str] = ()) -> None:
    """Seal what a job left in the folder of a run: the last thing that the job does.

    Args:
        study: that the run belongs to.
        run: whose folder the files lie in.
        job: a key of `FILES`, or `score_shift/<kind>`.
        stamp: what the files belong to; `settings_of` the job are added.
        names: of the files, by default those in `FILES`.
    """
    layout = study.layout
    files = [layout.run(run) / name for name in names or FILES[job]]
    content = {**stamp, **settings_of(study, job)}
    write_seal(layout.seal(f"{job}/{run}"), layout.output, files, content)


def sealed_files(
    study: Study, run: Run, *names: str, expected: Mapping[str, Any] | None = None
) -> Seal:
    """Refuse files of a run that are not those which its job left, for this very run and study.

    Args:
        study: that of the reader.
        run: whose files are about to be read.
        names: of files in the run's folder that one job left.
        expected: what the stamp has to say beside what the study says of it, such as hashes of
            the data; by default the `identity` of the run.

    Raises:
        SealError: a file is missing or not as its job left it, there is no seal, or it is that of
            another run, recipe or setting; with what to do.
    """
    layout, job = study.layout, job_of(study, run, names[0])
    files = [layout.run(run) / name for name in names]
    remedy = remedy_of(run, job)
    for file in files:
        if not file.is_file():
            raise SealError(f"{file}: no such file; {remedy}")
    seal = refuse_changed(layout.seal(f"{job}/{run}"), layout.output, files, remedy)
    expected = {**identity(study, run), **(expected or {}), **settings_of(study, job)}
    refuse_other(seal.stamp, expected, files[0], remedy)
    return seal


def facts_of_run(study: Study, run: Run) -> dict[str, Any]:
    """What the `run.json` of a run says.

    Raises:
        SealError: as `sealed_files`.
    """
    sealed_files(study, run, "run.json")
    return read_facts(study.layout.run(run) / "run.json")


def remedy_of(run: Run, job: str) -> str:
    """What makes the files of a job of a run again, as the end of a message."""
    if job.startswith("score_shift"):
        return f"delete {Path(job).name}.csv of this run and start Snakemake again"
    stage = {"train": "", "predict": " --from predict"}.get(job, " --from score")
    return (
        f"make it again: `attnbench rerun STUDY --dataset {run.dataset} --model {run.model}"
        f" --fold {run.fold} --seed {run.seed}{stage}`"
    )
