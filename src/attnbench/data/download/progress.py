"""Progress of a download: a bar in a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attnbench.errors import listed

LINE_EVERY_S = 10.0
SHOWN_WAITING = 2
_log = logging.getLogger(__name__)


class Progress:
    """Counts what has arrived, told from any thread, and shows it."""

    def __init__(self, files: int, done: int, show: Callable[[Progress], None]) -> None:
        self.files, self.done, self.megabytes = files, done, 0.0
        self._show, self._lock = show, threading.Lock()
        self._under_way: dict[str, tuple[float, int]] = {}

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
    def waiting_for(self, address: str) -> Iterator[Callable[[int], None]]:
        """Count the bytes of one transfer by what is yielded, and know how long none has come."""
        had = 0

        def count(size: int) -> None:
            nonlocal had
            had += size
            self._under_way[address] = time.monotonic(), had
            self.transferred(size)

        self._under_way[address] = time.monotonic(), 0
        try:
            yield count
        finally:
            self._under_way.pop(address, None)

    def waits(self, least_s: float) -> str:
        """Say of which addresses no byte has come for `least_s` seconds; empty: of none."""
        now = time.monotonic()
        silent = {
            address: f"no byte from {address} for {now - since:.0f} s, {had} until then"
            for address, (since, had) in list(self._under_way.items())
            if now - since >= least_s
        }
        return listed(list(silent.values()), SHOWN_WAITING) if silent else ""


@contextmanager
def show_progress(
    title: str, files: int, done: int, every_s: float = LINE_EVERY_S
) -> Iterator[Progress]:
    """Show how many of `files` are there (`done` were before) and how much came in.

    Every `every_s` seconds a line says which transfers have been silent for as long.
    """
    if not sys.stderr.isatty():
        shown = Progress(files, done, _lines(title, every_s))
        with _said(title, shown, every_s, _log.info):
            yield shown
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
        shown = Progress(
            files, done, lambda now: bar.update(task, completed=now.done, megabytes=now.megabytes)
        )
        with _said(title, shown, every_s, lambda _, *words: bar.console.log(*words, markup=False)):
            yield shown


@contextmanager
def _said(
    title: str, progress: Progress, every_s: float, say: Callable[..., None]
) -> Iterator[None]:
    """Say from a thread of its own what is waited for: the others are waiting."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(every_s):
            if waits := progress.waits(every_s):
                say("%s: %s", title, waits)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _lines(title: str, every_s: float) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(now: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            _log.info("%s: %d of %d files, %.1f MB", title, now.done, now.files, now.megabytes)

    return show
