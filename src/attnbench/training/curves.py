"""Live curves: a run's history as a TensorBoard event file, row by row while it trains."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

CURVES = "curves.tfevents"
_CASTAGNOLI = 0x82F63B78


@contextmanager
def live_curves(path: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Begin the event file at `path` anew and yield what adds a row of the history to it; every row
    is there at once.

    A row has `step`; each of its other numbers becomes a point of the curve of that name, NaN
    none. Nothing is needed to write it: the file is TensorFlow's record format with the protocol
    buffers `Event` and `Summary` inside.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as stream:
        _append(stream, _event(_text(3, b"brain.Event:2")))

        def show(row: Mapping[str, float]) -> None:
            values = {
                name: value
                for name, value in row.items()
                if name != "step" and not math.isnan(value)
            }
            points = b"".join(
                _text(1, _text(1, name.encode()) + _float(2, value))
                for name, value in values.items()
            )
            _append(stream, _event(b"\x10" + _varint(int(row["step"])) + _text(5, points)))

        yield show


def _event(content: bytes) -> bytes:
    """An `Event` of now: field 1 is the wall time; `content` has the step (2) and the version
    (3) or points (5).
    """
    return b"\x09" + struct.pack("<d", time.time()) + content


def _text(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _float(field: int, value: float) -> bytes:
    return bytes([field << 3 | 5]) + struct.pack("<f", value)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _append(stream: BinaryIO, record: bytes) -> None:
    length = struct.pack("<Q", len(record))
    stream.write(length + _checksum(length) + record + _checksum(record))


def _checksum(content: bytes) -> bytes:
    """CRC-32C, rotated and shifted as TFRecord asks for."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        return value

    return tuple(map(entry, range(256)))
