"""Picture files decoded without loss: every bit depth, pixel mode and page that a file holds.

Pillow cuts colours of 16 bits down to 8 without a word, tifffile lacks some compressions: each
file is given to the library that reads it exactly, or refused.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from tifffile import TiffFile, TiffPage

FORMATS = ("PNG", "TIFF", "JPEG", "MPO", "BMP", "DIB", "GIF", "PPM")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_START = b"\x89PNG\r\n\x1a\n"
# Pillow modes whose numbers it keeps, and what others are turned into without loss of anything
# that a screen would show.
KEPT = ("L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "F")
SHOWN_AS = {"CMYK": "RGB", "YCbCr": "RGB", "PA": "RGBA"}
MILLIMETRES = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "nm": 1e-6, "cm": 10.0}
HIGHEST_RATIO = 20_000  # of compression; white paper as fax reaches thousands
UPRIGHT = 1  # EXIF's number for a picture that is stored as it is shown


@dataclass(frozen=True)
class Picture:
    """What a picture file holds.

    pages: (pages, H, W, C) in the file's own numbers: brightness, or indices into `palette`.
    palette: (entries, 3) uint8 RGB. alpha: the last channel is opacity. lossy: compressed as
    JPEG. white_is_zero: a TIFF that stores white as 0; `pages` is turned to brightness already.
    orientation: EXIF's number, 1 upright; not applied. pixel_size: (H, W) in mm where the file
    says it in a physical unit.
    """

    kind: str
    pages: NDArray[Any]
    palette: NDArray[np.uint8] | None = None
    alpha: bool = False
    lossy: bool = False
    white_is_zero: bool = False
    orientation: int = UPRIGHT
    pixel_size: tuple[float, float] | None = None

    @property
    def colours(self) -> NDArray[Any]:
        """(pages, H, W, C) as shown: palettes are looked up, opacity is left out."""
        if self.palette is not None:
            return self.palette[self.pages[..., 0]]
        return self.pages[..., :-1] if self.alpha else self.pages

    @property
    def opacity(self) -> NDArray[Any] | None:
        """(pages, H, W), None without an alpha channel."""
        return self.pages[..., -1] if self.alpha else None


def decode(path: Path) -> Picture:
    """Decode a PNG, TIFF, JPEG, BMP, GIF or PPM file; its content decides which, not its name.

    Raises:
        OSError: the file is no picture, damaged, animated, or of a kind that cannot be read
            exactly; the message says which.
    """
    with path.open("rb") as stream:
        start = stream.read(48)
    if not start:
        raise OSError("the file is empty (0 bytes)")
    if start.startswith(b"version ") and b"git-lfs" in start:
        raise OSError("it is a pointer of Git LFS, not the picture; run `git lfs pull` there")
    with _failures():
        if start[:4] in TIFF_STARTS:
            return _tiff(path)
        if start.startswith(PNG_START) and len(start) > 26 and start[24] == 16:
            return _deep_png(path, start[25])
        return _by_pillow(path)


@contextmanager
def _failures() -> Iterator[None]:
    """The many errors that decoders raise on damaged files become `OSError`."""
    try:
        yield
    except (EOFError, SyntaxError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise OSError(_first_line(error)) from error
    except (ArithmeticError, MemoryError, struct.error, zlib.error) as error:
        raise OSError(f"the file is damaged ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _open(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    # The limit guards servers against strangers' files; slides are larger.
    Image.MAX_IMAGE_PIXELS = None
    try:
        return Image.open(path, formats=[name for name in FORMATS if name != "MPO"])
    except UnidentifiedImageError:
        raise OSError("no picture: its content is none of PNG, TIFF, JPEG, BMP, GIF, PPM") from None


def _by_pillow(path: Path) -> Picture:
    with _open(path) as picture:
        kind = str(picture.format)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and kind != "MPO":
            raise OSError(f"animated: {frames} frames in one {kind}; a case is one picture")
        if kind == "PPM" and picture.mode == "RGB" and _ppm_maximum(path) > 255:
            raise OSError("colours of more than 8 bits in PPM are not read; save it as PNG or TIFF")
        picture.load()
        pages, palette = _pixels(picture)
        if kind == "GIF" and palette is not None:
            # Writers of GIF number greys as they come, so that an index says nothing.
            used = palette[np.unique(pages)]
            if (used[:, 1:] == used[:, :1]).all():
                pages, palette = palette[pages[..., 0]][..., :1], None
        return Picture(
            "JPEG" if kind == "MPO" else kind,
            pages,
            palette,
            alpha=picture.mode in ("LA", "RGBA", "PA"),
            lossy=kind in ("JPEG", "MPO"),
            orientation=int(picture.getexif().get(0x0112, UPRIGHT)),
        )


def _ppm_maximum(path: Path) -> int:
    """The number that a PPM's header says is white."""
    with path.open("rb") as stream:
        head = re.sub(rb"#[^\n]*", b"", stream.read(1000))
    return int(head.split()[3])


