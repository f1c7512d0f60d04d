"""Readers by name, and the files of one case that a reader is given."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.catalog import Entry, FileRow, LocalOrigin
from attnbench.data.case import RawCase, case_error
from attnbench.errors import DataError
from attnbench.files import sha256_of

UNREADABLE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RecursionError,
    struct.error,
    zlib.error,
)


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
    _unchanged: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

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
        """Yield the file's path; a failure to read it becomes a `DataError` that names it, and so
        does a file that is not as it was listed.
        """
        self.refuse_changed(path)
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
            found = str(error) or type(error).__name__
            raise self.error(f"cannot be read: {found}; {todo}", path) from error

    def refuse_changed(self, *paths: str) -> None:
        """Compare files with the listing, each once; of files that are not there readers tell.

        Raises:
            DataError: one has another SHA-256 than the listing says.
        """
        listed = {row.path: row for row in (*self.rows, *self.loose) if row.sha256}
        for path in (path for path in paths if path in listed and path not in self._unchanged):
            row, file = listed[path], self.raw / path
            if not file.is_file():
                continue
            # Decoded next, so that it is read from disk once.
            found = sha256_of(file)
            if found != row.sha256:
                raise self.error(
                    f"is not the file that was listed: {row.bytes} bytes with sha256 {row.sha256} "
                    f"are expected, found {file.stat().st_size} with {found}; {self._put_back()}",
                    path,
                )
            self._unchanged.add(path)

    def _put_back(self) -> str:
        if isinstance(self.entry.origin, LocalOrigin):
            return (
                "put it back, or add the dataset again (`attnbench dataset add ... --replace`); a "
                "file that came with the package comes back when it is installed again"
            )
        return (
            f"remove {self.raw / 'receipt.json'} and run the study again: files that are whole "
            "are kept, this one is fetched again"
        )


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
