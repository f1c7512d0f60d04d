"""Listed members out of a tar archive: verified, and never written outside their folder."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from attnbench.data.download.staged import Staged, own_disk
from attnbench.data.download.wanted import Wanted, mismatch
from attnbench.errors import AttnBenchError, FetchError

MOST_MEMBERS = 1_000_000
# An archive without compression is no larger than itself; images compress little, masks a lot.
MOST_TIMES = 100
SLACK_BYTES = 100 * 10**6
# tarfile reads a member's names and attributes whole, as long as the archive says that they are.
LONGEST_HEADER = 1 << 20
_CHUNK = 1 << 16


class ArchiveError(FetchError):
    """An archive that cannot be read or that tries to write outside its folder."""


def unpack(
    archive: Path,
    wanted: Iterable[Wanted],
    staging: Path,
    keep: Callable[[Wanted, Path], None],
    most_members: int = MOST_MEMBERS,
    slack_bytes: int = SLACK_BYTES,
) -> dict[str, str]:
    """Take members out of `archive` and return, by path, what is wrong with the others.

    Links, devices and files with holes are neither followed nor made; members that are not wanted
    are skipped, those of another size than listed are not written.

    Args:
        archive: a .tar or .tar.gz, whose members lie below one top-level folder.
        wanted: the files to take; all have a listed size.
        staging: folder below which a member is written.
        keep: is handed each written member whose size and digest are right.
        most_members: an archive of more is refused.
        slack_bytes: unpacked, an archive may have these, its own size a hundred times and the
            listed bytes.

    Raises:
        ArchiveError: a damaged archive, one that grows without bound, or a member name that is
            absolute or contains `..`.
        FetchError: a file cannot be written.
    """
    left = {item.path: item for item in wanted}
    problems = dict.fromkeys(left, "no such member in the archive")
    listed = sum(item.bytes or 0 for item in left.values())
    with own_disk(archive), archive.open("rb") as packed:
        most = listed + MOST_TIMES * archive.stat().st_size + slack_bytes
        try:
            stream = _Bounded(_unpacked(packed), most)
            members = tarfile.TarFile(fileobj=stream)  # type: ignore[arg-type]
            number = 0
            while left and (member := _next(members, stream)):
                number += 1
                if number > most_members:
                    raise ArchiveError(f"an archive of more than {most_members} members")
                item = left.get(_inner_path(member.name))
                if item is None:
                    continue
                stream.allow(member.size + _CHUNK)
                staged = Staged(staging, item.path)
                problem = _take(members, member, item, staged)
                if problem:
                    problems[item.path] = problem
                    continue
                keep(item, staged.file)
                del left[item.path], problems[item.path]
        except AttnBenchError:
            raise
        except Exception as error:
            # Of headers that no program writes, tarfile makes errors of any kind.
            found = f"{type(error).__name__}: {str(error)[:200]}"
            raise ArchiveError(f"an archive that cannot be read ({found})") from error
    return problems


def _next(members: tarfile.TarFile, stream: _Bounded) -> tarfile.TarInfo | None:
    stream.allow(LONGEST_HEADER)
    member = members.next()
    # tarfile keeps what it has read, to find what links point at.
    members.members.clear()  # type: ignore[attr-defined]
    return member


def _unpacked(packed: IO[bytes]) -> Any:
    magic = packed.read(2)
    packed.seek(0)
    return gzip.open(packed) if magic == b"\x1f\x8b" else packed


class _Bounded:
    """A stream that only goes forward, no further than `most`, by as much as was allowed."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most, self._allowed = stream, most, LONGEST_HEADER

    def allow(self, size: int) -> None:
        """Let the next `size` bytes be read, and no more."""
        self._allowed = size

    def tell(self) -> int:
        here: int = self._stream.tell()
        return here

    def seek(self, offset: int) -> int:
        # tarfile steps back by one byte, to see whether a member is there to its end.
        if offset < self.tell() - 1:
            raise ArchiveError("an archive whose members do not follow each other")
        if offset > self._most:
            raise ArchiveError(f"an archive that unpacks to more than {self._most} bytes")
        self._stream.seek(offset)
        return offset

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._allowed:
            raise ArchiveError(f"an archive with a header of more than {LONGEST_HEADER} bytes")
        self._allowed -= size
        data: bytes = self._stream.read(size)
        return data


def _inner_path(name: str) -> str:
    """The member's path below the top-level folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArchiveError(
            f"an archive with a member that leads out of its folder ({name[:200]!r})"
        )
    return "/".join(path.parts[1:])


def _take(
    members: tarfile.TarFile, member: tarfile.TarInfo, item: Wanted, staged: Staged
) -> str | None:
    """Write one member to `staged`; return what is wrong with it, and then leave no file."""
    if not member.isreg() or member.issparse():
        return "a link, folder, device or file with holes in the archive"
    if member.size != item.bytes:
        return f"{member.size} bytes"
    stream = members.extractfile(member)
    if stream is None:
        return "a member without content"
    with own_disk(staged.file):
        staged.size()
        target = staged.open(go_on=False)
    problem: str | None = "a member that cannot be read"
    try:
        with target:
            while chunk := stream.read(_CHUNK):
                with own_disk(staged.file):
                    target.write(chunk)
        problem = mismatch(staged.file, item)
    finally:
        if problem:
            staged.remove()
    return problem