def _pixels(picture: Image) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """One page (1, H, W, C) of an opened picture and its palette."""
    if picture.mode == "1":
        array = np.asarray(picture).astype(np.uint8) * 255
    elif picture.mode in KEPT:
        array = np.array(picture)
    elif picture.mode in SHOWN_AS:
        array = np.array(picture.convert(SHOWN_AS[picture.mode]))
    else:
        raise OSError(f"pixel mode {picture.mode!r} is not read; save it as grey or RGB")
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    return array[None], _palette(picture) if picture.mode == "P" else None


def _palette(picture: Image) -> NDArray[np.uint8]:
    """All 256 entries; an index beyond the file's own palette is shown black."""
    entries = np.zeros((256, 3), np.uint8)
    own = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    entries[: len(own)] = own
    return entries


def _deep_png(path: Path, colour_type: int) -> Picture:
    """A PNG of 16 bits: Pillow keeps all of them only of grey ones."""
    if colour_type == 0:
        return _by_pillow(path)
    channels = {2: 3, 6: 4}.get(colour_type)
    if channels is None:
        raise OSError("grey with alpha at 16 bits is not read; save it without alpha")
    with _open(path) as picture:
        width, height = picture.size
        if getattr(picture, "n_frames", 1) > 1:
            raise OSError("animated: several frames in one PNG; a case is one picture")
    return Picture("PNG", _by_itk(path, (height, width, channels)), alpha=channels == 4)


