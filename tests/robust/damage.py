"""Damaged files of every kind that a study reads, drawn from whole ones: bytes in, bytes out."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.errors import AttnBenchError

Damaged = tuple[str, bytes]
WRONG = (None, "x", -1, [], {}, True, 10**400, float("nan"), float("inf"), "1e999", [[]], 2**63)
NUMBERS = ("", "nan", "inf", "-1", "1e999", "1" * 5000, "x", "0x1", "1,5", "٣", "\x00")


def flipped(content: bytes, bit: int) -> bytes:
    """The content with one bit turned."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damages(content: bytes, suffix: str, seed: int = 0, flips: int = 8) -> Iterator[Damaged]:
    """Yield what may become of a file, each with a name; none equals the whole file."""
    found = [*_of_any_file(content, seed, flips), *_OF_KIND.get(suffix, _nothing)(content)]
    yield from ((name, damaged) for name, damaged in found if damaged != content)


def outcome(read: Callable[[], Any], whole: Any, same: Callable[[Any, Any], bool]) -> str:
    """What came of reading a damaged file: `refused`, `unharmed`, else what is wrong with it."""
    try:
        found = read()
    except AttnBenchError as error:
        return "refused" if len(str(error)) > 20 else f"without a cause: {error!r}"
    except (Exception, SystemExit) as error:
        return f"traceback: {type(error).__name__}: {error}"[:200]
    return "unharmed" if same(found, whole) else "WRONG ACCEPTED"


def _nothing(_content: bytes) -> Iterator[Damaged]:
    return iter(())


def _of_any_file(content: bytes, seed: int, flips: int) -> Iterator[Damaged]:
    random, size = np.random.default_rng(seed), len(content)
    yield "empty", b""
    for share in (0.01, 0.5, 0.99):
        yield f"cut to {share}", content[: int(size * share)]
    yield "cut by one byte", content[:-1]
    yield "zeros", bytes(size)
    yield "random", random.bytes(size)
    yield "a hole of zeros", content[: size // 3] + bytes(size // 3) + content[2 * (size // 3) :]
    yield "random after the head", content[:16] + random.bytes(max(0, size - 16))
    yield "twice", content + content
    yield "more after the end", content + b"\x00more"
    yield "a page of the web", b"<!DOCTYPE html><html><body>404</body></html>\n"
    yield "a zip", b"PK\x03\x04" + content[4:]
    yield "a pickle", b"\x80\x04\x95" + content[3:]
    for bit in random.integers(0, max(1, 8 * size), flips if size else 0).tolist():
        yield f"bit {bit}", flipped(content, bit)


def _of_text(content: bytes) -> Iterator[Damaged]:
    text = content.decode()
    yield "UTF-16", text.encode("utf-16")
    yield "Latin-1", ("ü" + text).encode("latin-1", "replace")
    yield "a byte order mark", b"\xef\xbb\xbf" + content
    yield "carriage returns", text.replace("\n", "\r").encode()


def _of_json(content: bytes) -> Iterator[Damaged]:
    yield from _of_text(content)
    for name, text in (
        ("null", "null"), ("a list", "[]"), ("a number", "3"), ("a word", '"x"'), ("NaN", "NaN"),
        ("deep", "[" * 100_000), ("deep object", '{"a":' * 100_000), ("huge", "1" * 10_000),
        ("infinite", "1e999"), ("a comment", "// x\n{}"), ("nothing in it", "{}"),
    ):  # fmt: skip
        yield name, text.encode()
    whole = json.loads(content)
    if not isinstance(whole, dict):
        return
    keys = list(whole)
    for place, key in enumerate(keys):
        yield f"without {key}", _text({k: v for k, v in whole.items() if k != key})
        wrong = WRONG[place % len(WRONG)]
        yield f"{key} is {wrong!r:.20}", _text(whole | {key: wrong})
        other = keys[(place + 1) % len(keys)]
        yield f"{key} and {other} swapped", _text(whole | {key: whole[other], other: whole[key]})
    yield "an unknown key", _text(whole | {"unknown": 1})
    # The second of two equal keys wins in Python.
    yield "a key twice", content.rstrip()[:-1] + f', "{keys[0]}": 3}}'.encode()


def _text(content: Any) -> bytes:
    return json.dumps(content).encode()


def _of_csv(content: bytes) -> Iterator[Damaged]:
    yield from _of_text(content)
    header, *rows = content.decode().splitlines()
    last = rows[-1] if rows else ""
    names = header.split(",")
    yield "header alone", f"{header}\n".encode()
    yield "no header", "\n".join([*rows, ""]).encode()
    yield "semicolons", content.replace(b",", b";")
    yield "an open quote", content + b'"open'
    yield "no last newline", content.rstrip(b"\n")
    yield "a row cut", "\n".join([header, *rows[:-1], ""]).encode()
    yield "a row twice", "\n".join([header, *rows, last, ""]).encode()
    yield "rows in another order", "\n".join([header, *rows[::-1], ""]).encode()
    yield "a longer row", "\n".join([header, *rows, f"{last},1", ""]).encode()
    yield "a shorter row", "\n".join([header, *rows, last.rpartition(",")[0], ""]).encode()
    for place, name in enumerate(names):
        swapped = [*names]
        other = (place + 1) % len(names)
        swapped[place], swapped[other] = swapped[other], swapped[place]
        yield (
            f"{name} and {names[other]} swapped",
            "\n".join([",".join(swapped), *rows, ""]).encode(),
        )
        if rows:
            cells = rows[0].split(",")
            cells[place : place + 1] = [NUMBERS[place % len(NUMBERS)]]
            yield (
                f"{name} is {cells[place]!r:.12}",
                "\n".join([header, ",".join(cells), *rows[1:], ""]).encode(),
            )


def _of_npy(content: bytes) -> Iterator[Damaged]:
    array = np.load(io.BytesIO(content))
    payload = content[-array.nbytes :]

    def made(descr: str, shape: Any, fortran: bool = False, version: int = 1) -> bytes:
        said = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
        padded = said.ljust(117) + "\n"
        size = struct.pack("<H", len(padded))
        return b"\x93NUMPY" + bytes([version, 0]) + size + padded.encode() + payload

    own, shape = repr(array.dtype.str), array.shape
    yield from {
        "objects": made("'|O'", shape), "another type": made("'<f8'", shape),
        "a type of fields": made("[('a', '<f4')]", shape), "huge": made(own, (2**62,)),
        "too huge": made(own, (10**30,)), "negative": made(own, (-1,)), "no type": made("3", shape),
        "two axes": made(own, (1, *shape)), "no axis": made(own, ()),
        "Fortran": made(own, (1, *shape), True), "version 9": made(own, shape, version=9),
        "code": made("__import__('os').system('false')", shape), "an open header": made("(", shape),
    }.items()  # fmt: skip
    changed = np.roll(array, 1)
    yield "one voxel on", content[: -array.nbytes] + changed.tobytes()


_OF_KIND: dict[str, Callable[[bytes], Iterator[Damaged]]] = {
    ".json": _of_json,
    ".csv": _of_csv,
    ".npy": _of_npy,
    ".yaml": _of_text,
}


def tried(path: Path, seed: int = 0, flips: int = 8) -> Iterator[str]:
    """Damage a file in every way, one after the other; it is whole again at the end.

    Yields:
        what was done to the file that lies at `path` now.
    """
    whole = path.read_bytes()
    facts = path.stat()
    try:
        for name, damaged in damages(whole, path.suffix, seed, flips):
            path.write_bytes(damaged)
            yield name
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
