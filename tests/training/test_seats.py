"""Seats on GPUs: never more at once than allowed, in a folder that nobody else can write."""

import os
import subprocess
import sys

import pytest

from attnbench.locks import leave
from attnbench.training.seats import _wait_for_seat, is_allocated, is_private, seat_name

SIT = """
import sys
from pathlib import Path
from attnbench.training.seats import _wait_for_seat
gpu, _ = _wait_for_seat(Path(sys.argv[1]), ["GPU-1", "MIG-GPU-2/1/0"], 2)
print(gpu, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def sit(tmp_path):
    """Start a process that takes a seat on one of two GPUs with two seats each."""
    started = []

    def begin():
        child = subprocess.Popen(
            [sys.executable, "-c", SIT, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield begin
    for child in started:
        child.kill()
        child.communicate()


def test_runs_spread_over_gpus_and_the_next_one_waits_for_a_killed_one(sit, tmp_path):
    children = [sit() for _ in range(4)]
    taken = sorted(int(child.stdout.readline()) for child in children)
    assert taken == [0, 0, 1, 1]
    children[2].kill()
    children[2].wait()
    _, lock = _wait_for_seat(tmp_path, ["GPU-1", "MIG-GPU-2/1/0"], 2)
    assert len(list(tmp_path.iterdir())) == 4
    leave(lock)


def test_names_of_seats_are_files_whatever_a_gpu_is_called(tmp_path):
    names = {
        seat_name(gpu, seat)
        for gpu in ("MIG-GPU-1/1/0", "../../etc/passwd", "GPU-1", "")
        for seat in (0, 1)
    }
    assert len(names) == 8 and all("/" not in name for name in names)


def test_a_folder_is_private_where_it_is_made_and_nowhere_else(tmp_path):
    made = tmp_path / "a" / "made"
    assert is_private(made) and made.stat().st_mode & 0o777 == 0o700 and is_private(made)
    for name, mode in (("group", 0o750), ("all", 0o777), ("sticky", 0o1777)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
        assert not is_private(tmp_path / name)
    (tmp_path / "link").symlink_to(made)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").touch(0o600)
    assert not any(is_private(tmp_path / name) for name in ("link", "dangling", "file"))
    assert not (tmp_path / "nothing").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give folders away")
def test_the_folder_of_another_user_is_not_private(tmp_path):
    (tmp_path / "theirs").mkdir(0o700)
    os.chown(tmp_path / "theirs", 12345, 12345)
    assert not is_private(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("environment", "gpus", "own"),
    [({"SLURM_JOB_ID": "7"}, 1, True), ({"SLURM_JOB_ID": "7"}, 4, False), ({}, 1, False)],
)
def test_a_job_of_slurm_has_the_one_gpu_that_it_sees(environment, gpus, own):
    assert is_allocated(environment, gpus) is own
