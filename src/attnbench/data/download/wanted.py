"""The files that a dataset needs, each with the checksum that decides whether it is there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from attnbench.catalog import ArchiveOrigin, Entry


@dataclass(frozen=True)
class Wanted:
    """A file below the raw folder: bytes (None: unpublished) and a digest by `algorithm`."""

    path: str
    bytes: int | None
    algorithm: str
    digest: str

    def __str__(self) -> str:
        size = "" if self.bytes is None else f"{self.bytes} bytes with "
        return f"{size}{self.algorithm} {self.digest}"


def wanted_files(entry: Entry) -> tuple[Wanted, ...]:
    """List the files to download for a dataset, each once; none for an embedded one."""
    if isinstance(entry.origin, ArchiveOrigin):
        return (Wanted(entry.origin.filename, None, "md5", entry.origin.md5),)
    rows = {row.path: row for row in entry.files()}  # an archive is named by each of its cases
    return tuple(Wanted(row.path, row.bytes, "sha256", row.sha256) for row in rows.values())


def has_size(file: Path, size: int | None) -> bool:
    """Return whether `file` exists with `size` bytes; None: any size."""
    return file.is_file() and size in (None, file.stat().st_size)


def mismatch(file: Path, wanted: Wanted) -> str | None:
    """Describe how an existing `file` differs from what is wanted; None if it does not."""
    if not has_size(file, wanted.bytes):
        return f"{file.stat().st_size} bytes"
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, wanted.algorithm).hexdigest()
    return None if digest == wanted.digest else f"{wanted.algorithm} {digest}"
