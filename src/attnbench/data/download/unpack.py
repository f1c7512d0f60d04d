"""Listed members out of a tar archive: verified one by one, and never written outside their
folder.
"""

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
    archive: Path, wanted: Iterable[Wanted], staging: Path, place: Callable[[Wanted, Path], None]
) -> dict[str, str]:
    """Take the `wanted` members out of `archive`, whose members lie below one top-level folder.

    A member is written below `staging` and handed to `place` only when its size and digest are
    right. Returns, by path, what was found instead of each file that is not. Links and devices
    are neither followed nor made; members that are not wanted are skipped. Raises `ArchiveError`
    for a damaged archive and for any member name that is absolute or contains `..`.
    """
    left = {item.path: item for item in wanted}
    found = dict.fromkeys(left, "no such member in the archive")
    try:
        with tarfile.open(archive) as members:
            for member in members:
                item = left.get(_inner_path(member.name))
                if item is None:
                    continue
                problem = _take(members, member, item, staging / item.path)
                if problem:
                    found[item.path] = problem
                    continue
                place(item, staging / item.path)
                del left[item.path], found[item.path]
                if not left:
                    break
    except _UNREADABLE as error:
        raise ArchiveError(f"an archive that cannot be read ({error})") from error
    return found


def _inner_path(name: str) -> str:
    """The member's path below the top-level folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArchiveError(f"an archive with a member that leads out of its folder ({name!r})")
    return "/".join(path.parts[1:])


def _take(
    members: tarfile.TarFile, member: tarfile.TarInfo, item: Wanted, staged: Path
) -> str | None:
    """Write one member to `staged`; returns what is wrong with it, and then leaves no file."""
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
