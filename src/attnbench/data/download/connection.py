"""Answers over HTTP whose head comes within a time, on hosts that may be asked."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from attnbench.addresses import hide_secrets, printable, without_secrets
from attnbench.errors import FetchError

MOST_REDIRECTS = 8
OTHER_COPY = "name another copy in data.mirror (or ATTNBENCH_MIRROR)"
_REDIRECTS = (301, 302, 303, 307, 308)
_own = threading.local()

# urllib3 warns of every header that it mends; what is wrong with an answer is said once, by us.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class TransferError(FetchError):
    """An address did not give the file: what was `found` instead, what to do, a dead source."""

    def __init__(self, found: str, todo: str = OTHER_COPY, dead: bool = False) -> None:
        self.found, self.todo, self.dead = printable(found), todo, dead
        super().__init__(f"found {self.found}; {todo}")


class _Timed:
    """A connection that keeps its socket in sight, to end an answer that does not come."""

    timeout: Any  # of urllib3's connections, as is `sock`
    sock: Any
    seen: socket.socket | None = None

    def getresponse(self) -> Any:
        """Read the head of an answer; `TimeoutError` if it is not whole within the timeout.

        A socket's own timeout is one per packet, and a head may come in a packet per byte.
        """
        self.seen, late = self.sock, threading.Event()

        def end() -> None:
            late.set()
            cut(self)

        timer = threading.Timer(self.timeout, end)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
            # http.client takes a head that breaks off for a whole one, or for something else.
            if late.is_set():
                raise TimeoutError(f"no whole answer within {self.timeout:g} s")


class _TimedHttp(_Timed, HTTPConnection):
    pass


class _TimedHttps(_Timed, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **named: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **named)
        timed: dict[str, Any] = {"http": _TimedHttp, "https": _TimedHttps}
        pool.ConnectionCls = timed[pool.scheme or "http"]
        return pool


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: `answer` follows redirects. requests would read their bodies, without end."""
        return None


def cut(connection: Any) -> None:
    """End whatever a connection is reading, from another thread."""
    open_socket = getattr(connection, "seen", None)
    if open_socket is not None:
        with suppress(OSError):
            open_socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def answer(
    address: str, headers: Mapping[str, str], timeout: tuple[float, float], stay: bool
) -> Iterator[requests.Response]:
    """Ask for `address`, follow redirects, and yield the answer whose body is still to be read.

    User and password of the address, or of `~/.netrc` for a host, are sent to that host only.

    Args:
        address: a URL.
        headers: sent with every request.
        timeout: seconds to connect, and for a head to be whole.
        stay: never follow a redirect to another host.

    Raises:
        TransferError: a redirect that may not be followed.
        requests.RequestException, urllib3.exceptions.HTTPError, ValueError: no usable answer.
    """
    first = urlsplit(address)
    auth = (unquote(first.username or ""), unquote(first.password or ""))
    here = address
    for _ in range(MOST_REDIRECTS + 1):
        parts = urlsplit(here)
        known = auth if any(auth) and _origin(parts) == _origin(first) else None
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        with _session().get(
            bare, headers=headers, timeout=timeout, auth=known, stream=True, allow_redirects=False
        ) as response:
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                yield response
                return
            here = _next(here, response.headers["Location"], stay)
    raise TransferError(f"more than {MOST_REDIRECTS} redirects")


def _next(here: str, location: str, stay: bool) -> str:
    """The address that a redirect names, if it may be followed."""
    shown = hide_secrets(location[:200], here)
    try:
        # Servers write UTF-8; http.client reads Latin-1.
        target = urljoin(here, location.encode("latin-1").decode("utf-8", "replace"))
        old, new = urlsplit(here), urlsplit(target)
        new.port  # noqa: B018 - reads it
    except ValueError:
        raise TransferError(f"a redirect to an address that cannot be read ({shown!r})") from None
    if new.scheme not in ("http", "https") or not new.hostname:
        raise TransferError(f"a redirect to what is no http(s) address ({shown!r})")
    if (old.scheme, new.scheme) == ("https", "http"):
        raise TransferError(f"a redirect from https to http ({without_secrets(target)})")
    if stay and new.hostname != old.hostname:
        raise TransferError(
            f"a redirect to another host ({new.hostname})",
            "data.offline never leaves the mirror: let it have the file itself, or set "
            "data.offline to false",
        )
    return target


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)


def _session() -> requests.Session:
    """One session per thread: connections are kept open, sessions are not shared."""
    if not hasattr(_own, "session"):
        _own.session = _Session()
        for scheme in ("http://", "https://"):
            _own.session.mount(scheme, _Adapter())
    session: requests.Session = _own.session
    return session
