"""Archives, addresses and names of listed files that nobody means well with.

`ARCHIVES`: bytes by name, made for `LISTED`; what is right in them may be taken, and nothing else.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

LISTED = {"a.png": b"picture a" * 50, "masks/b.png": b"mask b" * 50}
MEBI = 1 << 20


def member(name: str, data: bytes = b"", size: int | None = None, **facts: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data) if size is None else size
    for key, value in facts.items():
        setattr(info, key, value)
    padding = b"\0" * (-len(data) % 512)
    return info.tobuf(tarfile.GNU_FORMAT) + data + padding


def _right() -> bytes:
    return b"".join(member(f"repo/{path}", data) for path, data in LISTED.items())


def _tar(*parts: bytes) -> bytes:
    return b"".join(parts) + b"\0" * 1024


def packed(*parts: bytes) -> bytes:
    return gzip.compress(_tar(*parts), 1)


def _zeros(before: bytes, mebibytes: int) -> bytes:
    """Packed: `before`, then so many MiB of zeros."""
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", 1) as stream:
        stream.write(before)
        for _ in range(mebibytes):
            stream.write(b"\0" * MEBI)
    return buffer.getvalue()


def _changed(block: bytes, at: int, new: bytes) -> bytes:
    """A header with other bytes and a checksum that is right again."""
    header = bytearray(block[:512])
    header[at : at + len(new)] = new
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + block[512:]


def _of_size(size: bytes, name: str = "repo/a.png", data: bytes = b"") -> bytes:
    return _changed(member(name, data), 124, size)


def _pax(text: bytes, then: bytes) -> bytes:
    return member("pax", text, type=tarfile.XHDTYPE) + then


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in LISTED.items():
            archive.writestr(f"repo/{path}", data)
    return buffer.getvalue()


def _sparse(real: int) -> bytes:
    """GNU's old header of a file with holes: one byte of it is there."""
    block = member("repo/a.png", b"x", type=tarfile.GNUTYPE_SPARSE)
    table = f"{real - 1:011o}\0".encode() + b"00000000001\0"
    block = _changed(block, 386, table)
    return _changed(block, 483, f"{real:011o}\0".encode())


_A = LISTED["a.png"]
_BASE256 = b"\xff" * 12

