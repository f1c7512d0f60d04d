"""A full disk named as such, whatever the library says that met it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attnbench.errors import AttnBenchError, DiskError

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "a limit on the size of files is reached (`ulimit -f`)",
}
_PROBE = b"\0" * 2**20
_REMEDY = (
    "free some space, or give `output` or `data.downloads` a place on another disk, and start "
    "again: what is finished is kept"
)
_places: list[Path] = []


@contextmanager
def naming_full_disk(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn whatever is raised inside because a disk is full into an error that says so.

    Libraries say it in many ways, some without a word about the disk ("unexpected pos 4800 vs
    4704", "4096 requested and 0 written"): then a megabyte is added to `temporary`, which nobody
    will read.

    Args:
        path: that was to be written.
        temporary: where it was written until it is whole.

    Raises:
        DiskError: which file system is full, what was written, how much is free, what to do.
    """
    try:
        yield
    except AttnBenchError:
        raise
    except Exception as error:
        number = full_number(error) or (_probed(temporary) if temporary else None)
        if number is None:
            raise
        raise DiskError(_words(number, path)) from error


def look_in(*folders: Path) -> None:
    """Name these folders, where `said_of` finds no file in an error."""
    _places[:] = folders


def said_of(error: BaseException, path: Path | None = None) -> str | None:
    """What an error says of a full disk; None where it is another one.

    `path` was to be written; where it is not known, it is the one that the error names, or the
    fullest of those that `look_in` was told.
    """
    number = full_number(error)
    if number is None:
        return None
    named = path or getattr(error, "filename", None)
    if named:
        return _words(number, Path(os.fsdecode(named)))
    fullest = min(_places or [Path.cwd()], key=lambda folder: _free(folder)[1])
    return _words(number, fullest)


def full_number(error: BaseException | None) -> int | None:
    """The number of a full disk in an error, or in those behind it; None where it is another."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error.errno
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def _probed(temporary: Path) -> int | None:
    """What the file system answers where `temporary` is to grow: the number of a full disk."""
    try:
        with temporary.open("r+b") as stream:
            stream.seek(0, os.SEEK_END)
            stream.write(_PROBE)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return error.errno if error.errno in _FULL else None
    return None


def _words(number: int, path: Path) -> str:
    mount, free = _free(path)
    return (
        f"{_FULL[number]}: {path} could not be written ({free / 1e6:,.1f} MB free on the file "
        f"system at {mount}); {_REMEDY}"
    )


def _free(path: Path) -> tuple[Path, int]:
    """Where the file system of a path is mounted, and its free bytes."""
    above = [one for one in (path.absolute(), *path.absolute().parents) if one.exists()]
    mount = next((one for one in above if one.is_mount()), above[-1])
    facts = os.statvfs(above[0])
    return mount, facts.f_bavail * facts.f_frsize
