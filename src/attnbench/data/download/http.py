"""One answer over HTTP into a file: the bytes that it lacks, no more than it may have, in time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from attnbench.addresses import hide_secrets, printable
from attnbench.data.download.connection import OTHER_COPY, TransferError, answer, cut
from attnbench.data.download.staged import Staged, Version, own_disk
from attnbench.errors import AttnBenchError

CHUNK = 1 << 16
LONGEST_WAIT_S = 60.0
OTHER_FILE = f"the source has another file than the catalog: {OTHER_COPY}"
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_PARTIAL, _BEYOND = 206, 416


@dataclass(frozen=True)
class Patience:
    """How often and how long an address is tried.

    `attempts` without a new byte, each twice as long after the one before as that was, from
    `backoff_s` on; a head of an answer is whole within `read_s`. A body brings `least_bytes_s`
    on average over every `window_s`, else it is a failed attempt; a file that may have n bytes is
    given up after `grace_s` + n / `slow_bytes_s` seconds.
    """

    attempts: int = 6
    backoff_s: float = 1.0
    connect_s: float = 10.0
    read_s: float = 60.0
    window_s: float = 60.0
    least_bytes_s: float = 1000.0
    grace_s: float = 900.0
    slow_bytes_s: float = 20_000.0

    def seconds_for(self, size: int) -> float:
        """The time after which a file of at most `size` bytes is given up."""
        return self.grace_s + size / self.slow_bytes_s


@dataclass(frozen=True)
class Wish:
    """A file from an address.

    Attributes:
        address: a URL or a path.
        staged: where it grows; what is there is kept and continued.
        listed: its bytes; None: nobody says.
        at_most: bytes at which it is stopped, where they are not listed.
        stay: a redirect to another host is not followed.
    """

    address: str
    staged: Staged
    listed: int | None
    at_most: int
    stay: bool = False

    @property
    def most(self) -> int:
        """Bytes at which it is stopped."""
        return self.at_most if self.listed is None else self.listed


class Passing(Exception):
    """Trouble that may pass; `wait_s` is what the server asks for, `slow` that it gave little."""

    def __init__(
        self, found: str, wait_s: float = 0.0, dead: bool = False, slow: bool = False
    ) -> None:
        super().__init__(found)
        self.found, self.wait_s, self.dead, self.slow = printable(found), wait_s, dead, slow


def ask_once(
    wish: Wish,
    patience: Patience,
    deadline: float,
    count: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Send one request, for the bytes that the file lacks where the server can skip the rest.

    Args:
        wish: the file; its address is a URL.
        patience: timeouts and the least rate.
        deadline: of `time.monotonic`; nothing is read after it.
        count: is told the bytes as they come.
        stop: once it is set, nothing more is read.

    Raises:
        Passing: trouble that may pass; the bytes that came are kept.
        TransferError: the address does not give the file.
        FetchError: the file cannot be written.
    """
    have, before = wish.staged.size(), wish.staged.version()
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"}
        # Of another address the bytes may be the same: the checksum tells.
        if before.address == Version.of(wish.address, {}).address:
            headers |= before.condition
    timeout = (patience.connect_s, patience.read_s)
    with (
        _as_trouble(wish),
        answer(wish.address, headers, timeout, wish.stay) as response,
    ):
        if response.status_code == _BEYOND and have:
            return _beyond(wish, response, have)
        _check_status(response)
        now = Version.of(wish.address, response.headers)
        start = _start(wish, response, have)
        if start and before.differs(now):
            wish.staged.remove()
            raise Passing("another version of the file than its first part is of")
        _check_length(wish, response, start)
        with own_disk(wish.staged.file):
            wish.staged.remember(now)
        _write(wish, response, start, patience, deadline, count, stop)


def _write(
    wish: Wish,
    response: requests.Response,
    start: int,
    patience: Patience,
    deadline: float,
    count: Callable[[int], None],
    stop: threading.Event,
) -> None:
    have = start
    with own_disk(wish.staged.file):
        stream = wish.staged.open(go_on=start > 0)
    try:
        for chunk in _body(response, patience, deadline):
            have += len(chunk)
            if have > wish.most:
                wish.staged.remove()
                raise TransferError(f"more than {wish.most} bytes", OTHER_FILE)
            with own_disk(wish.staged.file):
                stream.write(chunk)
            count(len(chunk))
            if stop.is_set():
                raise TransferError("that the download was stopped", "run again")
    finally:
        with own_disk(wish.staged.file):
            stream.close()
    if wish.listed is not None and have < wish.listed:
        raise Passing(f"an end after {have} of {wish.listed} bytes")


