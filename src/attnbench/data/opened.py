"""A dataset as cases with arrays, for a reader: its originals, or what a study prepared of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from attnbench.catalog import EmbeddedOrigin, Entry, LocalOrigin
from attnbench.catalog.suitable import RESTRICTED
from attnbench.data.case import RawCase
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.read import read_cases
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, nearest
from attnbench.seals import LARGE


@dataclass(frozen=True)
class Dataset:
    """Cases of a dataset in order; each is read when it is asked for, none is kept.

    A case (`RawCase`) has `case` and `group`, their names; `image` (C, *spatial) in the file's own
    intensities; `mask` (*spatial) uint8, 0 is background; `spacing`, one size per spatial axis in
    `spacing_unit` (mm, um or px); `fov` (*spatial) bool, True where scores count, or None.
    `classes`: name by number. `length`: number of cases.
    """

    name: str
    ndim: int
    channels: int
    classes: Mapping[int, str]
    spacing_unit: str
    licence: str
    length: int
    read: Callable[[], Iterator[RawCase]]

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[RawCase]:
        return self.read()

    def __getitem__(self, case: str) -> RawCase:
        """The case of that name.

        Raises:
            DataError: there is none, with the nearest name.
        """
        names = []
        for found in self.read():
            if found.case == case:
                return found
            names.append(found.case)
        raise DataError(f"{self.name}: no case {case!r}; {nearest(case, names)}")


def open_prepared(folder: Path) -> Dataset:
    """The prepared cases in a case store: on the study's working grid, with its channels.

    Raises:
        DataError: the folder holds no whole case store. Arrays of 64 MB and more are not read for
            this: `attnbench verify` does.
    """
    store = CaseStore.open(folder)
    info = store.info
    small = (folder / f"{name}.npy" for name in info.arrays)
    store.check_arrays([path.stem for path in small if path.stat().st_size < LARGE])
    return Dataset(
        info.name,
        info.ndim,
        info.channels,
        info.classes,
        info.spacing_unit,
        info.licence,
        len(store),
        lambda: (_prepared(store, index) for index in range(len(store))),
    )


def _prepared(store: CaseStore, index: int) -> RawCase:
    case, group = (store.columns[name][index] for name in ("case", "group"))
    image, mask = store.image(index), store.mask(index)
    # On the working grid there is no field of view; where it is the own grid, it is that.
    own = store.shape(index) == store.original_shape(index)
    fov = store.fov(index) if own else None
    return RawCase(case, group, image, mask, store.spacing(index), fov)


def open_originals(entry: Entry, downloads: Path | None, accept_licence: bool) -> Dataset:
    """The cases of a dataset of the catalog, read from its originals on their own grids.

    Originals are verified, and downloaded where they are not there.

    Args:
        entry: the dataset.
        downloads: folder of downloads, one folder per dataset; None: nothing is downloaded.
        accept_licence: a licence that is not open was read, and allows what is planned.

    Raises:
        DataError: the originals would have to be downloaded, and no folder was given, or the
            licence was not accepted.
        FetchError: they are not to be had, or are not what the catalog says.
    """
    here = isinstance(entry.origin, EmbeddedOrigin | LocalOrigin)
    if entry.licence_terms in RESTRICTED and not (here or accept_licence):
        raise DataError(
            f"{entry.name}: the licence is {RESTRICTED[entry.licence_terms]}. It says: "
            f"{entry.licence} If you may use these images under it, say so: `accept_licence=True`"
        )
    if not here and downloads is None:
        raise DataError(
            f"{entry.name}: its images are downloaded; say where to: `downloads='data'` puts them "
            f"in data/{entry.name}"
        )
    folder = (downloads or Path()) / entry.name
    if isinstance(entry.origin, LocalOrigin):
        folder = entry.origin.folder
    elif not here:
        fetch_dataset(entry, folder)
    return Dataset(
        entry.name,
        entry.ndim,
        entry.channels,
        entry.classes,
        entry.spacing_unit,
        entry.licence,
        entry.cases,
        lambda: read_cases(entry, folder),
    )
