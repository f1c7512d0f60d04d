"""Readers by name, and the files of one case that a reader is given."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attnbench.catalog import Entry, FileRow, LocalOrigin
from attnbench.data.case import RawCase, case_error
from attnbench.errors import DataError

UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, zlib.error)


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case below `raw`, and the `loose` files that belong to no case.

    remedy: what to do about a file that cannot be read, where it is none of the dataset's.
    """

    entry: Entry
    raw: Path
    case: str
    group: str
    rows: tuple[FileRow, ...]
    loose: tuple[FileRow, ...] = ()
    remedy: str = ""

    def paths(self, role: str) -> tuple[str, ...]:
        """Paths with this role, in the listing's order."""
        return tuple(row.path for row in self.rows if row.role == role)

    def maybe(self, role: str) -> str | None:
        """The one path with this role, None without one; `DataError` if there are several."""
        paths = self.paths(role)
        if len(paths) > 1:
            raise self.error(f"{len(paths)} files have the role {role!r}; a case has one", paths[1])
        return paths[0] if paths else None

    def one(self, role: str) -> str:
        """The one path with this role; `DataError` if there is none."""
        path = self.maybe(role)
        if path is None:
            roles = ", ".join(sorted({row.role for row in self.rows}))
            raise self.error(f"no file has the role {role!r}; its files have the roles {roles}")
        return path

    def error(self, problem: str, path: str | None = None) -> DataError:
        """A `DataError` that names dataset, case and file."""
        return case_error(self.entry.name, self.case, problem, path)

    @contextmanager
    def reading(self, path: str) -> Iterator[Path]:
        """Yield the file's path; a failure to read it becomes a `DataError` that names it."""
        try:
            yield self.raw / path
        except UNREADABLE as error:
            if self.remedy:
                todo = self.remedy
            elif isinstance(self.entry.origin, LocalOrigin):
                todo = "repair it, or move it out of the folder and add the dataset again"
            else:
                todo = (
                    "remove it and fetch the dataset again "
                    f"(`attnbench fetch --dataset {self.entry.name}`)"
                )
            raise self.error(f"cannot be read: {error}; {todo}", path) from error


Reader = Callable[[CaseFiles], RawCase]
READERS: dict[str, Reader] = {}


def reader(name: str) -> Callable[[Reader], Reader]:
    """Register a reader under the name that catalog entries use; `ValueError` if it is taken."""

    def register(function: Reader) -> Reader:
        if name in READERS:
            raise ValueError(f"there is a reader {name!r} already: {READERS[name].__module__}")
        READERS[name] = function
        return function

    return register
