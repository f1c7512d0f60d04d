"""Images that are no cases of a study: found, read and prepared as those of one of its datasets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import Entry, FileRow
from attnbench.data.case import Spacing, inside_view
from attnbench.data.normalise import Floats, measure_image
from attnbench.data.prepare import filled_outside, working_image
from attnbench.data.readers import CaseFiles
from attnbench.data.readers.decode import UPRIGHT, Picture, decode
from attnbench.data.readers.dicom.case import read_series
from attnbench.data.readers.dicom.headers import is_dicom, require_packages
from attnbench.data.readers.grid import Grid, Refused, canonical
from attnbench.data.readers.picture_sets import (
    PictureSettings,
    arranged,
    inside_of,
    turned,
    with_channels,
)
from attnbench.data.readers.pictures import read_binary
from attnbench.data.readers.volume import ENDINGS, grid_of, read_field_of_view, read_image
from attnbench.data.targets import Target, form_of, of_volume, safe, stem_of
from attnbench.errors import DataError, listed
from attnbench.study.groups import DatasetSettings

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm")
_REMEDY = "repair it or leave it out"
_NUMBERED = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Source:
    """Files of one new image: one, one per channel in their order, or slices of a DICOM series.

    fov: the file of its field of view, where there is one.
    """

    name: str
    paths: tuple[Path, ...]
    series: bool = False
    fov: Path | None = None


@dataclass(frozen=True, eq=False)
class NewImage:
    """A new image on the working grid of a study's dataset.

    image: (channels, *working grid), in the file's own intensities, with the channels that the
    study takes. statistics: STATISTICS of its channels. target: its own grid, on which
    predictions of it lie, and the name of their file. colours: it was read as the luminance of its
    colours, as the dataset's own images are.
    """

    source: Source
    image: NDArray[np.generic]
    statistics: Floats
    target: Target
    colours: bool = False


def find_sources(
    entry: Entry, given: Iterable[Path], fov: Path | None = None
) -> tuple[list[Source], list[str]]:
    """The images in files and folders, in their order; a folder's own files are taken by ending.

    Volumes are NIfTI, MHA, MHD or NRRD files, or a folder of DICOM slices; pictures are what
    `decode` reads. Where an image has several channels, files `NAME_0000`, `NAME_0001`, ... that
    each hold some of them are one image. With `fov`, this folder has the field of view of every
    image, a file of the image's name.

    Returns:
        The images, and what is wrong: paths that lead nowhere or to what is no image of this kind,
        images of one name, images without a field of view.
    """
    form, problems = form_of(entry), list[str]()
    files: list[Path] = []
    sources: list[Source] = []
    for path in given:
        try:
            found = _inside(path, entry) if path.is_dir() else [path]
            series = form == "nifti" and _are_dicom(found, entry)
            if series:
                name = path.resolve().name if path.is_dir() else path.stem
                sources.append(Source(safe(name), tuple(found), series=True))
            elif not path.exists():
                problems.append(f"{path}: no such file")
            elif form == "nifti" and not found[0].name.lower().endswith(ENDINGS):
                problems.append(
                    f"{path}: no volume; images of {entry.name} are {', '.join(ENDINGS)}"
                    + (" or DICOM" if entry.ndim == 3 else "")
                )
            elif form != "nifti" and found[0].name.lower().endswith(ENDINGS):
                problems.append(
                    f"{path}: a volume; images of {entry.name} are pictures (PNG, TIFF)"
                )
            else:
                files += found
        except (DataError, OSError) as error:
            problems.append(f"{path}: {error}")
    sources += _by_image(entry, files)
    by_name = defaultdict(list)
    for source in sources:
        by_name[source.name.casefold()].append(str(source.paths[0]))
    problems += [
        f"{' and '.join(paths)}: predictions of both would have one name; rename one of them"
        for paths in by_name.values()
        if len(paths) > 1
    ]
    if fov is not None:
        sources, lacking = _with_fields(entry, sources, fov)
        problems += lacking
    return sources, problems


def _with_fields(
    entry: Entry, sources: Sequence[Source], folder: Path
) -> tuple[list[Source], list[str]]:
    if not any(row.role == "fov" for row in entry.files()):
        return list(sources), [f"{folder}: images of {entry.name} have no fields of view"]
    inside = folder.iterdir() if folder.is_dir() else ()
    by_name = {stem_of(path.name): path for path in sorted(inside)}
    found = [replace(source, fov=by_name.get(source.name)) for source in sources]
    return found, [
        f"{source.paths[0]}: no field of view {folder / source.name}.*"
        for source in found
        if source.fov is None
    ]


def read_new(
    entry: Entry, settings: DatasetSettings, source: Source, spacing: Spacing | None = None
) -> NewImage:
    """Read an image and take it to the working grid, as `prepare_case` does a case's.

    Args:
        entry: the dataset whose images it is like.
        settings: the study's, for the dataset.
        source: the image's files.
        spacing: of a pixel, in the dataset's unit, where the file states none.

    Raises:
        DataError: the files cannot be read, or the image is none that a model of the dataset takes.
    """
    role = "image_slice" if source.series else "image"
    rows = tuple(FileRow(str(path), 0, "", role, source.name, "") for path in source.paths)
    files = CaseFiles(entry, Path(), source.name, "", rows, remedy=_REMEDY)
    read = _volume if form_of(entry) == "nifti" else _picture
    image, target, colours, fov = read(files, source, spacing)
    if image.ndim != entry.ndim + 1:
        raise files.error(
            f"is a {image.ndim - 1}-D image; models of {entry.name} take {entry.ndim}-D ones"
            + (": give each slice as a file" if entry.ndim == 2 else "")
        )
    if len(image) != entry.channels:
        raise files.error(
            f"has {len(image)} channel(s), images of {entry.name} have {entry.channels}; give a "
            "file with all of them, or one for each, NAME_0000, NAME_0001, ... in their order"
        )
    if not np.isfinite(image).all():
        raise files.error("holds pixels that are NaN or infinite; every one is a finite number")
    if not target.spacing and settings.spacing and entry.spacing_unit != "px":
        wanted = " x ".join(f"{side:g}" for side in settings.spacing)
        raise files.error(
            f"states no spacing, and the study resamples to {wanted} {entry.spacing_unit}; say "
            "the spacing that the image has (`--spacing`)"
        )
    sides = target.spacing or (1.0,) * entry.ndim
    if len(sides) != entry.ndim:
        raise files.error(
            f"spacing {sides} has {len(sides)} values; the image has {entry.ndim} axes"
        )
    target = replace(target, shape=image.shape[1:], spacing=sides)
    if fov is not None and (fov.shape != target.shape or not fov.any()):
        raise files.error(f"its field of view {source.fov} is empty or has another shape")
    working = working_image(image, sides, settings, source.name)
    inside = inside_view(fov, working.shape[1:])
    if inside is not None:
        working = filled_outside(working, inside)
    return NewImage(source, working, measure_image(working, inside), target, colours)


def read_all(
    entry: Entry,
    settings: DatasetSettings,
    sources: Iterable[Source],
    spacing: Spacing | None,
    problems: Iterable[str] = (),
) -> Iterator[NewImage]:
    """Yield every image that can be read; then raise a `DataError` with all that cannot.

    `problems` are those that are known already.
    """
    found = list(problems)
    for source in sources:
        try:
            yield read_new(entry, settings, source, spacing)
        except DataError as error:
            found.append(str(error))
    if found:
        raise DataError(
            f"{len(found)} problem(s) with the images, none was predicted:\n  " + "\n  ".join(found)
        )


def _inside(folder: Path, entry: Entry) -> list[Path]:
    """Images in a folder, by name; `DataError` where there is none."""
    endings = ENDINGS if form_of(entry) == "nifti" else PICTURES
    inside = sorted(path for path in folder.iterdir() if path.is_file())
    found = [path for path in inside if path.name.lower().endswith(endings)]
    found = found or [path for path in inside if entry.ndim == 3 and is_dicom(path)]
    if not found:
        folders = [path.name for path in folder.iterdir() if path.is_dir()]
        hint = f"; give its folders one by one: {listed(sorted(folders), 5)}" if folders else ""
        raise DataError(f"holds no image ({', '.join(endings)}){hint}")
    return found


def _are_dicom(paths: Sequence[Path], entry: Entry) -> bool:
    first = paths[0]
    if entry.ndim == 2 or first.name.lower().endswith(ENDINGS) or not first.is_file():
        return False
    if not is_dicom(first):
        return False
    require_packages()
    return True


def _by_image(entry: Entry, files: Sequence[Path]) -> list[Source]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        stem = stem_of(path.name)
        numbered = _NUMBERED.fullmatch(stem)
        # The folder too: files of one name in two folders are two images, refused later.
        whole = numbered is None or not _in_parts(entry, path)
        groups[str(path) if whole else f"{path.parent}/{numbered[1]}"].append(path)  # type: ignore[index]
    return [
        Source(safe(Path(key).name if len(own) > 1 else _name(entry, own[0])), tuple(sorted(own)))
        for key, own in groups.items()
    ]


def _name(entry: Entry, path: Path) -> str:
    stem = stem_of(path.name)
    # A raw dataset of nnU-Net numbers a single channel, too, and does not in its masks.
    return stem.removesuffix("_0000") if form_of(entry) == "nifti" else stem


def _in_parts(entry: Entry, path: Path) -> bool:
    """Whether a numbered file holds only some of an image's channels."""
    if entry.channels == 1:
        return False
    rows = [row for row in entry.files() if row.role == "image"]
    if len(rows) > len({row.case for row in rows}):
        return True
    if form_of(entry) != "nifti":
        return False
    try:
        return grid_of(path).channels < entry.channels
    except (OSError, Refused):
        return False  # told when it is read


