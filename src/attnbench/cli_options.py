"""Options that several commands of the command line have, and how a command begins."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.errors import StudyError, listed
from attnbench.files import sha256_of
from attnbench.full_disk import look_in, said_of
from attnbench.locks import exclusive, job_lock
from attnbench.study.paths import STUDY_OF_JOB

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

# Commands that people type take the study either way; `study_file` joins the two.
StudyArgument = Annotated[
    Path | None, typer.Argument(metavar="STUDY", help="The study file (config.yaml).")
]
StudyOption = Annotated[Path | None, typer.Option("--study", help="The same, as an option.")]
StudyFile = Annotated[Path, typer.Option("--study", help="The study file.")]
Dataset = Annotated[str, typer.Option("--dataset", help="A dataset of the study.")]
Model = Annotated[str, typer.Option("--model", help="A model of the study.")]
Fold = Annotated[int, typer.Option("--fold", help="Outer fold, from 0.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the run.")]
Percent = Annotated[
    int, typer.Option("--percent", min=1, max=100, help="Share of the training groups.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes, at most.")]
Log = Annotated[
    Path | None, typer.Option("--log", help="Write what is printed to this file, with every step.")
]
Numbers = Annotated[str | None, typer.Option(metavar="LIST", help="To try, as 1-3,5.")]
Deviation = Annotated[
    float | None, typer.Option(min=0, help="Instead of what is estimated or assumed.")
]

DEFAULT_STUDY = Path("config.yaml")


class _Job:
    """The job that this process does: its lock, and whether another process was waited for."""

    lock = ExitStack()
    waited = False


_NAMED: list[Path] = []  # the study of this process


def with_study(text: str) -> str:
    """`text` with the study of this process in the place of the word STUDY, for what to type."""
    return re.sub(r"\bSTUDY\b", shlex.quote(str(_NAMED[-1])), text) if _NAMED else text


class _LogFile(logging.FileHandler):
    """A log that has no traceback per line on a full disk, which `cli.main` says once."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if error is None or said_of(error) is None:
            super().handleError(record)


def study_file(argument: Path | None, option: Path | None = None) -> Path:
    """The study that was named as argument or as option; without, that of the working directory.

    Raises:
        StudyError: two are named, there is no such file, or none is named and there is no
            `config.yaml`; with what can be done.
    """
    if argument and option and argument != option:
        raise StudyError(f"two studies, {argument} and --study {option}; name one")
    if study := argument or option:
        if not os.path.lexists(study):
            raise StudyError(f"{study}: no such study file (looked from {Path.cwd()})")
        _NAMED.append(study)
        return study
    if DEFAULT_STUDY.exists():
        _NAMED.append(DEFAULT_STUDY)
        return DEFAULT_STUDY
    beside = sorted(path.name for path in Path().glob("*.y*ml"))
    files = f"; YAML files here: {listed(beside)}" if beside else ""
    raise StudyError(
        f"no study was named, and {Path.cwd()} has no {DEFAULT_STUDY}{files}. Name one, as in "
        "`attnbench run my_study.yaml`; `attnbench init FOLDER` writes a first one"
    )


def start(study: Path, log: Path | None) -> Study:
    """Log to the terminal and, if asked, to a file, which alone gets single steps then; return
    the checked study.

    Who has a log is a job: while another process does the same job, this one waits. The log
    begins with the study's path.
    """
    from attnbench.check import load_study

    end_job()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    _log_to(handlers)
    if log:
        handlers[0].setLevel(logging.INFO)
        lock = exclusive(job_lock(log), f"the job of {log}")
        _Job.waited = _Job.lock.enter_context(lock)
        handlers.append(_LogFile(log, mode="w", encoding="utf-8"))
        _log_to(handlers)
        logging.getLogger("attnbench").debug("%s%s", STUDY_OF_JOB, study)
    _refuse_changed(study)
    loaded = load_study(study)
    look_in(loaded.layout.output, loaded.layout.downloads)
    if not _NAMED:
        _NAMED.append(loaded.layout.study)  # a job's own is named by its hash
    return loaded


def _refuse_changed(study: Path) -> None:
    """Raise `StudyError` where a planned study (`Layout.planned`) is not what its name says."""
    if study.parent.name == "studies" and re.fullmatch(r"[0-9a-f]{16}", study.stem):
        found = sha256_of(study)[:16] if study.is_file() else "no file"
        if found != study.stem:
            raise StudyError(
                f"{study}: not the study that was planned (its hash is {found}); start Snakemake "
                "again, which writes it"
            )


def end_job() -> None:
    """Give back the lock of the job that this process did."""
    _Job.lock.close()
    _Job.waited = False


def _log_to(handlers: list[logging.Handler]) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    logging.getLogger("attnbench").setLevel(logging.DEBUG)
    logging.captureWarnings(True)


@contextmanager
def at_work(study: Study, run: Run, verb: str) -> Iterator[bool]:
    """Hold the lock of a run's folder; yield whether another process had to be waited for, here or
    when the job began.
    """
    with exclusive(study.layout.lock_of(run), f"{verb} {run}") as waited:
        yield waited or _Job.waited
