"""Being asked to stop, by a scheduler, a terminal or a person, and what it does to a job."""

from __future__ import annotations

import signal
from types import FrameType

from attnbench.errors import Stopped

STATUS = 75
"""Exit status of a job that was asked to stop: EX_TEMPFAIL of sysexits.h, do it again later."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


class _State:
    asked: signal.Signals | None = None
    deferred: bool = False


def catch_stops() -> None:
    """From here on SIGTERM, SIGINT, SIGUSR1 and SIGHUP raise `Stopped` in the main thread.

    Once `defer` is called they are only remembered. A signal that the process was started to
    ignore, as SIGHUP under nohup, stays ignored.
    """
    for one in _SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _ask)


def asked() -> signal.Signals | None:
    """The signal that asked this process to stop, the last if there were several."""
    return _State.asked


def defer() -> None:
    """From here on remember being asked: who calls it looks at `asked`. Raises what came before."""
    _State.deferred = True
    _raise_if_asked()


def allow() -> None:
    """From here on being asked raises `Stopped` again, at once where it was remembered."""
    _State.deferred = False
    _raise_if_asked()


def _ask(number: int, _frame: FrameType | None) -> None:
    _State.asked = signal.Signals(number)
    if not _State.deferred:
        _raise_if_asked()


def _raise_if_asked() -> None:
    if _State.asked:
        raise Stopped(f"stopped by {_State.asked.name}")
