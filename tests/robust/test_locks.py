"""Writers that are killed at any moment: never two at once, and the lock is free in the end."""

import random
import signal
import subprocess
import sys
import time

import pytest

from attnbench.locks import exclusive

WITHOUT_FLOCK = """
import errno, fcntl
def flock(file, how): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
# Says in a file of its own that it is inside, and looks whether anybody else is.
WRITE = """
import os, random, sys, time
from pathlib import Path
from attnbench.locks import exclusive
folder, mine = Path(sys.argv[1]), f"inside-{os.getpid()}"
while True:
    with exclusive(folder / ".lock", mine):
        (folder / mine).touch()
        for other in folder.glob("inside-*"):
            pid = int(other.name.partition("-")[2])
            if pid == os.getpid():
                continue
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                state = "X"
            alive = state not in "ZX"
            if alive and other.exists():
                (folder / f"two-{pid}-{os.getpid()}").touch()
        time.sleep(random.random() / 200)
        (folder / mine).unlink()
        (folder / f"turn-{os.getpid()}").touch()
"""


@pytest.mark.robust
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("before", ["", WITHOUT_FLOCK], ids=["flock", "none"])
def test_two_hundred_kills_of_eight_writers(tmp_path, before):
    drawn = random.Random(0)

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", before + WRITE, str(tmp_path)])

    writers = [begin() for _ in range(8)]
    turns = 0
    try:
        for _ in range(200):
            time.sleep(drawn.random() / 10)
            number = drawn.randrange(len(writers))
            writers[number].send_signal(signal.SIGKILL)
            writers[number].wait()
            turns += (tmp_path / f"turn-{writers[number].pid}").exists()
            (tmp_path / f"inside-{writers[number].pid}").unlink(missing_ok=True)
            writers[number] = begin()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert list(tmp_path.glob("two-*")) == [] and turns > 20
    with exclusive(tmp_path / ".lock", "the test", wait=False):
        pass
