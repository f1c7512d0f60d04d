"""Seals: what a finished job left, by hash, so that no reader takes what has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attnbench.errors import SealError
from attnbench.files import hash_of, read_json, sha256_of, write_json

LARGE = 2**26
"""Bytes from which on readers hash a file only where its size or time of change is another."""


@dataclass(frozen=True)
class SealedFile:
    """A file as its job left it: size in bytes, SHA-256, and time of change in nanoseconds."""

    bytes: int
    sha256: str
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> SealedFile:
        """The file at `path` as it is now."""
        facts = path.stat()
        return cls(facts.st_size, sha256_of(path), facts.st_mtime_ns)


@dataclass(frozen=True)
class Seal:
    """What a job left: `stamp` says what it belongs to, `files` are by path in the output folder.

    `path` is where the seal lies.
    """

    path: Path
    stamp: Mapping[str, Any]
    files: Mapping[str, SealedFile]


def write_seal(path: Path, folder: Path, files: Iterable[Path], stamp: Mapping[str, Any]) -> None:
    """Seal the files of a job: the last thing that it writes.

    Args:
        path: of the seal, `Layout.seal`.
        folder: the output folder, which all files are in.
        files: what the job left, whole under their final names.
        stamp: plain data that says what they belong to.
    """
    sealed = {_name(file, folder): asdict(SealedFile.of(file)) for file in files}
    content = {"stamp": dict(stamp), "files": sealed}
    write_json(path, content | {"seal_sha256": hash_of(content)})


def read_seal(path: Path) -> Seal:
    """The seal at `path`.

    Raises:
        SealError: there is none, or it is not as it was written.
    """
    try:
        content = read_json(path)
        stated = content.pop("seal_sha256")
        if hash_of(content) != stated:
            raise ValueError("its content is not what was written")
        files = {name: SealedFile(**facts) for name, facts in content["files"].items()}
        return Seal(path, content["stamp"], files)
    except FileNotFoundError as error:
        raise SealError(
            f"{path}: no such seal; the job that writes it was ended before, or was that of an "
            "earlier version"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SealError(f"{path}: a damaged seal ({error})") from error


def refuse_changed(path: Path, folder: Path, files: Iterable[Path], remedy: str) -> Seal:
    """Compare files with the seal of their job, and return the seal.

    Args:
        path: of the seal.
        folder: the output folder, which all files are in.
        files: those that are about to be read.
        remedy: what to do where one has changed, as the end of the message.

    Raises:
        SealError: the seal or a file is missing or damaged, or a file is not as its job left it.
    """
    try:
        seal = read_seal(path)
    except SealError as error:
        raise SealError(f"{error}; {remedy}") from error
    for file in files:
        if problem := problem_of(seal, folder, file):
            raise SealError(f"{file}: {problem}; {remedy}")
    return seal


def problem_of(seal: Seal, folder: Path, file: Path, thorough: bool = False) -> str:
    """What is wrong with a file under a seal, in words; empty where it is as its job left it.

    Args:
        seal: of the job that wrote the file.
        folder: the output folder.
        file: in that folder.
        thorough: hash a large file even where its size and time of change are as sealed.
    """
    sealed = seal.files.get(_name(file, folder))
    if sealed is None:
        return f"is not among the files of {seal.path}"
    try:
        facts = file.stat()
        if facts.st_size != sealed.bytes:
            return f"has {facts.st_size} bytes, its job left {sealed.bytes}"
        if not thorough and untouched(seal, folder, file):
            return ""
        return "" if sha256_of(file) == sealed.sha256 else "has changed since its job left it"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def untouched(seal: Seal, folder: Path, file: Path) -> bool:
    """Whether a file is so large that its size and time of change, as sealed, are enough.

    Args:
        seal: of the job that wrote the file.
        folder: the output folder.
        file: in that folder.

    Raises:
        OSError: the file is missing.
    """
    sealed, facts = seal.files.get(_name(file, folder)), file.stat()
    as_sealed = sealed and (facts.st_size, facts.st_mtime_ns) == (sealed.bytes, sealed.mtime_ns)
    return bool(as_sealed) and facts.st_size >= LARGE


def _name(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()
