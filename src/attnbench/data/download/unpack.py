"""Listed members out of a tar archive: verified, and never written outside their folder."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from attnbench.data.download.wanted import Wanted, mismatch
from attnbench.errors import FetchError

_UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


class ArchiveError(FetchError):
    """An archive that cannot be read or that tries to write outside its folder."""


def unpack(
    archive: Path, wanted: Iterable[Wanted], staging: Path, keep: Callable[[Wanted, Path], None]
) -> dict[str, str]:
    """Take members out of `archive` and return, by path, what is wrong with the others.

    Links and devices are neither followed nor made; members that are not wanted are skipped.

    Args:
        archive: a tar file, whose members lie below one top-level folder.
        wanted: the files to take.
        staging: folder below which a member is written.
        keep: is handed each written member whose size and digest are right.

    Raises:
        ArchiveError: a damaged archive, or a member name that is absolute or contains `..`.
    """
    left = {item.path: item for item in wanted}
    problems = dict.fromkeys(left, "no such member in the archive")
    try:
        with tarfile.open(archive) as members:
            for member in members:
                item = left.get(_inner_path(member.name))
                if item is None:
                    continue
                problem = _take(members, member, item, staging / item.path)
                if problem:
                    problems[item.path] = problem
                    continue
                keep(item, staging / item.path)
                del left[item.path], problems[item.path]
                if not left:
                    break
    except _UNREADABLE as error:
        raise ArchiveError(f"an archive that cannot be read ({error})") from error
    return problems


def _inner_path(name: str) -> str:
    """The member's path below the top-level folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArchiveError(f"an archive with a member that leads out of its folder ({name!r})")
    return "/".join(path.parts[1:])


def _take(
    members: tarfile.TarFile, member: tarfile.TarInfo, item: Wanted, staged: Path
) -> str | None:
    """Write one member to `staged`; return what is wrong with it, and then leave no file."""
    stream = members.extractfile(member) if member.isfile() else None
    if stream is None:
        return "a link, folder or device in the archive"
    staged.parent.mkdir(parents=True, exist_ok=True)
    with staged.open("wb") as target:
        shutil.copyfileobj(stream, target)
    problem = mismatch(staged, item)
    if problem:
        staged.unlink()
    return problem