def _body(response: requests.Response, patience: Patience, deadline: float) -> Iterator[bytes]:
    """Yield the bytes as they come, never decoded; `Passing` where they are too few for the time.

    A read of http.client returns when a whole chunk, or its last line, is there: a second thread
    ends one that takes longer than two windows.
    """
    connection: Any = getattr(response.raw, "connection", None)
    late = threading.Event()

    def end() -> None:
        late.set()
        cut(connection)

    timer = _timer(2 * patience.window_s, end)
    begin, brought = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
            now, brought = time.monotonic(), brought + len(chunk)
            if now > deadline:
                raise Passing("a transfer that takes too long", slow=True)
            if now - begin >= patience.window_s:
                if brought < patience.least_bytes_s * (now - begin):
                    raise Passing(f"only {brought / (now - begin):.0f} bytes per second", slow=True)
                timer.cancel()
                timer = _timer(2 * patience.window_s, end)
                begin, brought = now, 0
    except urllib3.exceptions.HTTPError:
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        seconds = time.monotonic() - begin
        raise Passing(f"only {brought} bytes in {seconds:.0f} seconds", slow=True)


def _timer(seconds: float, end: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def _as_trouble(wish: Wish) -> Iterator[None]:
    """Turn what the libraries below raise into trouble of this address, without its secrets."""
    try:
        yield
    except (Passing, AttnBenchError):
        raise
    except (requests.ConnectionError, requests.Timeout) as error:
        reason = _reason(error, wish)
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            raise TransferError(f"no usable answer: {reason}", dead=True) from error
        raise Passing(f"no answer: {reason}", dead=True) from error
    except urllib3.exceptions.ProtocolError as error:
        had = wish.staged.size()
        raise Passing(f"a connection that broke after {had} bytes") from error
    except urllib3.exceptions.ReadTimeoutError as error:
        had = wish.staged.size()
        raise Passing(f"a connection that went silent after {had} bytes", slow=True) from error
    except Exception as error:
        # Of what a server sends, or of an address, nothing may end the other sources.
        raise TransferError(f"no usable answer: {_reason(error, wish)}") from error


def _reason(error: BaseException, wish: Wish) -> str:
    """The cause below the layers that requests puts around it."""
    inner = error.args[0] if error.args else error
    if isinstance(inner, urllib3.exceptions.ProtocolError) and inner.args:
        inner = inner.args[-1]
    text = str(getattr(inner, "reason", inner)) or type(inner).__name__
    return hide_secrets(text, wish.address)[:300]


def _check_status(response: requests.Response) -> None:
    said = f"HTTP status {response.status_code} {(response.reason or '')[:100]}"
    if response.status_code in _PASSING:
        raise Passing(said, asked_wait(response.headers.get("Retry-After", "")))
    if response.status_code not in (requests.codes.ok, _PARTIAL):
        raise TransferError(said)


def asked_wait(retry_after: str) -> float:
    """Seconds that a server asks to wait, by number or date; at most a minute, else 0."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after.strip()):
        return min(float(retry_after), LONGEST_WAIT_S)
    try:
        wait = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT_S)


def _range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and whole size that an answer says it has; None: it does not say."""
    said = response.headers.get("Content-Range", "").strip()
    found = re.fullmatch(r"bytes (?:([0-9]{1,15})-[0-9]{1,15}|\*)/(?:([0-9]{1,15})|\*)", said)
    first, whole = found.groups() if found else (None, None)
    return (None if first is None else int(first), None if whole is None else int(whole))


def _start(wish: Wish, response: requests.Response, have: int) -> int:
    """Where the answer's bytes belong: after those that are there, or at the beginning."""
    if response.status_code != _PARTIAL:
        return 0
    first, whole = _range(response)
    if first != have:
        said = hide_secrets(response.headers.get("Content-Range", "no Content-Range")[:100])
        raise TransferError(f"a part that was not asked for ({said})")
    if wish.listed is not None and whole not in (None, wish.listed):
        raise TransferError(f"{whole} bytes", OTHER_FILE)
    return have


def _check_length(wish: Wish, response: requests.Response, start: int) -> None:
    """Refuse, before its body is read, an answer that says that it is another file."""
    said = response.headers.get("Content-Length", "")
    # http.client takes no other numbers for a length either, and reads until the end.
    if not re.fullmatch(r"[0-9]{1,18}", said):
        return
    whole = start + int(said)
    wrong = whole > wish.most if wish.listed is None else whole != wish.listed
    # A part may be shorter than asked for; the next request asks for what it lacks.
    if start and whole < wish.most:
        wrong = False
    if wrong:
        wish.staged.remove()
        kind = response.headers.get("Content-Type", "")[:80]
        limit = f", where at most {wish.most} are expected" if wish.listed is None else ""
        shown = f" ({kind})" if kind else ""
        raise TransferError(f"{whole} bytes{shown}{limit}", OTHER_FILE)


def _beyond(wish: Wish, response: requests.Response, have: int) -> None:
    """Take a file for complete of which the server says that it ends here; else begin anew."""
    _, whole = _range(response)
    if whole == have:
        return
    wish.staged.remove()
    raise Passing("a shorter file than the part already here")
