"""Where a prediction of a case belongs: the name and the grid of the case's own file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import ArchiveOrigin, Entry, LocalOrigin
from attnbench.data.case import Spacing, case_error
from attnbench.data.parts import block_edges
from attnbench.data.read import unread_cases
from attnbench.data.readers import CaseFiles, unpacked_cases
from attnbench.data.readers.dicom.case import read_series
from attnbench.data.readers.grid import (
    Grid,
    Refused,
    as_stored,
    block_of,
    canonical_grid,
    flat_grid,
)
from attnbench.data.readers.nifti import ENDINGS as NIFTI
from attnbench.data.readers.nifti import nifti_placement
from attnbench.data.readers.volume import ENDINGS, grid_of
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, listed

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

Form = Literal["nifti", "png", "tiff"]
Scalar = TypeVar("Scalar", bound=np.generic)
VOLUME_READERS = ("nifti", "volume")
_CHANNEL = re.compile(r"_\d{4}$")  # of nnU-Net's names


@dataclass(frozen=True, eq=False)
class Target:
    """How an array of a case becomes a file that lies on the case's original.

    stem: name of the file without its ending. form: kind of the file. shape: of arrays on the axes
    that the case store has. spacing, with its unit: on the same axes. grid: of the original as it
    is stored; None where no file has one. header: what else a NIfTI original says of it. original:
    path of the case's first image, as the catalog lists it; empty for cases without files.
    """

    stem: str
    form: Form
    shape: tuple[int, ...]
    spacing: Spacing
    unit: str
    grid: Grid | None = None
    header: Nifti1Header | None = None
    original: str = ""

    def as_stored(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Turn an array (*shape) to the axes of the file: (X, Y, Z), (H, W) or (pages, H, W)."""
        if self.grid is None or len(self.grid.shape) < 3:
            return array
        return array[..., None] if array.ndim == 2 else as_stored(array, self.grid)

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """Voxels of the file to its unit, (4, 4), towards right, anterior, superior; None: none."""
        return None if self.grid is None else self.grid.affine


def form_of(entry: Entry) -> Form:
    """What predictions of a dataset are written as: by its reader, not by its files' endings."""
    if entry.reader.name in (*VOLUME_READERS, "dicom"):
        return "nifti"
    if entry.ndim == 2:
        return "png"
    return "nifti" if entry.generated else "tiff"


def targets_of(
    entry: Entry, raw: Path, store: CaseStore, cases: Collection[str]
) -> dict[str, Target]:
    """Where predictions of cases belong, by case, in the order of `cases`.

    Of volumes the original is opened for its grid, and is the one that the catalog lists by its
    SHA-256; of pictures the name is enough. A case that was cut out of a file keeps its place in
    it. The name is that of the original, without the channel number of nnU-Net; of all cases of a
    dataset in which two originals have one name it is the case's.

    Args:
        entry: the dataset's catalog entry.
        raw: folder of the verified originals.
        store: the prepared dataset.
        cases: names of cases in the store.

    Raises:
        DataError: originals that are needed are gone (all are named), changed or unreadable.
    """
    of_file = {case: _file_case(entry, case) for case in store.columns["case"]}
    listed_as = _listed_images(entry, of_file.values())
    stems = _stems(listed_as)
    # What has no grid of its own, or no file at all, is not opened.
    bases = {
        name: Target(
            stems[name],
            form_of(entry),
            (),
            (),
            entry.spacing_unit,
            original=next(iter(listed_as[name]), ""),
        )
        for name in dict.fromkeys(of_file[case] for case in cases)
    }
    for files in _files(entry, raw, bases):
        bases[files.case] = _target(files, stems[files.case])
    return {
        case: _of_case(entry, store, case, of_file[case], bases[of_file[case]]) for case in cases
    }


def stem_of(path: str) -> str:
    """A file's name without its ending, of which `.nii.gz` is one."""
    name = PurePosixPath(path).name
    ending = next((one for one in ENDINGS if name.lower().endswith(one)), None)
    return name[: -len(ending)] if ending else PurePosixPath(name).stem


def of_series(files: CaseFiles, stem: str) -> Target:
    """The target of the DICOM series that `files` are; its shape is left empty."""
    series = read_series(files, pixels=False)
    return Target(stem, "nifti", (), (), "mm", series.volume.grid)


def of_volume(path: Path, stem: str, unit: str) -> Target:
    """The target of a volume file; its shape is left empty. Raises as `grid_of` does."""
    header = nifti_placement(path) if path.name.lower().endswith(NIFTI) else None
    return Target(stem, "nifti", (), (), unit, grid_of(path), header)


def safe(name: str) -> str:
    """A name without what separates folders."""
    return re.sub(r"[\\/:]", "_", name)


