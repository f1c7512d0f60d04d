"""Pictures as addresses with the data inside: nothing of the page lies elsewhere."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_QUALITY = 82
_TINT = 90


def address(content: bytes, kind: str) -> str:
    """`content` of a media type as a `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def photograph(picture: NDArray[np.float32], size: tuple[int, int]) -> str:
    """(H, W) grey or (H, W, 3) colour in 0..1 at `size` (width, height) at most, as WebP."""
    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    if image.size[0] > size[0]:
        image = image.resize(size, Image.Resampling.BOX)
    return _saved(image, "WEBP", quality=_QUALITY)


def tinted(mask: NDArray[np.uint8], size: tuple[int, int], colours: dict[int, str]) -> str:
    """(H, W) classes at `size` as an indexed PNG: each class in its colour, its edge opaque, the
    rest transparent.
    """
    fitted = _fitted(mask, size)
    edge = _edge(fitted)
    places = {number: place for place, number in enumerate(colours)}
    indexed = np.zeros(fitted.shape, np.uint8)
    for number, place in places.items():
        indexed[fitted == number] = 1 + 2 * place
        indexed[(fitted == number) & edge] = 2 + 2 * place
    palette = [(0, 0, 0), *(_rgb(colour) for colour in colours.values() for _ in range(2))]
    return _indexed(indexed, palette, [0, *[_TINT, 255] * len(colours)])


def outlined(mask: NDArray[np.uint8], size: tuple[int, int]) -> str:
    """The edges of all classes of a mask (H, W) at `size` in white."""
    fitted = _fitted(mask, size)
    return _indexed(
        (_edge(fitted) & (fitted > 0)).astype(np.uint8), [(0, 0, 0), (255, 255, 255)], [0, 255]
    )


def _fitted(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask at `size`; where it shrinks, a pixel gets the class that covers most of it, so that
    vessels stay whole.

    Background gives way where it covers as much as a class.
    """
    if size[0] >= mask.shape[1]:
        return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    numbers = [*range(1, int(mask.max()) + 1), 0]
    classes = (Image.fromarray((mask == number).astype(np.uint8) * 255) for number in numbers)
    cover = [np.asarray(each.resize(size, Image.Resampling.BOX)) for each in classes]
    return np.array(numbers, np.uint8)[np.argmax(cover, axis=0)]


def _edge(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with a neighbour of another class."""
    edge = np.zeros(mask.shape, np.bool_)
    for axis in (0, 1):
        differs = np.diff(mask, axis=axis) != 0
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        edge[tuple(low)] |= differs
        edge[tuple(high)] |= differs
    return edge


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def _indexed(
    indices: NDArray[np.uint8], palette: list[tuple[int, int, int]], alpha: list[int]
) -> str:
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette([value for colour in palette for value in colour])
    return _saved(image, "PNG", transparency=bytes(alpha), optimize=True)


def _saved(image: Image.Image, form: str, **settings: object) -> str:
    stream = io.BytesIO()
    image.save(stream, form, **settings)
    return address(stream.getvalue(), f"image/{form.lower()}")
