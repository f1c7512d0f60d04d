"""Locks on folders: one process writes, others wait or are told who it is.

A lock is a file that its holder has locked with `flock(2)`: the system frees it when the holder
ends, however that ends. Where a file system has no such locks, or they do not reach other machines,
the file itself is the lock: it says who holds it, and its time is renewed as long as the holder
works (docs/decisions/locks.md).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from attnbench.errors import DiskError, LockError
from attnbench.full_disk import said_of
from attnbench.process import Process, this_process

BEAT_S = 20.0
"""Seconds after which the holder of a lock renews the time of its file."""
SILENT_S = 9 * BEAT_S
"""Seconds without that after which the holder on another machine is taken for dead."""
_UNFINISHED_S = 10.0  # for which a claim on another machine is taken for one at work
_SETTLE_S = 0.02
_SAY_AGAIN_S = 600.0
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_HELD = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
_OF_THREAD = threading.local()
log = logging.getLogger("attnbench")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, or held it: the process, since when, its scheduler's job, what it does."""

    process: Process
    since: str
    job: str
    what: str

    def __str__(self) -> str:
        job = f", SLURM job {self.job}" if self.job else ""
        return (
            f"{self.what} (process {self.process.pid} on {self.process.host}, since "
            f"{self.since}{job})"
        )


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds: its file, open, and what ends its renewal."""

    path: Path
    file: int
    stop: threading.Event


@contextmanager
def exclusive(path: Path, what: str, wait: bool = True) -> Iterator[bool]:
    """Hold the lock at `path`; yield whether another process had to be waited for.

    A thread that holds it already goes on.

    Args:
        path: of the lock's file; its folder is made.
        what: is done under the lock, for those who wait.
        wait: until the lock is free, and say for whom; else refuse.

    Raises:
        LockError: the lock is held and `wait` is false, or its file cannot be written.
    """
    name = os.path.realpath(path)
    if name in _mine():
        yield False
        return
    lock, waited, asked = take(path, what), False, time.monotonic()
    said = -_SAY_AGAIN_S
    pause = 0.05
    while isinstance(lock, Holder):
        now = time.monotonic()
        # Who only looks whether a lock is held holds it for a moment: no reason to refuse.
        if not wait and now - asked > 0.5:
            raise LockError(f"{path.parent} is in use by {lock}; let it end, or end it, first")
        if wait and now - asked > 0.5 and now - said > _SAY_AGAIN_S:
            log.warning("%s: waiting for %s, which works in %s", what, lock, path.parent)
            said = now
        time.sleep(pause)
        waited, pause = True, min(1.5 * pause, 2.0)
        lock = take(path, what)
    _mine().add(name)
    try:
        yield waited
    finally:
        _mine().discard(name)
        leave(lock)


def take(path: Path, what: str) -> Lock | Holder:
    """Take the lock at `path` if it is free, for `leave` to give back; else say who holds it.

    Raises:
        DiskError: the disk is full.
        LockError: the file cannot be written.
    """
    mine = _me(what)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # Not what a link points to: it may lie anywhere.
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            found = _settle(path, file, mine)
            if isinstance(found, Lock):
                return found
            os.close(file)
            if found is not None:
                return found
    except OSError as error:
        if full := said_of(error, path):
            raise DiskError(full) from error
        raise LockError(
            f"{path}: this lock cannot be taken ({error.strerror}); it needs a folder that can be "
            "written, and no other file in its place"
        ) from error


def leave(lock: Lock) -> None:
    """Give a lock back and remove its file."""
    lock.stop.set()
    # The name goes first: who opened the file before sees then that it is not the lock any more.
    if _is_file_of(lock.path, lock.file):
        lock.path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        fcntl.flock(lock.file, fcntl.LOCK_UN)  # children may have it open, too
    os.close(lock.file)


def job_lock(log: Path) -> Path:
    """The lock of the job that writes a log: two of the same job would write the same files."""
    return log.with_name(f".{log.name}.lock")


def holder_of(path: Path) -> tuple[Holder, bool] | None:
    """Who holds the lock at `path`, or held it when it was killed, and whether it is still at work.

    None where nobody left a word.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        holder = _stated(file)
        if holder is None:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return holder, error.errno in _HELD or _is_at_work(file, holder)
        return holder, not holder.process.is_here and _is_renewed(file)
    finally:
        os.close(file)


