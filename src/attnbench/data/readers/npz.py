"""Arrays in a NumPy archive (`.npz`), read item by item in any order, compressed or not.

A compressed array can only be unpacked from its start. The decoder's state is kept every few
megabytes on the way, and an item is read from the nearest state before it.
"""

from __future__ import annotations

import math
import struct
import threading
import tokenize
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKED_CHUNK = 1 << 14  # bytes read at once; they unpack to at most 16 MB
BETWEEN_STATES = 1 << 22  # unpacked bytes
HEADER = 1 << 12  # what an array's header takes at most


@dataclass(frozen=True)
class _State:
    """A decoder that has unpacked `place` bytes from `taken`; `ahead` is unpacked already."""

    place: int
    taken: int
    decoder: Any
    ahead: bytes = b""


@dataclass(eq=False)
class _Member:
    """A file in an archive, from `begin` on; `states` are in the order of their places."""

    archive: Path
    name: str
    begin: int
    packed: int
    compressed: bool
    states: list[_State] = field(default_factory=lambda: [_State(0, 0, zlib.decompressobj(-15))])
    last: _State | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start`; fewer at the end. `zlib.error` where they are damaged."""
        if not self.compressed:
            with self.archive.open("rb") as stream:
                stream.seek(self.begin + start)
                return stream.read(min(size, self.packed - start))
        with self.lock:
            parts = []
            for state in self._unpacked(self._nearest(start)):
                self.last = state
                low, high = start - state.place, start + size - state.place
                parts.append(state.ahead[max(low, 0) : max(high, 0)])
                if high <= len(state.ahead):
                    break
            return b"".join(parts)

    def _nearest(self, start: int) -> _State:
        before = self.states[bisect_right([state.place for state in self.states], start) - 1]
        if self.last and before.place <= self.last.place <= start:
            return self.last
        return before

    def _unpacked(self, state: _State) -> Iterator[_State]:
        """`state` and those that follow, each with the bytes from its place on."""
        yield state
        place, taken, decoder = state.place + len(state.ahead), state.taken, state.decoder.copy()
        with self.archive.open("rb") as stream:
            while taken < self.packed and not decoder.eof:
                if place - self.states[-1].place >= BETWEEN_STATES:
                    self.states.append(_State(place, taken, decoder.copy()))
                stream.seek(self.begin + taken)
                chunk = stream.read(min(PACKED_CHUNK, self.packed - taken))
                if not chunk:
                    return
                ahead = decoder.decompress(chunk)
                taken += len(chunk)
                yield _State(place, taken, decoder.copy(), ahead)
                place += len(ahead)


@dataclass(frozen=True, eq=False)
class NpzArray:
    """An array of an archive with its shape and type, in C order."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    member: _Member

    def item(self, number: int) -> NDArray[Any]:
        """Read one item along the first axis; `ValueError` where the array ends too early."""
        shape = self.shape[1:]
        size = math.prod(shape) * self.dtype.itemsize
        data = self.member.read(self.begin + number * size, size)
        if len(data) != size:
            raise ValueError(f"its array {self.name!r} ends at item {number} of {self.shape[0]}")
        return np.frombuffer(data, self.dtype).reshape(shape)


def open_npz(archive: Path) -> dict[str, NpzArray]:
    """Read the headers of all arrays of an archive, by name.

    Raises:
        ValueError: the archive is none, or holds arrays of objects or in Fortran order.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if info.filename.endswith(".npy")]
            return {
                info.filename.removesuffix(".npy"): _open(_member(archive, info))
                for info in members
            }
    except (
        zipfile.BadZipFile,
        NotImplementedError,  # a version of the archive's format that does not exist
        struct.error,
        tokenize.TokenError,  # the header of an array is Python's text of a dictionary
        zlib.error,
    ) as error:
        raise ValueError(f"it is no whole archive: {error}") from error


def _member(archive: Path, info: zipfile.ZipInfo) -> _Member:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed in a way that NumPy does not use")
    with archive.open("rb") as stream:
        stream.seek(info.header_offset)
        # The archive's directory need not repeat the length of what stands before the content.
        name, extra = struct.unpack("<26xHH", stream.read(30))
    return _Member(
        archive=archive,
        name=info.filename.removesuffix(".npy"),
        begin=info.header_offset + 30 + name + extra,
        packed=info.compress_size,
        compressed=info.compress_type == zipfile.ZIP_DEFLATED,
    )


def _open(member: _Member) -> NpzArray:
    stream = BytesIO(member.read(0, HEADER))
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else (
        np.lib.format.read_array_header_2_0
    )  # fmt: skip
    shape, fortran, dtype = read(stream)
    if fortran or dtype.hasobject:
        kind = "objects" if dtype.hasobject else "in Fortran order"
        raise ValueError(f"its array {member.name!r} holds {dtype}, {kind}; save it in C order")
    return NpzArray(member.name, shape, dtype, stream.tell(), member)
