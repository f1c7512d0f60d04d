"""Which class a mask's pixel is: declared numbers or colours, and nothing else passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.decode import Picture

TRANSPARENT = -1  # the code of a pixel in colours that cannot be seen
SHOWN = 10
NEARLY_GREY = 16  # of 255: DRIVE's black is (4, 2, 4) and its white (252, 254, 252)
# Rec. 601 in the whole numbers that Pillow uses, so that eight bits give its very values.
LUMINANCE = (19595, 38470, 7471)
ALPHA = (
    "mask's opacity (alpha) varies; declare its colours as values '#rrggbb' (what is "
    "transparent is background), or save it without alpha"
)


@dataclass(frozen=True)
class Legend:
    """Class by number (brightness, or palette index) or, where `coloured`, by colour.

    A colour's code is 0xRRGGBB. `classes` always says what 0 (black) is: background unless
    declared. `threshold`: brightness above it is class 1, and `classes` is not used.
    """

    classes: Mapping[int, int]
    coloured: bool = False
    threshold: float | None = None

    @classmethod
    def of(cls, values: Mapping[int | str, int], threshold: float | None = None) -> Legend:
        """Build the legend of `values`: `{128: 1, 255: 2}` or `{"#ff0000": 1}`.

        Raises:
            ValueError: numbers and colours are mixed, a colour is none, a class is no 0 to 255.
        """
        wrong = [value for value in values.values() if not 0 <= int(value) <= 255]
        if wrong:
            raise ValueError(f"classes are 0 (background) to 255; values name {wrong}")
        texts = {str(key) for key in values if str(key).startswith("#")}
        if texts and len(texts) < len(values):
            raise ValueError(
                "values are all numbers or all colours ('#rrggbb'); found both: "
                f"{', '.join(map(str, values))}"
            )
        decode = colour_code if texts else _number
        classes = {decode(str(key)): int(value) for key, value in values.items()}
        return cls({0: 0, **classes}, bool(texts), threshold)

    def apply(self, picture: Picture) -> NDArray[np.uint8]:
        """Classes (pages, H, W) of a mask.

        Raises:
            ValueError: pixels that are not declared, with their values and counts, or a mask
                in colours where numbers are declared.
        """
        if self.threshold is not None:
            return (brightness(picture) > self.threshold).astype(np.uint8)
        indexed = self.coloured and picture.palette is not None
        codes = colour_codes(picture) if self.coloured and not indexed else numbers(picture)
        values, counts = count_codes(codes)
        shown = values.tolist()
        if indexed and picture.palette is not None:
            shown = (picture.palette[values].astype(int) @ (0x10000, 0x100, 1)).tolist()
        known = {TRANSPARENT: 0, **self.classes} if self.coloured else self.classes
        stray: dict[int, int] = {}
        for value, count in zip(shown, counts.tolist(), strict=True):
            if value not in known:
                stray[value] = stray.get(value, 0) + count
        if stray:
            raise ValueError(
                f"mask holds values that are not declared: {self._named(stray)}; declared are "
                f"{', '.join(f'{self._name(code)} = {value}' for code, value in known.items())}"
            )
        found = np.array([known[value] for value in shown], np.uint8)
        first, last = int(values[0]), int(values[-1])
        if np.issubdtype(codes.dtype, np.integer) and last - first < 65536:
            table = np.zeros(last - first + 1, np.uint8)
            table[values.astype(np.int64) - first] = found
            return table[codes.astype(np.int64) - first]
        return found[np.searchsorted(values, codes)]

    def _named(self, stray: Mapping[int, int]) -> str:
        most = sorted(stray.items(), key=lambda item: -item[1])
        named = [f"{count} pixel(s) of {self._name(code)}" for code, count in most[:SHOWN]]
        more = f" and {len(most) - SHOWN} more values" if len(most) > SHOWN else ""
        return ", ".join(named) + more

    def _name(self, code: int) -> str:
        return name_of(code, self.coloured)


def name_of(code: float, coloured: bool) -> str:
    """A value as a person writes it: `128`, `#ff0000`, `transparent`."""
    if not coloured:
        return f"{code:g}"
    return "transparent" if code == TRANSPARENT else f"#{int(code):06x}"


def colour_code(text: str) -> int:
    """The code of `#rrggbb`; `ValueError` if it is none."""
    digits = text.removeprefix("#")
    if not text.startswith("#") or len(digits) != 6:
        raise ValueError(f"{text!r} is no colour; colours are written '#rrggbb'")
    return int(digits, 16)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no value of a mask; values are numbers or colours '#rrggbb'"
        ) from None


def numbers(picture: Picture) -> NDArray[Any]:
    """A mask's numbers (pages, H, W): brightness, or palette indices.

    Raises:
        ValueError: it is in colours, has several channels, or opacity that is not even.
    """
    if picture.palette is not None:
        return picture.pages[..., 0]
    if is_coloured(picture):
        raise ValueError("mask is in colours; declare them as values: '#rrggbb'")
    if varying_opacity(picture):
        raise ValueError(ALPHA)
    return picture.colours[..., 0]


def brightness(picture: Picture) -> NDArray[Any]:
    """A mask's brightness as shown (pages, H, W), luminance where it is nearly grey.

    Raises:
        ValueError: as for `numbers`.
    """
    if is_coloured(picture, NEARLY_GREY):
        raise ValueError("mask is in colours; declare them as values: '#rrggbb'")
    if varying_opacity(picture):
        raise ValueError(ALPHA)
    colours = picture.colours
    return (luminance(colours) if colours.shape[-1] == 3 else colours)[..., 0]


def luminance(colours: NDArray[Any]) -> NDArray[Any]:
    """Rec. 601 luminance (..., 1) of RGB (..., 3), in the same type."""
    if np.issubdtype(colours.dtype, np.integer):
        total = (colours.astype(np.int64) * LUMINANCE).sum(-1, keepdims=True)
        return ((total + 0x8000) >> 16).astype(colours.dtype)
    weights = np.asarray(LUMINANCE) / 65536
    return (colours * weights).sum(-1, keepdims=True).astype(colours.dtype)


def is_coloured(picture: Picture, tolerance: int = 0) -> bool:
    """True where a pixel is shown in a colour, whose channels differ by more than `tolerance`.

    Raises:
        ValueError: a mask of 2 or of more than 3 channels.
    """
    colours = picture.colours
    channels = colours.shape[-1]
    if channels not in (1, 3):
        raise ValueError(f"mask has {channels} channels; a mask has one, or colours")
    if channels == 1:
        return False
    if not tolerance:
        return bool((colours[..., 1:] != colours[..., :1]).any())
    return bool((np.ptp(colours, axis=-1) > tolerance).any())


def varying_opacity(picture: Picture) -> bool:
    """True where some pixels are more transparent than others."""
    opacity = picture.opacity
    return opacity is not None and bool((opacity != opacity.flat[0]).any())


def colour_codes(picture: Picture) -> NDArray[np.int64]:
    """Codes 0xRRGGBB (pages, H, W) of a mask as shown; `TRANSPARENT` where it cannot be seen.

    Raises:
        ValueError: half transparent pixels, or more than 8 bits that are not 8 bits repeated.
    """
    is_coloured(picture)  # refuses other channels
    colours = _eight_bits(picture.colours).astype(np.int64)
    if colours.shape[-1] == 1:
        codes = colours[..., 0] * 0x010101
    else:
        codes = (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
    opacity = picture.opacity
    # Some programs write an opacity of 0 everywhere and mean nothing by it.
    if opacity is None or not (varying_opacity(picture) or (codes == codes.flat[0]).all()):
        return codes
    opacity = _eight_bits(opacity)
    soft = int(((opacity > 0) & (opacity < 255)).sum())
    if soft:
        raise ValueError(
            f"mask has {soft} half transparent pixel(s); opacity is 0 or 255: save it without "
            "softened edges"
        )
    codes[opacity == 0] = TRANSPARENT
    return codes


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16 and not (array % 257).any():
        return (array // 257).astype(np.uint8)
    raise ValueError(f"colours of a mask have 8 bits; these are {array.dtype}")


def count_codes(codes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Distinct values, sorted, and how many pixels have each."""
    if codes.dtype == np.uint8:
        counts = np.bincount(codes.reshape(-1), minlength=256)
        values = np.flatnonzero(counts)
        return values, counts[values]
    return np.unique(codes, return_counts=True)