def _volume(
    files: CaseFiles, source: Source, spacing: Spacing | None
) -> tuple[NDArray[np.generic], Target, bool, NDArray[np.bool_] | None]:
    unit = files.entry.spacing_unit
    if source.series:
        stored = read_series(files).volume
        turned_ = canonical(stored)
        target = Target(source.name, "nifti", (), turned_.grid.spacing, unit, stored.grid)
        return turned_.array[None], target, False, _field_of_view(files, source, turned_.grid)
    paths = files.paths("image")
    image, grid, sides = read_image(files, paths)
    if not grid.stated:
        sides = spacing or files.entry.spacing or ()
    try:
        target = of_volume(source.paths[0], source.name, unit)
    except (Refused, OSError) as error:
        raise files.error(str(error), paths[0]) from error
    fov = _field_of_view(files, source, grid)
    return image, replace(target, spacing=sides), False, fov


def _field_of_view(files: CaseFiles, source: Source, grid: Grid) -> NDArray[np.bool_] | None:
    return None if source.fov is None else read_field_of_view(files, str(source.fov), grid)


def _picture(
    files: CaseFiles, source: Source, spacing: Spacing | None
) -> tuple[NDArray[Any], Target, bool, NDArray[np.bool_] | None]:
    """The image (C, [pages,] H, W), its target, whether its colours became luminance, its field of
    view.
    """
    entry = files.entry
    # Other readers of pictures take the luminance of colours without being told.
    described = entry.reader.name == "pictures"
    settings = (
        PictureSettings.of(entry.reader.settings) if described else PictureSettings(grey=True)
    )
    paths = files.paths("image")
    pictures = [_upright(files, path, settings) for path in paths]
    whole = len(paths) == 1 and settings.pages != "channels"
    parts = []
    for path, picture in zip(paths, pictures, strict=True):
        if settings.pages != "slices" and settings.pages != "channels" and len(picture.pages) > 1:
            raise files.error(
                f"has {len(picture.pages)} pages; give each page as a file of its own", path
            )
        have = picture.colours.shape[-1]
        try:
            own = with_channels(picture.colours, entry.channels if whole else None, settings.grey)
        except ValueError:
            raise files.error(
                f"has {have} channel(s), images of {entry.name} have {entry.channels}; save it "
                "with as many",
                path,
            ) from None
        parts.append(_axes(own, settings))
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(str(part.shape[1:]) for part in parts)
        raise files.error(f"its channels have different shapes: {shapes}")
    size = pictures[0].pixel_size
    factor = {"mm": 1.0, "um": 1000.0}.get(entry.spacing_unit)
    if settings.spacing == "file" and size and factor:
        spacing = (size[0] * factor, size[1] * factor)
    else:
        spacing = spacing or entry.spacing
    target = Target(source.name, form_of(entry), (), spacing or (), entry.spacing_unit)
    colours = any(
        picture.colours.shape[-1] == 3 and (picture.colours != picture.colours[..., :1]).any()
        for picture in pictures
    )
    fov = None
    if source.fov is not None and described:
        fov = inside_of(files, str(source.fov), settings)
    elif source.fov is not None:
        fov = read_binary(files, str(source.fov))
    return np.concatenate(parts), target, colours and entry.channels == 1, fov


def _axes(pages: NDArray[Any], settings: PictureSettings) -> NDArray[Any]:
    """(C, [pages,] H, W); a page that was a case is a picture."""
    return arranged(pages, replace(settings, pages=None) if settings.pages == "cases" else settings)


def _upright(files: CaseFiles, path: str, settings: PictureSettings) -> Picture:
    with files.reading(path) as file:
        picture = decode(file)
    if picture.orientation == UPRIGHT or settings.orientation == "ignore":
        return picture
    if settings.orientation == "apply":
        return turned(picture)
    raise files.error(
        f"EXIF says that it is shown turned (orientation {picture.orientation}); save it upright",
        path,
    )
