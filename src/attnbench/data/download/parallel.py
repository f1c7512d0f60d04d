"""A dataset's files from one source, several at a time, each verified before it gets its name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from attnbench.addresses import hide_secrets, shown, without_secrets
from attnbench.data.download.connection import TransferError
from attnbench.data.download.http import Patience, Wish
from attnbench.data.download.mirror import Source
from attnbench.data.download.progress import Progress
from attnbench.data.download.staged import STAGING, Staged, own_disk
from attnbench.data.download.transfer import obtain
from attnbench.data.download.unpack import ArchiveError, unpack
from attnbench.data.download.wanted import Wanted, mismatch
from attnbench.errors import AttnBenchError

AT_ONCE = 8
ENOUGH_FAILURES = 8


@dataclass(frozen=True)
class Failure:
    """A file that a source did not give, for a person to read; the address has no secrets."""

    item: Wanted
    address: str
    error: TransferError

    def __str__(self) -> str:
        return (
            f"{self.item.path}\n    expected: {self.item}\n    found:    {self.error.found}\n"
            f"    source:   {self.address}\n    to do:    {self.error.todo}"
        )


@dataclass(frozen=True)
class Download:
    """One download into `raw`; `came_from` gains the address of every verified file.

    A file or archive whose size nobody lists is stopped at `at_most` bytes.
    """

    raw: Path
    patience: Patience
    progress: Progress
    came_from: dict[str, str]
    at_most: int

    def take(self, source: Source, missing: Sequence[Wanted]) -> list[Failure]:
        """Bring the `missing` files from `source`; return what failed.

        A source that is dead or has failed eight times is left alone: the rest of its files stay
        missing.

        Raises:
            FetchError: this machine's disk does not take the files.
        """
        if source.archive is not None:
            return self._take_archive(source.archive, source, missing)
        stop = threading.Event()
        failures: list[Failure] = []

        def take_one(item: Wanted) -> None:
            if stop.is_set():
                return
            address = source.address(item.path)
            failure = self._failure(
                item, address, lambda: self._take_file(address, source, item, stop)
            )
            if failure:
                failures.append(failure)
                if failure.error.dead or len(failures) >= ENOUGH_FAILURES:
                    stop.set()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for _ in pool.map(take_one, missing):
                    pass
            finally:
                # After Ctrl-C, or where the disk is full, the others end as well.
                stop.set()
        return failures

    def _failure(self, item: Wanted, address: str, take: Callable[[], None]) -> Failure | None:
        """Take a file; whatever a source does wrong is its failure, and the next is tried."""
        where = shown(address)
        try:
            take()
        except TransferError as error:
            return Failure(item, where, error)
        except AttnBenchError:
            raise
        except Exception as error:
            found = hide_secrets(f"{type(error).__name__}: {error}", address)[:300]
            return Failure(item, where, TransferError(found))
        return None

    def _take_file(self, address: str, source: Source, item: Wanted, stop: threading.Event) -> None:
        staged = Staged(self.raw / STAGING, item.path)
        wish = Wish(address, staged, item.bytes, self.at_most, source.stay)
        with self.progress.waiting_for(shown(address)) as count:
            obtain(wish, lambda file: mismatch(file, item), self.patience, count, stop)
        self._place(address, item, staged.file)

    def _take_archive(
        self, address: str, source: Source, missing: Sequence[Wanted]
    ) -> list[Failure]:
        staging = self.raw / STAGING
        name = f"archive-{sha256(without_secrets(address).encode()).hexdigest()[:16]}"
        staged = Staged(staging, name)
        problems: dict[str, str] = {}

        def unpacked(file: Path) -> str | None:
            try:
                left = [item for item in missing if item.path not in self.came_from]
                problems.update(
                    unpack(file, left, staging, lambda item, path: self._place(address, item, path))
                )
            except ArchiveError as error:
                return str(error)
            return None

        def take() -> None:
            wish = Wish(address, staged, None, self.at_most, source.stay)
            with self.progress.waiting_for(shown(address)) as count:
                obtain(wish, unpacked, self.patience, count, threading.Event())
            staged.remove()

        first = next((item for item in missing if item.path not in self.came_from), missing[0])
        failure = self._failure(first, address, take)
        if failure:
            return [failure]
        return [
            Failure(item, shown(address), TransferError(problems[item.path]))
            for item in missing
            if item.path in problems
        ]

    def _place(self, address: str, item: Wanted, staged: Path) -> None:
        """Give a verified file its name."""
        target = self.raw / item.path
        with own_disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
        self.came_from[item.path] = without_secrets(address)
        self.progress.verified()
