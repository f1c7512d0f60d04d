"""The files that a dataset needs, each with the checksum that decides whether it is there."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from attnbench.catalog import ArchiveOrigin, Entry, LocalOrigin
from attnbench.data.download.staged import STAGING
from attnbench.errors import FetchError

RECEIPT = "receipt.json"
LOCK = ".lock"
UNLISTED = 32 * 10**9
"""Bytes that a file may have of which neither listing nor entry says anything."""
_MARGIN = 1.25
_SLACK = 10**6
_LONGEST_NAME = 255
_LONGEST_PATH = 1024


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
    """List the files to download for a dataset, each once; none for an embedded one.

    Raises:
        FetchError: names that are to be written and cannot stand side by side in a folder.
    """
    if isinstance(entry.origin, ArchiveOrigin):
        name = entry.origin.filename
        _refuse(entry.name, [name])
        return (Wanted(name, None, "md5", entry.origin.md5),)
    found: dict[str, Wanted] = {}
    for row in entry.files():  # an archive is named by each of its cases
        wanted = Wanted(row.path, row.bytes, "sha256", row.sha256)
        if found.setdefault(row.path, wanted) != wanted:
            raise FetchError(
                f"{entry.name}: {row.path!r} is listed as {found[row.path]} and as {wanted}; "
                f"correct {entry.listing}"
            )
    if not isinstance(entry.origin, LocalOrigin):
        _refuse(entry.name, found)
    return tuple(found.values())


def most_bytes(entry: Entry) -> int:
    """Bytes at which a file or archive of unlisted size is stopped: a quarter and a megabyte more
    than the entry says of the download, or `UNLISTED` where it says nothing.
    """
    stated = max(entry.download_mb or 0.0, entry.at_most_mb or 0.0)
    return int(stated * 1e6 * _MARGIN) + _SLACK if stated else UNLISTED


def _refuse(dataset: str, paths: Iterable[str]) -> None:
    """Refuse names that no folder can hold, that are ours, or of which one hides another."""
    names = list(paths)
    folders: set[str] = set()
    for path in names:
        problem = _problem(path)
        if problem:
            raise FetchError(f"{dataset}: {path[:300]!r} cannot be downloaded: {problem}")
        folders |= {_as_one(str(parent)) for parent in PurePosixPath(path).parents}
    seen: dict[str, str] = {}
    for path in names:
        other = seen.setdefault(_as_one(path), path)
        if other != path:
            raise FetchError(
                f"{dataset}: {other!r} and {path!r} are one file on systems that do not tell "
                "small letters from capital ones, or ways to write a letter; rename one"
            )
        if _as_one(path) in folders:
            raise FetchError(f"{dataset}: {path!r} is both a file and a folder of another file")


def _problem(path: str) -> str | None:
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts):
        return "it is no relative path from folder to file"
    try:
        lengths = [len(part.encode("utf-8")) for part in parts]
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if max(lengths) > _LONGEST_NAME or sum(lengths) + len(parts) > _LONGEST_PATH:
        return f"a name may have {_LONGEST_NAME} bytes, a path {_LONGEST_PATH}"
    if any(unicodedata.category(letter) == "Cc" for letter in path):
        return "it has a control character"
    if parts[0].casefold() in (STAGING, LOCK, RECEIPT):
        return f"{parts[0]} is a name of ours"
    return None


def _as_one(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


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
