"""One process writes, others wait for it or are told who it is; with real processes."""

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench import locks
from attnbench.errors import LockError
from attnbench.files import sweep, temporary_folder, whole_file
from attnbench.locks import exclusive, holder_of
from attnbench.process import Process, this_process

WITHOUT_FLOCK = """
import errno, fcntl
def flock(file, how): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
HOLD = """
import sys, time
from pathlib import Path
from attnbench.locks import exclusive
with exclusive(Path(sys.argv[1]), "the other"):
    print("held", flush=True)
    sys.stdin.readline()
"""
# Writes a number twice, with a pause between: two writers at once would mix theirs.
COUNT = """
import sys, time
from pathlib import Path
from attnbench.locks import exclusive
lock, shared, mine = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for _ in range(8):
    with exclusive(lock, mine):
        with shared.open("a") as stream: stream.write(mine + "\\n")
        time.sleep(0.002)
        with shared.open("a") as stream: stream.write(mine + "\\n")
"""
on_every_file_system = pytest.mark.parametrize("before", ["", WITHOUT_FLOCK], ids=["flock", "none"])


def start(script: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def holder(tmp_path):
    """A process that holds `tmp_path/.lock` until it is told to let go, and how to make one."""
    started = []

    def begin(before: str = "") -> subprocess.Popen[str]:
        child = start(before + HOLD, tmp_path / ".lock")
        started.append(child)
        assert child.stdout.readline() == "held\n"
        return child

    yield begin
    for child in started:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


class LetsGo(logging.Handler):
    """Tells a holder to let go once somebody says to wait: before, nobody may have begun to."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        super().__init__(logging.WARNING)
        self.child, self.heard = child, ""

    def emit(self, record: logging.LogRecord) -> None:
        self.heard = record.getMessage()
        self.child.stdin.write("\n")
        self.child.stdin.close()


@pytest.fixture
def no_flock(monkeypatch):
    """A file system without locks."""

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@on_every_file_system
def test_who_holds_a_lock_is_named_and_no_second_one_has_it(tmp_path, holder, before, request):
    if before:
        request.getfixturevalue("no_flock")
    child = holder(before)
    found, at_work = holder_of(tmp_path / ".lock")
    assert at_work and (found.process.pid, found.what) == (child.pid, "the other")
    with (
        pytest.raises(LockError, match=f"the other .process {child.pid} on"),
        exclusive(tmp_path / ".lock", "mine", wait=False),
    ):
        pass
    log = logging.getLogger("attnbench")
    log.addHandler(hears := LetsGo(child))
    try:
        with exclusive(tmp_path / ".lock", "mine") as waited:
            assert waited and holder_of(tmp_path / ".lock")[0].what == "mine"
    finally:
        log.removeHandler(hears)
    assert f"mine: waiting for the other (process {child.pid} on" in hears.heard
    assert list(tmp_path.iterdir()) == []


@on_every_file_system
def test_a_killed_holder_is_dead_and_its_lock_free(tmp_path, holder, before, request):
    if before:
        request.getfixturevalue("no_flock")
    child = holder(before)
    child.send_signal(signal.SIGKILL)
    child.wait()
    found, at_work = holder_of(tmp_path / ".lock")
    assert (found.process.pid, at_work) == (child.pid, False)
    with exclusive(tmp_path / ".lock", "mine", wait=False):
        pass


@on_every_file_system
def test_writers_take_turns(tmp_path, before):
    shared = tmp_path / "shared"
    children = [start(before + COUNT, tmp_path / ".lock", shared, name) for name in "abcd"]
    assert [child.wait() for child in children] == [0] * 4
    lines = shared.read_text().splitlines()
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert len(pairs) == 32 and all(first == second for first, second in pairs)
    for child in children:
        child.stdin.close()
        child.stdout.close()


