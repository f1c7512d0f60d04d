"""Files in a study's folder that are of another study, whatever Snakemake knows of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.check import load_study
from attnbench.errors import AttnBenchError, DataError, listed
from attnbench.reporting.contents import figure_names
from attnbench.rerun import settings_of
from attnbench.shift.kinds import KINDS, requested_kinds
from attnbench.study.paths import STAGES, STUDY_OF_JOB
from attnbench.training.stamp import Stamp, identities, read_facts

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study


@dataclass(frozen=True)
class Job:
    """A job of a study as far as settings decide it: its log, and a file that it leaves."""

    verb: str
    log: Path
    file: Path
    dataset: str = ""
    model: str = ""
    artefact: str = ""
    seed: str = ""


def outdated_files(study: Study, planned: Path) -> dict[Path, str]:
    """Find files that were made by other settings than those of the study; why, by file.

    Of a training, `run.json` says its recipe. Of all else, the job's log says under which study it
    ran: where that has other settings for the job, its file is another's. Files of which nobody
    knows are taken for those of the study, which jobs find at `planned`.
    """
    runs = [*study.trainings(), *study.data_efficiency_runs()]
    own, others = _settings_in(study), cache(_settings_at)
    found: dict[Path, str] = {}
    for run, identity in identities(study, runs).items():
        path = study.layout.run(run) / STAGES["train"]
        if path.exists() and (why := _of_another(path, identity)):
            found[path] = why
    for job in jobs_of(study):
        if job.file.exists() and (stated := study_of_log(job.log)) not in (None, planned):
            other = others(stated)
            if other and other(job) != own(job):
                found[job.file] = "by other settings"
    return found


def warned_of(study: Study, planned: Path) -> list[Path]:
    """Say on standard error which files are of another study; return them, to be made again."""
    found = outdated_files(study, planned)
    folder = study.layout.output
    for why in dict.fromkeys(found.values()):
        names = [path.relative_to(folder) for path, reason in found.items() if reason == why]
        print(
            f"warning: made again, as {folder} has them {why} than this study: "
            f"{listed(names, 5)}; to keep both, give this study another `output`",
            file=sys.stderr,
        )
    return list(found)


def study_of_log(path: Path) -> Path | None:
    """The study that a job ran under, by its log; None where the log is missing or does not say."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            line = stream.readline(4096).rstrip("\n")
    except OSError:
        return None
    return Path(line.removeprefix(STUDY_OF_JOB)) if line.startswith(STUDY_OF_JOB) else None


def jobs_of(study: Study) -> Iterator[Job]:
    """Yield the jobs of a study that settings decide; trainings left out."""
    layout = study.layout
    for name in (one.name for one in study.datasets):
        yield Job(
            "prepare", layout.log(f"prepare/{name}"), layout.prepared(name) / "cases.csv", name
        )
    for name in (one.name for one in study.trained_datasets):
        yield Job("folds", layout.log(f"folds/{name}"), layout.folds(name), name)
        rated = layout.log(f"second_rater/{name}")
        yield Job("score_second_rater", rated, layout.second_rater(name), name)
        for model in (one.name for one in study.trained_models):
            of = f"{name}/{model}"
            yield Job(
                "describe", layout.log(f"describe/{of}"), layout.model(name, model), name, model
            )
            measured = layout.measured(name, model)
            yield Job("measure", layout.log(f"measure/{of}"), measured, name, model)
            together = layout.ensemble(name, model)
            yield Job("score_ensemble", layout.log(f"score_ensemble/{of}"), together, name, model)
    yield from _of_sweep(study)
    for run in [*study.runs(), *study.data_efficiency_runs()]:
        yield from _of_run(study, run)
    for kind in requested_kinds(study):
        table = layout.shift(kind)
        yield Job("gather_shift", layout.log(f"gather/{kind}"), table, artefact=kind)
        for run in KINDS[kind].runs(study) if KINDS[kind].module else ():
            log, file = layout.log(f"score_shift/{kind}/{run}"), layout.run(run) / f"{kind}.csv"
            yield Job("score_shift", log, file, run.dataset, run.model, kind)
    yield Job("gather", layout.log("gather"), layout.scores)
    yield Job("analyse", layout.log("analyse"), layout.analysis / "cases.csv")
    for name in figure_names(study):
        drawn = layout.figures / f"{name}.png"
        yield Job("figure", layout.log(f"figure/{name}"), drawn, artefact=name)
    yield Job("tables", layout.log("tables"), layout.tables / "comparison.csv")
    yield Job("export", layout.log("export"), layout.methods)
    yield Job("report", layout.log("report"), layout.report)


def _of_run(study: Study, run: Run) -> Iterator[Job]:
    layout = study.layout
    if run.model in study.elsewhere:
        log, file = layout.log(f"score_external/{run}"), layout.run(run) / STAGES["score"]
        fold, seed = str(run.fold), str(run.seed)
        yield Job("score_external", log, file, run.dataset, run.model, fold, seed)
        return
    for verb in ("predict", "score"):
        log, file = layout.log(f"{verb}/{run}"), layout.run(run) / STAGES[verb]
        yield Job(verb, log, file, run.dataset, run.model)


def _of_sweep(study: Study) -> Iterator[Job]:
    layout, numbers = study.layout, range(len(study.training.trials()))
    first = (run for run in study.trainings() if run.seed == study.seeds[0])
    for dataset, model, fold in ((run.dataset, run.model, run.fold) for run in first if numbers):
        of = f"{dataset}/{model}/fold{fold}"
        chosen = layout.choice(dataset, model, fold)
        yield Job("choose", layout.log(f"choose/{of}"), chosen, dataset, model)
        for number in numbers:
            log = layout.log(f"trial/{of}-{number}")
            file = layout.trial(dataset, model, fold, number)
            yield Job("trial", log, file, dataset, model, str(number))


def _of_another(path: Path, identity: Stamp) -> str:
    """Why a `run.json` is not that of a run of the study; empty where it is."""
    try:
        stated = read_facts(path)
    except DataError:
        return "unreadable"
    return "" if identity.items() <= stated.items() else "by another recipe"


def _settings_at(path: Path) -> Callable[[Job], Any] | None:
    """`_settings_in` the study at a path; None where it is gone, or of other code or version."""
    try:
        return _settings_in(load_study(path))
    except (AttnBenchError, OSError):
        return None


def _settings_in(study: Study) -> Callable[[Job], Any]:
    """What decides a job in a study; the runs of a table are what it has rows of."""

    @cache
    def settings(verb: str, dataset: str, model: str, artefact: str, seed: str) -> Any:
        try:
            if verb == "gather":
                return [*map(str, study.runs())]
            if verb == "gather_shift":
                return [*map(str, KINDS[artefact].runs(study))]
            return settings_of(study, verb, dataset, model, artefact, seed)
        except AttnBenchError:
            return None

    return lambda job: settings(job.verb, job.dataset, job.model, job.artefact, job.seed)
