"""Seats on the GPUs of a machine: as many trainings at once on each as the study allows."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from attnbench.errors import AttnBenchError
from attnbench.locks import Holder, Lock, leave, take

_SAY_AGAIN_S = 600.0
log = logging.getLogger("attnbench")


@contextmanager
def gpu_seat(runs_per_gpu: int) -> Iterator[int]:
    """Yield the number of a GPU with a free seat, by torch's count; wait until there is one.

    A job of SLURM with one GPU has that for itself: no seat is taken.

    Raises:
        AttnBenchError: there is no folder that is this user's alone.
    """
    gpus = torch.cuda.device_count()
    if is_allocated(os.environ, gpus):
        yield 0
        return
    names = [_name_of(gpu) for gpu in range(gpus)]
    seat = _wait_for_seat(private_folder(), names, runs_per_gpu)
    try:
        yield seat[0]
    finally:
        leave(seat[1])


def is_allocated(environment: Mapping[str, str], gpus: int) -> bool:
    """Whether a scheduler gave this process the one GPU that it sees."""
    return bool(environment.get("SLURM_JOB_ID")) and gpus == 1


def private_folder() -> Path:
    """A folder of this machine that is this user's alone, for locks; made where it is missing.

    Not `XDG_RUNTIME_DIR`: it goes with the user's last session, which trainings may outlive; nor
    `TMPDIR`, which differs between jobs.

    Raises:
        AttnBenchError: there is none.
    """
    here = socket.gethostname()
    shared = Path("/tmp")  # a machine's one place that all its processes know
    base = shared if shared.is_dir() else Path(tempfile.gettempdir())
    tried = [base / f"attnbench-{os.getuid()}", Path.home() / ".cache" / "attnbench" / here]
    for folder in tried:
        if is_private(folder):
            return folder
    raise AttnBenchError(
        f"locks of GPUs need a folder that is yours alone (mode 700, no link); neither "
        f"{tried[0]} nor {tried[1]} is, or can be made: remove one of them"
    )


def is_private(folder: Path) -> bool:
    """Whether a folder, made where it is missing, is this user's and closed to all others."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()  # of a link, not of what it points to
    except OSError:
        return False
    closed = not stat.S_IMODE(facts.st_mode) & 0o077
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and closed


def seat_name(gpu: str, seat: int) -> str:
    """File of a seat; `gpu`, which may have any letters, is hashed."""
    return f"gpu-{hashlib.sha256(gpu.encode()).hexdigest()[:16]}-{seat}.lock"


def _name_of(gpu: int) -> str:
    """What tells a GPU from others in every process of the machine, whichever of them it sees."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    named = visible[gpu].strip() if gpu < len(visible) else ""
    # Slices of one GPU may share its number.
    part = named if named.startswith("MIG-") else ""
    return f"{getattr(torch.cuda.get_device_properties(gpu), 'uuid', named or gpu)} {part}"


def _wait_for_seat(folder: Path, gpus: list[str], runs_per_gpu: int) -> tuple[int, Lock]:
    said = -_SAY_AGAIN_S
    while True:
        holders: list[Holder] = []
        for seat in range(runs_per_gpu):  # outside: runs spread over the GPUs first
            for gpu, name in enumerate(gpus):
                found = take(folder / seat_name(name, seat), f"a training on GPU {gpu}")
                if not isinstance(found, Holder):
                    return gpu, found
                holders.append(found)
        if time.monotonic() - said > _SAY_AGAIN_S:
            log.warning("waiting for a GPU; %s", "; ".join(map(str, holders)))
            said = time.monotonic()
        time.sleep(1)