ARCHIVES: dict[str, Callable[[], bytes]] = {
    "right": lambda: packed(_right()),
    "right, not packed": lambda: _tar(_right()),
    # names
    "out of the folder": lambda: packed(member("repo/../../a.png", _A)),
    "out by an absolute name": lambda: packed(member("/repo/a.png", _A)),
    "out by attributes": lambda: packed(_pax(_record("path", "../../a.png"), member("x", _A))),
    "a name with NUL": lambda: packed(_pax(_record("path", "repo/a\0.png"), member("x", _A))),
    "a name that is not UTF-8": lambda: packed(member("repo/\udcff\udcfe", _A), _right()),
    "no folder at the top": lambda: packed(member("a.png", _A)),
    "other capital letters": lambda: packed(member("repo/A.PNG", _A)),
    "a thousand folders deep": lambda: packed(member("repo/" + "d/" * 1000 + "a.png", _A)),
    # kinds
    "a link": lambda: packed(
        member("repo/a.png", type=tarfile.SYMTYPE, linkname="/etc/hostname"), _right()
    ),
    "a link for a folder": lambda: packed(
        member("repo/masks", type=tarfile.SYMTYPE, linkname="../../.."), _right()
    ),
    "a hard link": lambda: packed(
        member("repo/a.png", type=tarfile.LNKTYPE, linkname="repo/masks/b.png")
    ),
    "a pipe": lambda: packed(member("repo/a.png", type=tarfile.FIFOTYPE)),
    "a device": lambda: packed(member("repo/a.png", type=tarfile.CHRTYPE, devmajor=1)),
    "a folder": lambda: packed(member("repo/a.png", type=tarfile.DIRTYPE)),
    "holes of 8 GB": lambda: packed(_sparse(8**11 - 1)),
    "holes, by attributes": lambda: packed(
        _pax(
            _record("GNU.sparse.major", "1")
            + _record("GNU.sparse.minor", "0")
            + _record("GNU.sparse.name", "repo/a.png")
            + _record("GNU.sparse.realsize", str(2**40)),
            member("x", b"1\n0\n1\n".ljust(512, b"\0") + b"x"),
        )
    ),
    # sizes
    "a member of 300 MB": lambda: _zeros(member("repo/a.png", size=300 * MEBI), 300),
    "a member of 8 GB that is not there": lambda: packed(member("repo/a.png", size=8**11 - 1)),
    "a bomb beside": lambda: _zeros(member("repo/z", size=300 * MEBI), 300) + packed(_right()),
    "a name of 30 MB": lambda: _zeros(
        member("x", size=30 * MEBI, type=tarfile.GNUTYPE_LONGNAME), 30
    ),
    "attributes of 30 MB": lambda: _zeros(member("x", size=30 * MEBI, type=tarfile.XHDTYPE), 30),
    "a negative size": lambda: packed(_of_size(_BASE256), _right()),
    "a negative size of a name": lambda: packed(
        _changed(member("x", type=tarfile.GNUTYPE_LONGNAME), 124, _BASE256), _right()
    ),
    "a size far back": lambda: packed(
        _right(), _of_size(b"\xff" * 8 + (-1536).to_bytes(4, "big", signed=True), "repo/z")
    ),
    "a size in words": lambda: packed(_of_size(b"a lot of it\0"), _right()),
    "a size by attributes": lambda: packed(_pax(_record("size", "-512"), member("repo/a.png"))),
    "a size in words, by attributes": lambda: packed(
        _pax(_record("size", "many"), member("repo/a.png", _A))
    ),
    "attributes that are none": lambda: packed(_pax(b"999999 path=x\n", _right())),
    "attributes without end": lambda: packed(_pax(b"0 a=b\n", _right())),
    "a time beyond all": lambda: packed(
        _pax(_record("mtime", "1e999"), member("repo/a.png", _A)), _right()
    ),
    "attributes in attributes": lambda: packed(_pax(_record("a", "b"), b"") * 3000, _right()),
    "30,000 members": lambda: packed(member("repo/z") * 30_000, _right()),
    # damage
    "cut": lambda: packed(_right())[:-30],
    "cut within the first header": lambda: packed(_right())[:25],
    "a wrong checksum": lambda: packed(_changed(_right(), 0, b"r")[:200] + b"?" + _right()[201:]),
    "noise after the first member": lambda: packed(
        member("repo/a.png", _A), random.Random(3).randbytes(5000)
    ),
    "noise": lambda: random.Random(4).randbytes(5000),
    "noise that looks packed": lambda: b"\x1f\x8b\x08\0" + random.Random(5).randbytes(5000),
    "a page": lambda: b"<html>please log in</html>",
    "nothing": lambda: b"",
    "nothing, packed": lambda: gzip.compress(b""),
    "packed twice": lambda: gzip.compress(packed(_right())),
    "another kind": _zip,
    "another packing": lambda: bz2.compress(_tar(_right())),
    "a third packing": lambda: lzma.compress(_tar(_right())),
    # content
    "wrong, then right": lambda: packed(member("repo/a.png", b"x" * len(_A)), _right()),
    "right, then wrong": lambda: packed(_right(), member("repo/a.png", b"x" * len(_A))),
    "one missing": lambda: packed(member("repo/a.png", _A)),
}

ADDRESSES = (
    *("http://a..b/", "http://", "http:///a", "http://[::1", "http://[::1]:99999", "http://:80/"),
    *("http://127.0.0.1:port", "http://127.0.0.1:-1", "http://127.0.0.1:1", "http://" + "a" * 300),
    *("https://127.0.0.1:1/", "HTTP://127.0.0.1:1/UP", "http://exa mple/", "http://127.0.0.1:1/\n"),
    *("http://\x00/", "http://\udcff/", "http://xn--\u00fc/", "http://%zz/", "http://user@/"),
    *("http://*.example.invalid/", "http://.invalid/", "http://127.0.0.1:1?key=hidden-word"),
    *("http://me:hidden-word@127.0.0.1:1/", "http://me:hidden-word@a..b/"),
    *("http://me:hidden-word/@127.0.0.1:1/", "ftp://me:hidden-word@127.0.0.1/"),
    *("file:///etc", "~nosuchuser", "~nosuchuser/a", "a\0b", "/dev/zero", "/proc/self/mem"),
    *(" ", "/etc/hostname", "\udcff", "x" * 5000, "../" * 50, "javascript:alert(1)"),
)
"""Mirrors: none has the file."""

NAMES = (
    *("../a", "a/../../b", "..", ".", "", "/a", "/etc/hostname", "//a", "a//b", "./a", "a/.", "a/"),
    *("a\0b", "a\nb", "a\x1b[2Jb", "a\x7fb", "\udcff", "x" * 256, "d/" * 600 + "a"),
    *("receipt.json", "RECEIPT.JSON", ".partial", ".partial/a", ".lock", "a|A", "a|a/b"),
    *("\u00e4|a\u0308", "stra\u00dfe|STRASSE", "a\\..\\b", "~nosuchuser/a", "$(id)", "a;b 'c\"d"),
)
"""Names in a list of files; `|` stands between two of them."""


def everything_in(folder: Path) -> dict[str, bytes | str]:
    """Content of every file below a folder, and what links point at."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file())
    }
