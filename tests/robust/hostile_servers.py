"""A server on the loopback that answers over raw sockets, and everything that it does wrong.

`FAULTS` is by name: what a server does with one request for `CONTENT`. A fault that only looks
wrong may end in the right bytes; no other bytes may ever be taken.
"""

from __future__ import annotations

import contextlib
import gzip
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CONTENT = random.Random(1).randbytes(3000)
OTHER = random.Random(2).randbytes(3000)
HANG_S = 60.0


class Gone(Exception):
    """The client has closed its end."""


@dataclass
class Link:
    """One connection with one request: its head, how many came before it, and what was sent."""

    connection: socket.socket
    head: str
    number: int
    sent: list[int]
    over: threading.Event

    @property
    def start(self) -> int | None:
        found = re.search(r"(?i)^range: bytes=(\d+)-", self.head, re.MULTILINE)
        return int(found[1]) if found else None

    def send(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError:
            raise Gone from None
        self.sent[0] += len(data)

    def say(self, status: str = "200 OK", **headers: object) -> None:
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        self.send(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("utf-8"))

    def wait(self, seconds: float = HANG_S) -> None:
        if self.over.wait(seconds):
            raise Gone

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def flood(self, piece: bytes) -> None:
        while not self.over.is_set():
            self.send(piece)

    def drip(self, data: bytes, seconds: float = 0.1) -> None:
        for number in range(len(data)):
            self.send(data[number : number + 1])
            self.wait_a_little(seconds)

    def wait_a_little(self, seconds: float) -> None:
        if self.over.wait(seconds):
            raise Gone


Fault = Callable[[Link], None]


@dataclass
class Hostile:
    """A running server with one fault, or with none."""

    fault: Fault
    port: int = 0
    sent: list[int] = field(default_factory=lambda: [0])
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def whole(link: Link) -> None:
    """No fault."""
    link.say(Content_Length=len(CONTENT))
    link.send(CONTENT)


@contextmanager
def running(fault: Fault) -> Iterator[Hostile]:
    """Serve with one fault, several clients at a time, until the block ends."""
    server, over = Hostile(fault), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(Gone, OSError):
            connection.settimeout(HANG_S)
            head = b""
            while b"\r\n\r\n" not in head:
                more = connection.recv(4096)
                if not more:
                    return
                head += more
                if not head.startswith(b"GET"):  # TLS to a server that has none
                    break
            server.heads.append(head.decode("latin-1"))
            fault(Link(connection, server.heads[-1], len(server.heads) - 1, server.sent, over))

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        over.set()
        listener.close()


def _head(link: Link, line: str) -> None:
    link.send(f"HTTP/1.1 200 OK\r\n{line}\r\n\r\n".encode("latin-1"))


def _sized(link: Link, said: object, data: bytes = CONTENT) -> None:
    link.say(Content_Length=said)
    link.send(data)


def _chunked(link: Link, *pieces: bytes) -> None:
    link.say(Transfer_Encoding="chunked")
    for piece in pieces:
        link.send(piece)


def _encoded(link: Link, encoding: str, data: bytes) -> None:
    link.say(Content_Encoding=encoding, Content_Length=len(data))
    link.send(data)


def _redirect(link: Link, location: str, status: str = "302 Found") -> None:
    link.say(status, Location=location, Content_Length=0)


def _busy(link: Link, wait: str, status: str = "503 Busy") -> None:
    link.say(status, Retry_After=wait, Content_Length=0)


def _part(link: Link, said: str, data: bytes = CONTENT) -> None:
    link.say("206 Partial Content", Content_Range=said, Content_Length=len(data))
    link.send(data)


def _reset_after(link: Link, data: bytes) -> None:
    link.send(data)
    time.sleep(0.05)
    link.reset()


def _drip_after(link: Link, data: bytes, rest: bytes) -> None:
    link.send(data)
    link.drip(rest)


def _stall_after(link: Link, data: bytes) -> None:
    link.send(data)
    link.wait()


def _flood_after(link: Link, data: bytes, piece: bytes) -> None:
    link.send(data)
    link.flood(piece)


def _another_at_each(link: Link) -> None:
    """Half of one version, then the rest of another, though the client says which it has."""
    version = CONTENT if link.number % 2 else OTHER
    start = link.start or 0
    status = "206 Partial Content" if start else "200 OK"
    link.say(
        status,
        ETag=f'"{link.number}"',
        Content_Range=f"bytes {start}-2999/3000",
        Content_Length=3000 - start,
    )
    link.send(version[start : start + 1000])


def _gone_after_half(link: Link) -> None:
    if link.start is None:
        return _sized(link, 3000, CONTENT[:1500])
    link.say("416 Range Not Satisfiable", Content_Range="bytes */1200", Content_Length=0)


_OK = b"HTTP/1.1 200 OK\r\n"
_LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"
_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_PIECE = b"%x\r\n" % len(CONTENT) + CONTENT + b"\r\n"
_BLOCK = b"\0" * 65536
_BOMB = gzip.compress(b"\0" * 200_000_000, 1)

FAULTS: dict[str, Fault] = {
    # silence and drips
    "silent from the start": lambda link: link.wait(),
    "silent within the head": lambda link: _stall_after(link, _OK + b"Content-Le"),
    "silent after the head": lambda link: _stall_after(link, _LONG),
    "silent within the body": lambda link: _stall_after(link, _LONG + CONTENT[:1000]),
    "silent within a chunk's size": lambda link: _stall_after(link, _CHUNKS + b"BB"),
    "a byte of the head at a time": lambda link: _drip_after(link, _OK, b"X-Slow: " + b"y" * 9999),
    "a byte of the body at a time": lambda link: _drip_after(link, _LONG, CONTENT),
    "a byte of a chunk's size at a time": lambda link: _drip_after(link, _CHUNKS, b"0" * 9999),
    "a byte of the trailer at a time": lambda link: _drip_after(
        link, _CHUNKS + _PIECE + b"0\r\n", b"X-Slow: a\r\n" * 999
    ),
    # without end
    "endless body without length": lambda link: _flood_after(link, _OK + b"\r\n", _BLOCK),
    "endless body in chunks": lambda link: _flood_after(
        link, _CHUNKS, b"10000\r\n" + _BLOCK + b"\r\n"
    ),
    "endless head": lambda link: _flood_after(link, _OK, b"X-More: more\r\n" * 100),
    "endless line in the head": lambda link: _flood_after(link, _OK + b"X-Long: ", b"a" * 9999),
    "endless trailer": lambda link: _flood_after(
        link, _CHUNKS + _PIECE + b"0\r\n", b"X-More: more\r\n" * 1000
    ),
    "endless announcements": lambda link: link.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "endless body of a redirect": lambda link: _flood_after(
        link, b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n", _BLOCK
    ),
    "endless body of an error": lambda link: _flood_after(
        link, b"HTTP/1.1 404 Not Found\r\n\r\n", _BLOCK
    ),
    # lengths
    "less than announced": lambda link: _sized(link, 3000, CONTENT[:2000]),
    "more than announced": lambda link: _sized(link, 3000, CONTENT + b"more"),
    "a shorter file": lambda link: _sized(link, 2000, CONTENT[:2000]),
    "a longer file": lambda link: _sized(link, 10**15, CONTENT),
    "a shorter file without length": lambda link: (link.say(), link.send(CONTENT[:2000])),
    "a negative length": lambda link: _sized(link, -5),
    "a length in words": lambda link: _sized(link, "many"),
    "a length of other digits": lambda link: _sized(link, "３０００"),
    "two lengths": lambda link: _head(link, "Content-Length: 3000\r\nContent-Length: 2000"),
    # chunks
    "a chunk's size that is no number": lambda link: _chunked(link, b"zz\r\n", CONTENT),
    "a chunk of negative size": lambda link: _chunked(link, b"-5\r\n", CONTENT),
    "a chunk that breaks off": lambda link: _chunked(link, _PIECE[:2000]),
    "chunks without an end": lambda link: _chunked(link, _PIECE),
    "a chunk of 10^18 bytes": lambda link: _chunked(link, b"de0b6b3a7640000\r\n", CONTENT),
    # encodings
    "packed without being asked": lambda link: _encoded(link, "gzip", gzip.compress(CONTENT)),
    "packed bomb": lambda link: _encoded(link, "gzip", _BOMB),
    "packed bomb without length": lambda link: (
        link.say(Content_Encoding="gzip"),
        link.send(_BOMB),
    ),
    "called packed": lambda link: _encoded(link, "gzip", CONTENT),
    "another packing": lambda link: _encoded(link, "deflate", zlib.compress(CONTENT)),
    "an unknown encoding": lambda link: _encoded(link, "br, \x7f, identity", CONTENT),
    # redirects
    "a redirect to itself": lambda link: _redirect(link, "/files/a.png"),
    "redirects without end": lambda link: _redirect(link, f"/{link.number}"),
    "a redirect to a file": lambda link: _redirect(link, "file:///etc/hostname"),
    "a redirect to another protocol": lambda link: _redirect(link, "ftp://127.0.0.1/a.png"),
    "a redirect to half an address": lambda link: _redirect(link, "http://[::1"),
    "a redirect to no name": lambda link: _redirect(link, "http://a..b/"),
    "a redirect to no port": lambda link: _redirect(link, "http://127.0.0.1:99999/"),
    "a redirect to odd letters": lambda link: _redirect(link, "http://\x01²\x7f/"),
    "a redirect to nowhere": lambda link: _redirect(link, ""),
    "a redirect that does not say where": lambda link: link.say("301 Moved", Content_Length=0),
    # ranges
    "a part, unasked": lambda link: _part(link, "bytes 0-999/3000", CONTENT[:1000]),
    "another part": lambda link: _part(link, "bytes 500-2999/3000", CONTENT[500:]),
    "a part that does not say which": lambda link: _part(link, "lines ²-three/*"),
    "nothing is to be had": lambda link: link.say("416 No", Content_Length=0),
    "nothing more is to be had": _gone_after_half,
    "another version at each try": _another_at_each,
    # statuses
    "a wait in other digits": lambda link: _busy(link, "²"),
    "a negative wait": lambda link: _busy(link, "-5"),
    "a wait beyond all numbers": lambda link: _busy(link, "1" * 400, "429 Too Many"),
    "a wait until no date": lambda link: _busy(link, "Thu, 99 Foo 20x6 25:61:61 GMT"),
    "a wait until the year 9999": lambda link: _busy(link, "Fri, 31 Dec 9999 23:59:59 GMT"),
    "gone": lambda link: link.say("404 Not Found", Content_Length=0),
    "broken": lambda link: link.say("500 Internal Server Error", Content_Length=0),
    "no content": lambda link: link.say("204 No Content"),
    "not modified": lambda link: link.say("304 Not Modified"),
    "a status beyond all": lambda link: link.say("999 What", Content_Length=0),
    "a status that is no number": lambda link: link.say("abc OK", Content_Length=0),
    # other answers
    "a page instead": lambda link: (
        link.say(Content_Type="text/html", Content_Length=26),
        link.send(b"<html>please log in</html>"),
    ),
    "other bytes of that length": lambda link: _sized(link, 3000, OTHER),
    "no head at all": lambda link: link.send(CONTENT),
    "a head of odd bytes": lambda link: link.send(_OK + bytes(range(256)) + b"\r\n\r\n"),
    "a head that breaks off": lambda link: link.send(_OK + b"Content-Length: 30"),
    "closed at once": lambda link: None,
    "reset at once": lambda link: link.reset(),
    "reset within the head": lambda link: _reset_after(link, _OK + b"Content-"),
    "reset within the body": lambda link: _reset_after(link, _LONG + CONTENT[:1000]),
}