def test_waiting_is_said_with_who_is_waited_for(tmp_path, holder, caplog, monkeypatch):
    child = holder()
    pause = time.sleep

    def let_go_once_it_was_said(seconds):
        if "waiting for" in caplog.text and not child.stdin.closed:
            child.stdin.write("\n")
            child.stdin.close()
        pause(seconds)

    monkeypatch.setattr(time, "sleep", let_go_once_it_was_said)
    with exclusive(tmp_path / ".lock", "mine"):
        pass
    assert f"mine: waiting for the other (process {child.pid} on" in caplog.text


def test_a_thread_that_holds_a_lock_goes_on(tmp_path):
    with exclusive(tmp_path / ".lock", "outer"):
        with exclusive(tmp_path / "x" / ".." / ".lock", "inner", wait=False) as waited:
            assert not waited
        assert holder_of(tmp_path / ".lock")[1]


def stated(path: Path, process: Process, silent_s: float) -> None:
    facts = {"process": vars(process), "since": "then", "job": "", "what": "theirs"}
    path.write_text(json.dumps(facts))
    then = time.time() - silent_s
    os.utime(path, (then, then))


@pytest.mark.parametrize(("silent_s", "at_work"), [(0, True), (2 * locks.SILENT_S, False)])
def test_a_holder_on_another_machine_is_known_by_its_renewals(tmp_path, silent_s, at_work):
    """Locks of some file systems do not reach other machines, though they seem to work."""
    path = tmp_path / ".lock"
    stated(path, Process("another", os.getpid(), ""), silent_s)
    assert holder_of(path)[1] is at_work
    if at_work:
        with pytest.raises(LockError, match="theirs"), exclusive(path, "mine", wait=False):
            pass
    else:
        with exclusive(path, "mine", wait=False):
            assert holder_of(path)[0].what == "mine"


def test_the_number_of_a_dead_process_that_another_one_has_now_holds_nothing(tmp_path, no_flock):
    path, mine = tmp_path / ".lock", this_process()
    stated(path, Process(mine.host, mine.pid, "1"), 0)
    assert holder_of(path)[1] is False
    with exclusive(path, "mine", wait=False):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": {"pid": 1}}', "null", "\0" * 99])
def test_a_lock_that_says_nothing_is_free_unless_it_is_held(tmp_path, content):
    path = tmp_path / ".lock"
    path.write_text(content)
    assert holder_of(path) is None
    with exclusive(path, "mine", wait=False):
        assert holder_of(path)[0].what == "mine"


def test_the_lock_is_never_what_a_link_points_to(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(LockError, match="no other file in its place"),
        exclusive(tmp_path / ".lock", "mine"),
    ):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a.csv") as temporary:
            temporary.write_text("whole")
        with temporary_folder(tmp_path / "b") as made:
            made.rename(tmp_path / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o750


LEAVE = """
import os, sys
from pathlib import Path
from attnbench.files import temporary_folder, whole_file
folder = Path(sys.argv[1])
with whole_file(folder / "runs" / "model.pt") as one, temporary_folder(folder / "data") as two:
    one.write_text("half")
    (two / "images.npy").write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path):
    child = start(LEAVE, tmp_path)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    kept = [tmp_path / "runs" / ".hidden", tmp_path / "runs" / "model.pt"]
    for path in kept:
        path.write_text("whole")
    with whole_file(tmp_path / "report.html") as at_work:
        swept = sweep(tmp_path)
        assert at_work.exists()
        at_work.write_text("whole")
    names = sorted(path.relative_to(tmp_path).parts[0] for path in swept)
    assert len(names) == 2 and names[0].startswith(".data~") and names[1] == "runs"
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, tmp_path / "report.html"}


def test_temporary_files_of_other_machines_are_left_for_a_day(tmp_path):
    young, old = (tmp_path / f".x~other.7.9~0000000{number}.csv" for number in "12")
    for path, age_s in ((young, 3600), (old, 90000)):
        path.touch()
        os.utime(path, (time.time() - age_s,) * 2)
    assert sweep(tmp_path) == [old] and young.exists()
