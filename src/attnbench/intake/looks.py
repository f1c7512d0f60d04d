"""What every picture of a folder is, looked at once each: shape, kind, values, and what is odd."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.decode import Picture, decode
from attnbench.data.readers.legend import (
    NEARLY_GREY,
    colour_codes,
    count_codes,
    is_coloured,
    numbers,
    varying_opacity,
)
from attnbench.data.readers.picture_sets import TURNS

KEPT_VALUES = 300  # of one file: more are no classes, and only their number is told
ENDINGS = {
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".bmp", ".dib"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
PICTURES = tuple(ending for endings in ENDINGS.values() for ending in endings)


@dataclass(frozen=True)
class Look:
    """A picture file as seen; with `error` nothing else is known.

    shape: (H, W) as stored, or turned as EXIF says (`shown`). alike: RGB whose channels are
    equal everywhere. size: of a pixel (H, W) in mm.
    """

    path: str
    error: str = ""
    kind: str = ""
    pages: int = 1
    shape: tuple[int, int] = (0, 0)
    channels: int = 1
    dtype: str = ""
    alike: bool = False
    alpha_varies: bool = False
    lossy: bool = False
    white_is_zero: bool = False
    orientation: int = 1
    size: tuple[float, float] | None = None

    @property
    def shown(self) -> tuple[int, int]:
        """(H, W) when turned as EXIF says."""
        return self.shape[::-1] if TURNS.get(self.orientation, TURNS[1])[0] else self.shape

    @property
    def misnamed(self) -> bool:
        """True where the name's ending says another kind than the content is."""
        return not self.path.lower().endswith(ENDINGS.get(self.kind, ()))


@dataclass(frozen=True)
class MaskLook(Look):
    """A mask file as seen.

    by_number: pixels by grey value or palette index; None where it is in colours. by_colour:
    pixels by code 0xRRGGBB (-1 where transparent); None where it has no such codes. values: how
    many distinct ones there are. palette: it has one. coloured: not merely grey. palette_of: the
    colour of every index that is used.
    """

    by_number: Mapping[float, int] | None = None
    by_colour: Mapping[float, int] | None = None
    values: int = 0
    palette: bool = False
    coloured: bool = False
    palette_of: Mapping[int, int] = field(default_factory=dict)
    unclear: str = ""


def look_at(folder: Path, paths: Iterable[str]) -> list[Look]:
    """Look at images, several at a time; files that cannot be read have an `error`."""
    return _each(folder, paths, _image)


def look_at_masks(folder: Path, paths: Iterable[str]) -> list[MaskLook]:
    """Look at masks, several at a time; files that cannot be read have an `error`."""
    return _each(folder, paths, _mask)  # type: ignore[return-value]


def _each(folder: Path, paths: Iterable[str], look: object) -> list[Look]:
    def one(path: str) -> Look:
        try:
            picture = decode(folder / path)
        except OSError as error:
            return MaskLook(path, error=error.strerror or str(error))
        return look(path, picture)  # type: ignore[operator]

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(workers.map(one, paths))


def _image(path: str, picture: Picture) -> Look:
    return Look(**_common(path, picture))  # type: ignore[arg-type]


def _common(path: str, picture: Picture) -> dict[str, object]:
    colours = picture.colours
    channels = colours.shape[-1]
    return {
        "path": path,
        "kind": picture.kind,
        "pages": len(picture.pages),
        "shape": picture.pages.shape[1:3],
        "channels": channels,
        "dtype": str(colours.dtype),
        "alike": channels == 3 and not (colours[..., 1:] != colours[..., :1]).any(),
        "alpha_varies": varying_opacity(picture),
        "lossy": picture.lossy,
        "white_is_zero": picture.white_is_zero,
        "orientation": picture.orientation,
        "size": picture.pixel_size,
    }


def _mask(path: str, picture: Picture) -> MaskLook:
    """Values of a mask; colours of greys and palettes are worked out from their numbers."""
    facts = _common(path, picture)
    by_number = by_colour = None
    coloured, unclear, values = False, "", 0
    palette_of: dict[int, int] = {}
    try:
        if picture.palette is not None:
            by_number, values = _counted(numbers(picture))
            entries = picture.palette[[int(index) for index in by_number]].astype(int)
            codes = (entries @ (0x10000, 0x100, 1)).tolist()
            palette_of = dict(zip(map(int, by_number), codes, strict=True))
            coloured = bool((np.ptp(entries, axis=1) > NEARLY_GREY).any())
            by_colour = _summed(zip(codes, by_number.values(), strict=True))
        elif not is_coloured(picture) and not facts["alpha_varies"]:
            by_number, values = _counted(numbers(picture))
            if facts["dtype"] == "uint8" and not picture.alpha:
                by_colour = {value * 0x010101: count for value, count in by_number.items()}
        else:
            coloured = is_coloured(picture)
        if by_colour is None and (by_number is None or picture.alpha):
            by_colour, seen = _counted(colour_codes(picture))
            values = max(values, seen)
    except ValueError as error:
        # Opacity of a grey picture may be odd, or have 16 bits; its numbers count.
        unclear = "" if by_number is not None else str(error)
    return MaskLook(
        **facts,  # type: ignore[arg-type]
        by_number=by_number,
        by_colour=by_colour,
        values=values,
        palette=picture.palette is not None,
        coloured=coloured,
        palette_of=palette_of,
        unclear=unclear,
    )


def _summed(items: Iterable[tuple[float, int]]) -> dict[float, int]:
    total: dict[float, int] = {}
    for value, count in items:
        total[value] = total.get(value, 0) + count
    return total


def _counted(codes: NDArray[np.generic]) -> tuple[dict[float, int], int]:
    """Pixels by value, the most frequent values only, and how many values there are."""
    values, counts = count_codes(codes)
    most = np.sort(np.argsort(-counts, kind="stable")[:KEPT_VALUES])
    kept = zip(values[most].tolist(), counts[most].tolist(), strict=True)
    return dict(kept), len(values)
