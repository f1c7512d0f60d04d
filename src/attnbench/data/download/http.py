"""One file from one address: resumed where possible, tried again where the trouble may pass."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from attnbench.errors import FetchError

CHUNK = 1 << 16
LONGEST_WAIT_S = 60.0
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_OTHER_COPY = "name another copy in data.mirror (or ATTNBENCH_MIRROR)"
_local = threading.local()


@dataclass(frozen=True)
class Patience:
    """Tries of an address without any new byte, wait before the second try, and timeouts."""

    attempts: int = 4
    backoff_s: float = 0.5
    connect_s: float = 10.0
    read_s: float = 60.0


class TransferError(FetchError):
    """An address did not give the file: what was `found` instead, what to do, a dead source."""

    def __init__(self, found: str, todo: str = _OTHER_COPY, dead: bool = False) -> None:
        super().__init__(f"found {found}; {todo}")
        self.found, self.todo, self.dead = found, todo, dead


class _Passing(Exception):
    """Trouble that may pass; `wait_s` is what the server asks for."""

    def __init__(self, found: str, wait_s: float = 0.0, dead: bool = False) -> None:
        super().__init__(found)
        self.found, self.wait_s, self.dead = found, wait_s, dead


def is_url(address: str) -> bool:
    """Return whether an address is reached over HTTP; otherwise it is a path."""
    return address.startswith(("http://", "https://"))


def obtain(
    address: str,
    partial: Path,
    accept: Callable[[Path], str | None],
    patience: Patience,
    count: Callable[[int], None],
) -> None:
    """Bring `address` into `partial` and let `accept` judge the complete file.

    A file that was resumed and is wrong is fetched once more from its beginning.

    Args:
        address: a URL or a path.
        partial: where the file grows; what is there is kept and continued.
        accept: returns what is wrong with the complete file, or None.
        patience: how often and how long to try.
        count: is told the bytes as they come.

    Raises:
        TransferError: a rejected file is removed, an interrupted one stays for the next try.
    """
    resumed = partial.is_file()
    partial.parent.mkdir(parents=True, exist_ok=True)
    _transfer(address, partial, patience, count)
    problem = accept(partial)
    if problem and resumed:
        partial.unlink()
        _transfer(address, partial, patience, count)
        problem = accept(partial)
    if problem:
        partial.unlink()
        raise TransferError(problem, f"the source has another file than the catalog: {_OTHER_COPY}")


def _transfer(
    address: str, partial: Path, patience: Patience, count: Callable[[int], None]
) -> None:
    if not is_url(address):
        return _copy(Path(address), partial, count)
    most, failed = _size(partial), 0
    while True:
        try:
            return _download(address, partial, patience, count)
        except _Passing as trouble:
            failed = 0 if _size(partial) > most else failed + 1
            most = max(most, _size(partial))
            if failed >= patience.attempts:
                todo = f"check the network, or {_OTHER_COPY}"
                raise TransferError(
                    f"{trouble.found} ({failed} tries)", todo, trouble.dead
                ) from trouble
            time.sleep(max(trouble.wait_s, patience.backoff_s * 2 ** max(failed - 1, 0)))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _copy(source: Path, partial: Path, count: Callable[[int], None]) -> None:
    try:
        shutil.copyfile(source, partial)
    except OSError as error:
        raise TransferError(f"{error.strerror or error}") from error
    count(_size(partial))


def _download(
    address: str, partial: Path, patience: Patience, count: Callable[[int], None]
) -> None:
    """Send one request, for the bytes that `partial` lacks where the server can skip the rest."""
    have = _size(partial)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = (patience.connect_s, patience.read_s)
    try:
        with _session().get(address, headers=headers, timeout=timeout, stream=True) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable and have:
                partial.unlink()
                raise _Passing("a shorter file than the part already here")
            _check_status(response)
            with partial.open("ab" if _continues(response, have) else "wb") as stream:
                for chunk in response.iter_content(CHUNK):
                    stream.write(chunk)
                    count(len(chunk))
    except requests.exceptions.ChunkedEncodingError as error:
        raise _Passing(f"a connection that broke after {_size(partial)} bytes") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Passing(f"no answer: {_reason(error)}", dead=True) from error
    except requests.RequestException as error:
        raise TransferError(f"no usable answer: {error}") from error


def _check_status(response: requests.Response) -> None:
    answer = f"HTTP status {response.status_code} {response.reason}"
    if response.status_code in _PASSING:
        raise _Passing(answer, _asked_wait(response.headers.get("Retry-After", "")))
    if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
        raise TransferError(answer)


def _asked_wait(retry_after: str) -> float:
    return min(float(retry_after), LONGEST_WAIT_S) if retry_after.isdigit() else 0.0


def _continues(response: requests.Response, have: int) -> bool:
    """Return whether the answer starts where the file ends; a full answer replaces it."""
    if response.status_code != requests.codes.partial_content:
        return False
    if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise TransferError(
            f"a part that was not asked for ({response.headers.get('Content-Range')})"
        )
    return True


def _reason(error: requests.RequestException) -> str:
    """The cause below the layers that requests puts around it."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner))


def _session() -> requests.Session:
    """One session per thread: connections are kept open, sessions are not shared."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    return _local.session