def _by_itk(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Pages (N, *shape) through SimpleITK, which keeps 16 bits of every channel."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("PNGImageIO" if path.open("rb").read(8) == PNG_START else "TIFFImageIO")
    reader.SetFileName(str(path))
    array = SimpleITK.GetArrayFromImage(reader.Execute())
    if array.size % int(np.prod(shape)):
        raise OSError(f"its pixels do not fill {shape}; save it uncompressed")
    return array.reshape(-1, *shape)


def _tiff(path: Path) -> Picture:
    import tifffile

    with tifffile.TiffFile(path) as file:
        first = file.pages.first
        # Iterating over the pages of a damaged file may never end.
        pages = [file.pages[number] for number in range(len(file.pages))]
        if _claims_too_much(file, first):
            raise OSError("the file is damaged: it is too short for the size that it claims")
        alike = {(page.shape, page.dtype) for page in pages}
        if len(alike) > 1 or len(file.series) > 1:
            shapes = ", ".join(sorted({str(page.shape) for page in pages}))
            raise OSError(
                f"its {len(pages)} pages are not of one kind ({shapes}); it looks like a "
                "pyramid or a picture with a preview: save one page for each file"
            )
        stack, palette = _tiff_pages(path, file, first)
        # Some writers (OpenCV) do not say that the fourth channel of RGB is opacity.
        rgba = first.photometric == tifffile.PHOTOMETRIC.RGB and first.samplesperpixel == 4
        alpha = rgba or (bool(first.extrasamples) and int(first.extrasamples[-1]) in (1, 2))
        inverted = first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        return Picture(
            "TIFF",
            stack,
            palette,
            alpha=alpha,
            lossy=first.compression in (6, 7, 34892, 33003, 33004, 33005, 34712),
            white_is_zero=bool(inverted),
            orientation=int(first.tags.valueof(274, UPRIGHT)),
            pixel_size=_pixel_size(file, first),
        )


def _claims_too_much(file: TiffFile, first: TiffPage) -> bool:
    """Whether a TIFF is much too short for its first page: decoding it might never end."""
    claimed = int(np.prod(first.shape, dtype=object)) * first.bitspersample // 8
    return claimed > file.filehandle.size * (1 if first.compression == 1 else HIGHEST_RATIO)


def _tiff_pages(
    path: Path, file: TiffFile, first: TiffPage
) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Pages (N, H, W, C) as brightness or indices, and the palette."""
    import tifffile

    kinds = [axis for axis in file.series[0].axes if axis not in "YXS"]
    if len(kinds) > 1:
        raise OSError(
            f"its pages have the axes {file.series[0].axes} {file.series[0].shape}: save one "
            "channel, and one time, for each file"
        )
    photometric = tifffile.PHOTOMETRIC(first.photometric)
    readable = ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE")
    try:
        if photometric.name not in readable:
            raise ValueError(f"colours are stored as {photometric.name}: requires Pillow")
        stack = file.series[0].asarray()
    except ValueError as error:
        if "requires" not in str(error):
            raise
        return _tiff_without_codec(path, file, first)
    pages = stack.reshape(-1, *first.shape)
    if first.axes == "SYX":
        pages = np.moveaxis(pages, 1, -1)
    elif first.axes == "YX":
        pages = pages[..., None]
    elif first.axes != "YXS":
        raise OSError(f"a page has the axes {first.axes}; a picture has two and its channels")
    if pages.dtype == bool:
        pages = pages.astype(np.uint8) * 255
    elif first.bitspersample < 8 and photometric.name != "PALETTE":
        pages = pages * (255 // (2**first.bitspersample - 1))
    if photometric.name == "MINISWHITE":
        pages = _inverted(pages)
    palette = None
    if photometric.name == "PALETTE":
        # A TIFF's palette has 16 bits a colour.
        palette = np.zeros((256, 3), np.uint8)
        own = (np.asarray(first.colormap).T >> 8).astype(np.uint8)
        palette[: len(own)] = own[:256]
    return pages, palette


def _tiff_without_codec(
    path: Path, file: TiffFile, first: TiffPage
) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """The pages of a TIFF whose compression tifffile lacks, through libtiff."""
    deep = first.bitspersample > 8
    if deep and first.samplesperpixel > 1:
        if first.planarconfig != 1 or first.samplesperpixel not in (3, 4):
            raise OSError("its compression is not read for these channels; save it uncompressed")
        height, width = first.imagelength, first.imagewidth
        return _by_itk(path, (height, width, first.samplesperpixel)), None
    pages, palette = [], None
    with _open(path) as picture:
        for number in range(len(file.pages)):
            picture.seek(number)
            array, palette = _pixels(picture)
            pages.append(array)
    stack = np.concatenate(pages)
    if deep and first.photometric == 0:
        stack = _inverted(stack)  # Pillow turns eight bits round, but no more
    return stack, palette


def _inverted(pages: NDArray[Any]) -> NDArray[Any]:
    """Brightness of numbers that store white as 0; there is no white among real numbers."""
    if not np.issubdtype(pages.dtype, np.unsignedinteger):
        raise OSError(f"white is stored as 0 in numbers of type {pages.dtype}: save it inverted")
    result: NDArray[Any] = np.iinfo(pages.dtype).max - pages
    return result


def _pixel_size(file: TiffFile, first: TiffPage) -> tuple[float, float] | None:
    """(H, W) in mm from ImageJ's unit or a resolution per cm.

    Resolutions per inch are left: writers put 72, 96 or 300 there for screens and printers.
    """
    tags = first.tags
    x, y = tags.valueof(282), tags.valueof(283)
    if not x or not y or not all((*x, *y)):
        return None
    imagej: dict[str, Any] = file.imagej_metadata or {}
    unit = str(imagej.get("unit", "")).replace("\\u00B5", "µ")
    side = MILLIMETRES.get(unit, 10.0 if tags.valueof(296) == 3 else None)
    return None if side is None else (side * y[1] / y[0], side * x[1] / x[0])
