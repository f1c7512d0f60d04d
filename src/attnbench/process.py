"""Which process something belongs to, so that others can tell whether it is still at work."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FIRST_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of Linux: that of the machine itself


@dataclass(frozen=True)
class Process:
    """A process of a machine.

    `start` is when it began, in ticks since the machine's, where the system says so (Linux; else
    empty): a number that was given to a later process is not taken for it.
    """

    host: str
    pid: int
    start: str

    @property
    def is_here(self) -> bool:
        """Whether it is of this machine, and of this container's processes."""
        return self.host == _host()

    def is_alive(self) -> bool:
        """Whether a process of this machine is still there; of others nobody here can say."""
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True  # that of another user, whose start we need not be shown
        except (ProcessLookupError, OverflowError):
            return False
        state, start = _state_of(self.pid)
        return state not in ("Z", "X") and start == (self.start or start)


def this_process() -> Process:
    """The process that asks."""
    return Process(_host(), os.getpid(), _state_of(os.getpid())[1])


@cache
def _host() -> str:
    """Name of this machine in the letters that file names allow; containers have one of their own,
    as their processes are counted anew.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname().split(".")[0])[:60] or "host"
    try:
        # By the number of the namespace: containers may have the name of their machine.
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return name
    number = "".join(filter(str.isdigit, space))
    return name if space == _FIRST_NAMESPACE else f"{name}_{number}"


def _state_of(pid: int) -> tuple[str, str]:
    """State (a letter) and start of a process by proc(5); both empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    # The name before them, in brackets, may have any letters.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]
