"""Pictures of any kind with their masks, as a catalog entry's settings describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from attnbench.data.case import RawCase, Spacing
from attnbench.data.readers.decode import UPRIGHT, Picture, decode
from attnbench.data.readers.legend import NEARLY_GREY, Legend, brightness, is_coloured, luminance
from attnbench.data.readers.registry import CaseFiles, reader
from attnbench.errors import nearest

PAGES = ("slices", "channels", "cases")
# EXIF's orientations, as (transpose, flip rows, flip columns), the transposition first.
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True)
class PictureSettings:
    """`reader.settings` of an entry whose reader is `pictures`.

    values: class by grey value, palette index or colour. threshold: instead of it, brightness
    above which a pixel is class 1. masks: class by role, for one mask (or several masks, whose
    union counts) per class; `values` and `threshold` then say what is marked. pages: what the
    pages of a TIFF are. grey: colours are read as their luminance. fill: marked are outlines,
    and what they enclose belongs to the class. orientation: what is done about an image that
    says it is to be shown turned. spacing: each file's own pixel size counts.
    """

    values: Mapping[int | str, int] = field(default_factory=lambda: {255: 1})
    threshold: float | None = None
    masks: Mapping[str, int] = field(default_factory=dict)
    pages: Literal["slices", "channels", "cases"] | None = None
    grey: bool = False
    fill: bool = False
    orientation: Literal["apply", "ignore"] | None = None
    spacing: Literal["file"] | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PictureSettings:
        """Check an entry's settings.

        Raises:
            ValueError: a setting that there is not, or a value that is not allowed.
        """
        known = [item.name for item in fields(cls)]
        for name in settings:
            if name not in known:
                raise ValueError(f"no setting {name!r}; {nearest(str(name), known)}")
        for name, allowed in (("pages", PAGES), ("orientation", ("apply", "ignore"))):
            if settings.get(name) not in (None, *allowed):
                raise ValueError(
                    f"{name} is {settings[name]!r}; {nearest(str(settings[name]), allowed)}"
                )
        return cls(**settings)

    @property
    def legend(self) -> Legend:
        """What the values of a mask mean."""
        return Legend.of(self.values, self.threshold)


@reader("pictures")
def read_pictures(files: CaseFiles) -> RawCase:
    """Read the image or images (role `image`), their mask or masks, `fov`, `mask_second_rater`.

    Several images are channels, in the listing's order. Arrays have the axes (H, W), or
    (pages, H, W) where pages are slices, or cases that are told apart later. Alpha of an image
    is dropped. A class's masks are joined; where two classes overlap, the higher one stays.
    """
    try:
        settings = PictureSettings.of(files.entry.reader.settings)
        legend = settings.legend
    except (ValueError, TypeError) as error:
        raise files.error(f"reader.settings of the catalog entry: {error}") from error
    paths = files.paths("image")
    if not paths:
        raise files.error("no file has the role 'image'")
    pictures = [_upright(files, path, settings) for path in paths]
    image = _image(files, paths, pictures, settings)
    second, fov = files.maybe("mask_second_rater"), files.maybe("fov")
    return RawCase(
        case=files.case,
        group=files.group,
        image=image,
        mask=_mask(files, settings, legend, image.shape[1:]),
        spacing=_spacing(files, paths, pictures, settings),
        fov=inside_of(files, fov, settings) if fov else None,
        second_rater=_classes(files, second, settings, legend) if second else None,
    )


def _upright(files: CaseFiles, path: str, settings: PictureSettings) -> Picture:
    """The decoded file; what EXIF says about turning is applied, ignored or refused."""
    with files.reading(path) as file:
        picture = decode(file)
    if picture.orientation == UPRIGHT or settings.orientation == "ignore":
        return picture
    if settings.orientation is None:
        raise files.error(
            f"EXIF says that it is shown turned (orientation {picture.orientation}); say in "
            "reader.settings whether its mask is turned: orientation: apply (the mask fits the "
            "image as shown) or ignore (as stored)",
            path,
        )
    return turned(picture)


def turned(picture: Picture) -> Picture:
    """The picture with its pages as EXIF's orientation has them shown."""
    transpose, rows, columns = TURNS.get(picture.orientation, TURNS[UPRIGHT])
    pages = np.swapaxes(picture.pages, 1, 2) if transpose else picture.pages
    pages = pages[:, :: -1 if rows else 1, :: -1 if columns else 1]
    size = picture.pixel_size
    return Picture(
        picture.kind,
        np.ascontiguousarray(pages),
        picture.palette,
        picture.alpha,
        picture.lossy,
        picture.white_is_zero,
        UPRIGHT,
        (size[1], size[0]) if size and transpose else size,
    )


def _image(
    files: CaseFiles, paths: tuple[str, ...], pictures: list[Picture], settings: PictureSettings
) -> NDArray[Any]:
    """(C, [pages,] H, W) of all images of a case, whose channels lie one after the other."""
    wanted = files.entry.channels
    parts = []
    for path, picture in zip(paths, pictures, strict=True):
        own = wanted if len(paths) == 1 and settings.pages != "channels" else None
        try:
            parts.append(arranged(with_channels(picture.colours, own, settings.grey), settings))
        except ValueError as error:
            raise files.error(str(error), path) from error
    shapes = {part.shape[1:]: path for part, path in zip(parts, paths, strict=True)}
    if len(shapes) > 1:
        found = "; ".join(f"{path}: {shape}" for shape, path in shapes.items())
        raise files.error(f"the channels of one case have different shapes: {found}")
    return np.concatenate(parts)


