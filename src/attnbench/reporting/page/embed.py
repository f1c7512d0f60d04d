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
    """Return `content` of a media type as a `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def photograph(picture: NDArray[np.float32], size: tuple[int, int]) -> str:
    """Encode (H, W) grey or (H, W, 3) colour in 0..1, at most `size` (width, height), as WebP."""
    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    if image.size[0] > size[0]:
        image = image.resize(size, Image.Resampling.BOX)
    return _saved(image, "WEBP", quality=_QUALITY)


def tinted(mask: NDArray[np.uint8], size: tuple[int, int], colours: dict[int, str]) -> str:
    """Encode a mask (H, W) of classes at `size` (width, height) as an indexed PNG.

    `colours`: by class, as `#rrggbb`. A class has its colour, its edge opaque and the rest of it
    transparent.
    """
    fitted = _fitted(mask, size)
    edge = _edge(fitted)
    # Two entries of the palette per class, the tint and behind it the edge; 0 is background.
    positions = {number: position for position, number in enumerate(colours)}
    indexed = np.zeros(fitted.shape, np.uint8)
    for number, position in positions.items():
        indexed[fitted == number] = 1 + 2 * position
        indexed[(fitted == number) & edge] = 2 + 2 * position
    palette = [(0, 0, 0), *(_rgb(colour) for colour in colours.values() for _ in range(2))]
    return _indexed(indexed, palette, [0, *[_TINT, 255] * len(colours)])


def outlined(mask: NDArray[np.uint8], size: tuple[int, int]) -> str:
    """Encode the edges of all classes of a mask (H, W) at `size` in white."""
    fitted = _fitted(mask, size)
    return _indexed(
        (_edge(fitted) & (fitted > 0)).astype(np.uint8), [(0, 0, 0), (255, 255, 255)], [0, 255]
    )


def _fitted(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the mask at `size`, each pixel of a smaller one with the class that covers most.

    So thin vessels stay whole. Background gives way where it covers as much as a class.
    """
    if size[0] >= mask.shape[1]:
        return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    # argmax takes the first of equals, so background stands last.
    numbers = [*range(1, int(mask.max()) + 1), 0]
    classes = (Image.fromarray((mask == number).astype(np.uint8) * 255) for number in numbers)
    cover = [np.asarray(each.resize(size, Image.Resampling.BOX)) for each in classes]
    return np.array(numbers, np.uint8)[np.argmax(cover, axis=0)]


def _edge(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels with a neighbour of another class."""
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
    # Pillow counts width first, an array height first.
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette([value for colour in palette for value in colour])
    return _saved(image, "PNG", transparency=bytes(alpha), optimize=True)


def _saved(image: Image.Image, form: str, **settings: object) -> str:
    stream = io.BytesIO()
    image.save(stream, form, **settings)
    return address(stream.getvalue(), f"image/{form.lower()}")