def _file_case(entry: Entry, case: str) -> str:
    """The case as its files have it, of which `case` may be a page or a block."""
    if entry.reader.blocks is not None:
        case = re.sub(r"-b\d{2,}$", "", case)
    if entry.reader.settings.get("pages") == "cases":
        case = re.sub(r"-p\d{3,}$", "", case)
    return case


def _listed_images(entry: Entry, cases: Iterable[str]) -> dict[str, list[str]]:
    """Paths of the images of every case as its files have it; none where the catalog lists none."""
    images: dict[str, list[str]] = {case: [] for case in cases}
    for row in entry.files():
        if row.role == "image" and row.case in images:
            images[row.case].append(row.path)
    return images


def _stems(images: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Names of files by case as its files have it: unique, whatever the case of letters."""
    stems = {case: _stem(case, paths) for case, paths in images.items()}
    if max(Counter(stem.casefold() for stem in stems.values()).values()) > 1:
        return {case: safe(case) for case in stems}
    return stems


def _stem(case: str, paths: Sequence[str]) -> str:
    stems = [stem_of(path) for path in paths]
    shared = {_CHANNEL.sub("", stem) for stem in stems}
    if len(stems) == 1 and shared != {case}:
        return safe(stems[0])
    return safe(shared.pop() if len(shared) == 1 else case)


def _files(entry: Entry, raw: Path, wanted: Collection[str]) -> Iterator[CaseFiles]:
    """Files of the wanted cases, where an original has to be opened for its grid."""
    if form_of(entry) != "nifti" or entry.generated:
        return
    if isinstance(entry.origin, ArchiveOrigin):
        archive = raw / entry.origin.filename
        _refuse_gone(entry, [] if archive.is_file() else [str(archive)])
        yield from (one for one in unpacked_cases(entry, archive) if one.case in wanted)
        return
    cases = [
        one for one in unread_cases(entry, raw) if isinstance(one, CaseFiles) and one.case in wanted
    ]
    gone = [
        str(path)
        for files in cases
        for row in _images(files)
        if not (path := files.raw / row).is_file()
    ]
    _refuse_gone(entry, gone)
    for files in cases:
        # Its grid need not be the one that was predicted on.
        files.refuse_changed(*_images(files))
        yield files


def _images(files: CaseFiles) -> tuple[str, ...]:
    """The files that say where the voxels lie: of several channels the first."""
    return files.paths("image_slice") or files.paths("image")[:1]


def _refuse_gone(entry: Entry, gone: Sequence[str]) -> None:
    if not gone:
        return
    todo = (
        "put them back there"
        if isinstance(entry.origin, LocalOrigin)
        else f"get them back: `attnbench fetch --study STUDY --dataset {entry.name}`"
    )
    raise DataError(
        f"{entry.name}: {len(gone)} original file(s) are gone, whose headers say where the voxels "
        f"of a prediction lie: {listed(gone, 5)}; {todo}"
    )


def _target(files: CaseFiles, stem: str) -> Target:
    path = _images(files)[0]
    if files.entry.reader.name == "dicom":
        return replace(of_series(files, stem), original=path)
    try:
        with files.reading(path) as file:
            return replace(of_volume(file, stem, files.entry.spacing_unit), original=path)
    except Refused as error:
        raise files.error(str(error), path) from error


def _of_case(entry: Entry, store: CaseStore, case: str, of_file: str, base: Target) -> Target:
    """The target of a case of the store, whole or cut out of what `base` is the target of."""
    index = store.index(case)
    own = replace(
        base,
        stem=base.stem + case.removeprefix(of_file),
        shape=store.original_shape(index),
        spacing=store.original_spacing(index),
    )
    if base.grid is None:
        return own
    ndim = store.info.ndim
    whole = (flat_grid if ndim == 2 else canonical_grid)(base.grid).shape
    if case == of_file:
        if whole != own.shape:
            raise case_error(
                entry.name,
                case,
                f"its original has {whole} voxels, {own.shape} were prepared; prepare the dataset "
                "again (`attnbench prepare`)",
                base.original,
            )
        return own
    start = _start(entry, case, whole, own.shape)
    return replace(own, grid=block_of(base.grid, start, own.shape), header=None)


def _start(
    entry: Entry, case: str, whole: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """First voxel of a block of a volume, on the axes of the store."""
    blocks = entry.reader.blocks
    assert blocks is not None
    axis = max(range(len(whole)), key=lambda axis: whole[axis])
    begin, end = block_edges(whole[axis], blocks)[int(case.rpartition("-b")[2]) - 1]
    if (*whole[:axis], end - begin, *whole[axis + 1 :]) != shape:
        raise case_error(
            entry.name, case, f"has {shape} voxels; its block of the original's {whole} has others"
        )
    return tuple(begin if one == axis else 0 for one in range(len(whole)))
