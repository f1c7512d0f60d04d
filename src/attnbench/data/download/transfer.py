"""One file from one address: resumed where possible, tried again where the trouble may pass."""

from __future__ import annotations

import logging
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from attnbench.addresses import is_url, shown
from attnbench.data.download.connection import OTHER_COPY, TransferError
from attnbench.data.download.http import (
    CHUNK,
    LONGEST_WAIT_S,
    OTHER_FILE,
    Passing,
    Patience,
    Wish,
    ask_once,
)
from attnbench.data.download.staged import own_disk

_log = logging.getLogger(__name__)


def obtain(
    wish: Wish,
    accept: Callable[[Path], str | None],
    patience: Patience,
    count: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Bring a file from its address and let `accept` judge it once it is complete.

    A file that was resumed and is wrong is fetched once more from its beginning.

    Args:
        wish: the file, and where it grows.
        accept: returns what is wrong with the complete file, or None.
        patience: how often and how long to try.
        count: is told the bytes as they come.
        stop: once it is set, nothing more is read.

    Raises:
        TransferError: a rejected file is removed, an interrupted one stays for the next try.
        FetchError: the file cannot be written.
    """
    staged = wish.staged
    with own_disk(staged.file):
        had = staged.size()
        if had > wish.most:
            staged.remove()
            had = 0
        complete = had > 0 and had == wish.listed
    if not complete:
        _transfer(wish, patience, count, stop)
    problem = accept(staged.file)
    if problem and had:
        staged.remove()
        _transfer(wish, patience, count, stop)
        problem = accept(staged.file)
    if problem:
        staged.remove()
        raise TransferError(problem, OTHER_FILE)
    staged.forget()


def _transfer(
    wish: Wish, patience: Patience, count: Callable[[int], None], stop: threading.Event
) -> None:
    if not is_url(wish.address):
        return _copy(wish, count, stop)
    begin, most, failed = time.monotonic(), wish.staged.size(), 0
    deadline = begin + patience.seconds_for(wish.most)
    while True:
        try:
            return ask_once(wish, patience, deadline, count, stop)
        except Passing as trouble:
            have = wish.staged.size()
            if have == wish.listed and have > most:
                return  # whatever came after the last byte that is wanted
            failed = 0 if have > most and not trouble.slow else failed + 1
            most = max(most, have)
            wait = max(trouble.wait_s, patience.backoff_s * 2 ** max(failed - 1, 0))
            wait = min(wait, LONGEST_WAIT_S)
            now = time.monotonic()
            if failed >= patience.attempts or now + wait > deadline:
                tries = f"{failed} tries, {now - begin:.0f} s, {have} bytes"
                todo = f"check the network, or {OTHER_COPY}"
                raise TransferError(f"{trouble.found} ({tries})", todo, trouble.dead) from trouble
            _log.info(
                "%s: %s; asked again in %.1f s, from byte %d",
                shown(wish.address),
                trouble.found,
                wait,
                have,
            )
            if stop.wait(wait):
                raise TransferError("that the download was stopped", "run again") from trouble


def _copy(wish: Wish, count: Callable[[int], None], stop: threading.Event) -> None:
    """Copy a file of a folder, once its size is seen to be right; pipes and devices are none."""
    source = Path(wish.address)
    try:
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):
            raise TransferError("a folder, pipe or device")
        size = found.st_size
        if size > wish.most or wish.listed not in (None, size):
            raise TransferError(f"{size} bytes", OTHER_FILE)
        opened = source.open("rb")
    except (OSError, ValueError) as error:
        raise TransferError(f"{getattr(error, 'strerror', None) or error}") from error
    with opened as stream:
        with own_disk(wish.staged.file):
            target = wish.staged.open(go_on=False)
        try:
            while chunk := _read(stream):
                size -= len(chunk)
                if size < 0:
                    raise TransferError("a file that grows while it is read")
                with own_disk(wish.staged.file):
                    target.write(chunk)
                count(len(chunk))
                if stop.is_set():
                    raise TransferError("that the download was stopped", "run again")
        finally:
            with own_disk(wish.staged.file):
                target.close()


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise TransferError(f"{error.strerror or error}") from error