def _settle(path: Path, file: int, mine: Holder) -> Lock | Holder | None:
    """Make an open file the lock of this process, or say who has it; None: it is gone, try again.

    `file` is to be closed where it is no lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return _stated(file) or _unknown(path)
        if error.errno == errno.ESTALE:
            return None
        if error.errno not in _NO_LOCKS:
            raise
        return _without_flock(path, file, mine)
    # It may have been removed between opening and locking it.
    if not _is_file_of(path, file):
        return None
    before = _stated(file)
    if before and not before.process.is_here and _is_renewed(file):
        return before  # locks of this file system do not reach its machine
    return _begin(path, file, mine)


def _without_flock(path: Path, file: int, mine: Holder) -> Lock | Holder | None:
    """As `_settle`, on a file system without locks: who makes a file beside has the lock."""
    claim = path.with_name(f"{path.name}.claim")
    before = _stated(file)
    if before and _is_at_work(file, before):
        return before
    try:
        claimed = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        _drop_if_dead(claim)
        return _unknown(path)
    try:
        os.write(claimed, _text(mine))
        now = _stated(file)
        if not _is_file_of(path, file) or (now and _is_at_work(file, now)):
            return now
        lock = _begin(path, file, mine)
        # Should two have dropped one claim of a dead process at once, one of them has the file.
        time.sleep(_SETTLE_S)
        if _stated(file) == mine:
            return lock
        lock.stop.set()
        return None
    finally:
        os.close(claimed)
        claim.unlink(missing_ok=True)


def _drop_if_dead(claim: Path) -> None:
    """Remove a claim whose process is gone, or on another machine takes longer than a claim may."""
    with contextlib.suppress(FileNotFoundError):
        file = os.open(claim, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            holder, old = _stated(file), time.time() - os.fstat(file).st_mtime > _UNFINISHED_S
        finally:
            os.close(file)
        here = holder is not None and holder.process.is_here
        if (here and holder and not holder.process.is_alive()) or (old and not here):
            claim.unlink()


def _begin(path: Path, file: int, mine: Holder) -> Lock:
    os.ftruncate(file, 0)
    os.pwrite(file, _text(mine), 0)
    lock = Lock(path, file, threading.Event())
    threading.Thread(target=_renew, args=(file, lock.stop), daemon=True).start()
    return lock


def _renew(file: int, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with contextlib.suppress(OSError):
            os.utime(file)


def _mine() -> set[str]:
    """Locks that this thread holds."""
    return _OF_THREAD.__dict__.setdefault("held", set())


def _me(what: str) -> Holder:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return Holder(this_process(), since, os.environ.get("SLURM_JOB_ID", ""), what)


def _unknown(path: Path) -> Holder:
    """A holder that has not said yet who it is."""
    return Holder(Process("an unknown machine", 0, ""), "a moment ago", "", f"a user of {path}")


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _stated(file: int) -> Holder | None:
    try:
        content = json.loads(os.pread(file, 2**16, 0))
        process = Process(**content.pop("process"))
        holder = Holder(process, **content)
        return holder if isinstance(process.pid, int) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_at_work(file: int, holder: Holder) -> bool:
    return holder.process.is_alive() if holder.process.is_here else _is_renewed(file)


def _is_renewed(file: int) -> bool:
    return time.time() - os.fstat(file).st_mtime < SILENT_S


def _is_file_of(path: Path, file: int) -> bool:
    """Whether an open file is the one that now has the name `path`.

    Opened anew: file systems of a network ask their server only then.
    """
    try:
        other = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return os.path.sameopenfile(file, other)
    finally:
        os.close(other)
