"""Progress of a download: a bar in a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0
_log = logging.getLogger(__name__)


class Progress:
    """Counts what has arrived, told from any thread, and shows it."""

    def __init__(self, files: int, done: int, show: Callable[[Progress], None]) -> None:
        self.files, self.done, self.megabytes = files, done, 0.0
        self._show, self._lock = show, threading.Lock()

    def transferred(self, count: int) -> None:
        """Count bytes that came in."""
        with self._lock:
            self.megabytes += count / 1e6
            self._show(self)

    def verified(self) -> None:
        """Count one more file that is there and right."""
        with self._lock:
            self.done += 1
            self._show(self)


@contextmanager
def show_progress(title: str, files: int, done: int) -> Iterator[Progress]:
    """Show how many of `files` are there (`done` were before) and how much came in."""
    if not sys.stderr.isatty():
        yield Progress(files, done, _lines(title))
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("files, {task.fields[megabytes]:.1f} MB"),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=files, completed=done, megabytes=0.0)
        yield Progress(
            files, done, lambda now: bar.update(task, completed=now.done, megabytes=now.megabytes)
        )


def _lines(title: str) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(now: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            _log.info("%s: %d of %d files, %.1f MB", title, now.done, now.files, now.megabytes)

    return show