def with_channels(colours: NDArray[Any], wanted: int | None, grey: bool) -> NDArray[Any]:
    """Pages with as many channels as wanted; None: as many as there are, equal ones as one."""
    have = colours.shape[-1]
    alike = have == 3 and not (colours[..., 1:] != colours[..., :1]).any()
    if have == wanted or (wanted is None and not alike and not grey):
        return colours
    if alike and wanted in (1, None):
        return colours[..., :1]
    if have == 3 and grey and wanted in (1, None):
        return luminance(colours)
    if have == 3 and wanted == 1:
        raise ValueError(
            "is in colours, the catalog says 1 channel; say channels: 3, or reader.settings: "
            "grey: true to read the luminance"
        )
    if have == 1 and wanted == 3:
        return np.repeat(colours, 3, axis=-1)
    if wanted is None:
        return colours
    raise ValueError(f"has {have} channel(s); the catalog says {wanted}")


def arranged(pages: NDArray[Any], settings: PictureSettings) -> NDArray[Any]:
    """(C, [pages,] H, W) of pages (N, H, W, C), by what the study says the pages are."""
    if settings.pages in ("slices", "cases"):
        return np.moveaxis(pages, -1, 0)
    if settings.pages == "channels":
        return np.moveaxis(pages, -1, 1).reshape(-1, *pages.shape[1:3])
    return np.moveaxis(_only_page(pages), -1, 0)


def _only_page(pages: NDArray[Any]) -> NDArray[Any]:
    if len(pages) > 1:
        raise ValueError(
            f"holds {len(pages)} pages; say in reader.settings what they are: pages: slices (a "
            "volume), channels, or cases"
        )
    return pages[0]


def _mask(
    files: CaseFiles, settings: PictureSettings, legend: Legend, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """One mask of all classes; later checks refuse another shape than the image's."""
    if not settings.masks:
        return _classes(files, files.one("mask"), settings, legend)
    mask = np.zeros(shape, np.uint8)
    for role, value in sorted(settings.masks.items(), key=lambda item: item[1]):
        for path in files.paths(role):
            marked = _classes(files, path, settings, legend)
            if marked.shape != shape:
                raise files.error(
                    f"mask has shape {marked.shape}, its image {shape}; they have to agree", path
                )
            mask[marked > 0] = value
    if not any(files.paths(role) for role in settings.masks):
        raise files.error(
            f"no file has one of the roles {', '.join(settings.masks)}; a case without objects "
            "has an empty mask file"
        )
    return mask


def _classes(
    files: CaseFiles, path: str, settings: PictureSettings, legend: Legend
) -> NDArray[np.uint8]:
    """Classes ([pages,] H, W) of one mask file."""
    with files.reading(path) as file:
        picture = decode(file)
    try:
        classes = legend.apply(_mask_upright(picture, settings))
        if settings.pages not in ("slices", "cases"):
            classes = _only_page(classes)
    except ValueError as error:
        raise files.error(str(error), path) from error
    return filled(classes) if settings.fill else classes


def _mask_upright(picture: Picture, settings: PictureSettings) -> Picture:
    return turned(picture) if settings.orientation == "apply" else picture


def filled(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classes with what each one's outlines enclose, page by page; a higher class stays."""
    from scipy import ndimage

    pages = classes.reshape(-1, *classes.shape[-2:])
    result = np.zeros_like(pages)
    for page, own in zip(result, pages, strict=True):
        for value in np.flatnonzero(np.bincount(own.reshape(-1)))[1 if (own == 0).any() else 0 :]:
            inside = own == value
            # Filling by labels is ten times as fast as scipy's by dilation, and the same.
            areas, _ = ndimage.label(~inside)
            edge = np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]])
            page[~np.isin(areas, edge[edge > 0]) | inside] = value
    return result.reshape(classes.shape)


def inside_of(files: CaseFiles, path: str, settings: PictureSettings) -> NDArray[np.bool_]:
    """A field of view: the brighter of two values, outside of it is black."""
    with files.reading(path) as file:
        picture = decode(file)
    if picture.lossy or is_coloured(picture, NEARLY_GREY):
        raise files.error("a field of view has two values, in a file without loss", path)
    pages = brightness(_mask_upright(picture, settings))
    values = np.unique(pages)
    if len(values) > 2 or (len(values) == 2 and values[0] > NEARLY_GREY):
        raise files.error(
            f"a field of view has two values, black outside; found {len(values)}: "
            f"{', '.join(map(str, values[:5]))}",
            path,
        )
    inside = pages > min(values[0], NEARLY_GREY)
    return inside if settings.pages in ("slices", "cases") else inside[0]


def _spacing(
    files: CaseFiles, paths: tuple[str, ...], pictures: list[Picture], settings: PictureSettings
) -> Spacing:
    """The catalog's spacing, each file's own where the settings say so, or one pixel."""
    ndim = files.entry.ndim
    if settings.spacing != "file":
        return files.entry.spacing or (1.0,) * ndim
    size = pictures[0].pixel_size
    if size is None or ndim != 2:
        raise files.error("its file does not say the size of a pixel; say spacing", paths[0])
    factor = {"mm": 1.0, "um": 1000.0}.get(files.entry.spacing_unit)
    if factor is None:
        raise files.error("spacing: file needs a spacing_unit, mm or um", paths[0])
    return (size[0] * factor, size[1] * factor)
