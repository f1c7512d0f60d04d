"""A dataset's files from one source, several at a time, each verified before it gets its name."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from attnbench.data.download.http import Patience, TransferError, obtain
from attnbench.data.download.mirror import Source
from attnbench.data.download.progress import Progress
from attnbench.data.download.unpack import ArchiveError, unpack
from attnbench.data.download.wanted import Wanted, mismatch

AT_ONCE = 8
ENOUGH_FAILURES = 8
STAGING = ".partial"


@dataclass(frozen=True)
class Failure:
    """A file that a source did not give, for a person to read."""

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
    """One download into `raw`; `came_from` gains the address of every verified file."""

    raw: Path
    patience: Patience
    progress: Progress
    came_from: dict[str, str]

    def take(self, source: Source, missing: Sequence[Wanted]) -> list[Failure]:
        """Bring the `missing` files from `source`; return what failed.

        A source that is dead or has failed eight times is left alone: the rest of its files stay
        missing.
        """
        if source.archive:
            return self._take_archive(source.archive, missing)
        given_up = threading.Event()
        failures: list[Failure] = []

        def take_one(item: Wanted) -> None:
            if given_up.is_set():
                return
            address = source.address(item.path)
            try:
                self._take_file(address, item)
            except TransferError as error:
                failures.append(Failure(item, address, error))
                if error.dead or len(failures) >= ENOUGH_FAILURES:
                    given_up.set()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(take_one, missing):
                pass
        return failures

    def _take_file(self, address: str, item: Wanted) -> None:
        staged = self.raw / STAGING / item.path
        obtain(
            address,
            staged,
            lambda file: mismatch(file, item),
            self.patience,
            self.progress.transferred,
        )
        self._place(address, item, staged)

    def _take_archive(self, address: str, missing: Sequence[Wanted]) -> list[Failure]:
        staging = self.raw / STAGING
        archive = staging / f"archive-{sha256(address.encode()).hexdigest()[:16]}"
        problems: dict[str, str] = {}

        def unpacked(file: Path) -> str | None:
            try:
                left = [item for item in missing if item.path not in self.came_from]
                problems.update(
                    unpack(
                        file, left, staging, lambda item, staged: self._place(address, item, staged)
                    )
                )
            except ArchiveError as error:
                return str(error)
            return None

        try:
            obtain(address, archive, unpacked, self.patience, self.progress.transferred)
        except TransferError as error:
            first = next(item for item in missing if item.path not in self.came_from)
            return [Failure(first, address, error)]
        archive.unlink()
        return [
            Failure(item, address, TransferError(problems[item.path]))
            for item in missing
            if item.path in problems
        ]

    def _place(self, address: str, item: Wanted, staged: Path) -> None:
        """Give a verified file its name."""
        target = self.raw / item.path
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)
        self.came_from[item.path] = address
        self.progress.verified()
