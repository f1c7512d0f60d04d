"""What is done in a study's folder before the first job: the study is written, left-overs go."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from attnbench.disk.room import refuse_too_little
from attnbench.errors import DiskError, LockError
from attnbench.files import sweep, update_text
from attnbench.locks import holder_of
from attnbench.upkeep.outdated import study_of_log
from attnbench.workflow import hold

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.paths import Layout
    from attnbench.study.settings import Study

_QUEUED_S = 30 * 86400.0  # for which a job may wait in the queue of a scheduler
log = logging.getLogger("attnbench")


def lock_output(study: Study, refusal: type[Exception]) -> None:
    """Lock a study's folder until this process ends; where another has it, raise `refusal`."""
    try:
        hold(study.layout.lock, f"Snakemake on the study {study.name}")
    except LockError as error:
        raise refusal(str(error)) from None


def look_for_room(study: Study, cores: int | None, refusal: type[Exception]) -> None:
    """Warn where the disk may be too small for a study; where it clearly is, raise `refusal`."""
    try:
        for line in refuse_too_little(study, cores):
            print(f"warning: {line}", file=sys.stderr)
    except DiskError as error:
        raise refusal(str(error)) from None


def begin(study: Study, planned: Path) -> None:
    """Write the study for its jobs and for people; remove what dead writers left.

    Under the lock of the output folder.

    Args:
        study: that was planned.
        planned: the file that its jobs will read.
    """
    for path in sweep(study.layout.output):
        log.info("%s: left by a process that was ended, removed", path)
    text = study.to_yaml()
    update_text(planned, text)
    os.utime(planned)  # a study of months ago may be planned again
    update_text(study.layout.study, text)
    _forget_others(study.layout, planned)


def at_work_lines(study: Study) -> list[str]:
    """Return a line on who works in the study's folder now, if anybody does."""
    found = holder_of(study.layout.lock)
    at_work = [found[0]] if found and found[1] else []
    return [f"{study.layout.output} is in use by {holder}" for holder in at_work]


def _forget_others(layout: Layout, planned: Path) -> None:
    """Remove planned studies that no file is of any more, and no job in a queue can be."""
    before = time.time() - _QUEUED_S
    others = {
        path.name: path
        for path in planned.parent.glob("*.yaml")
        if path.name != planned.name and path.stat().st_mtime < before
    }
    if others:
        logs = [*layout.log("x").parent.rglob("*.log"), *(layout.output / "runs").rglob("*.log")]
        needed = {found.name for path in logs if (found := study_of_log(path))}
        for name in others.keys() - needed:
            others[name].unlink(missing_ok=True)
