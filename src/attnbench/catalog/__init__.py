"""The catalog: datasets as data, one YAML and a list of files each.

No other room knows an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from attnbench.catalog.entry import (
    ArchiveOrigin,
    Blocks,
    EmbeddedOrigin,
    Entry,
    FileRow,
    FilesOrigin,
    LocalOrigin,
    Reader,
    TarballOrigin,
)
from attnbench.catalog.sizes import by_size, names_in
from attnbench.errors import CatalogError, nearest
from attnbench.study.reading import MOST_BYTES, RefusedYaml, read_yaml

__all__ = [
    "ArchiveOrigin",
    "Blocks",
    "EmbeddedOrigin",
    "Entry",
    "FileRow",
    "FilesOrigin",
    "LocalOrigin",
    "Reader",
    "TarballOrigin",
    "catalog_names",
    "entry_files",
    "load_entry",
    "read_entries",
    "read_entry",
    "share_images",
]

Folders = tuple[Path, ...]
ENTRIES = Path(__file__).parent / "entries"


def catalog_names(folders: Folders = ()) -> tuple[str, ...]:
    """Return every dataset's name, sorted: those shipped, and those in a user's `folders`.

    Raises:
        CatalogError: as `entry_files`.
    """
    return tuple(sorted(entry_files(folders)))


def entry_files(folders: Folders = ()) -> dict[str, Path]:
    """Return the file of every dataset's entry by name; of a file at most `sizes` is parsed.

    In a user's folder, a YAML file is an entry if a list of files lies beside it, or if it says
    `origin:`; studies may lie there too.

    Raises:
        CatalogError: a folder does not exist, or a name is taken.
    """
    files = dict(_shipped())
    for folder in folders:
        if not folder.is_dir():
            raise CatalogError(
                f"{folder}: no such folder; a catalog is a folder with <dataset>.yaml, relative to "
                "where the command is typed"
            )
        for path in sorted(folder.glob("*.yaml")):
            for name in _names_in(path) if _is_entry(path) else ():
                if name in files:
                    raise CatalogError(
                        f"{path}: the name {name!r} is taken by {files[name]}; rename the file and "
                        "the `name` in it"
                    )
                files[name] = path
    return files


@lru_cache
def _shipped() -> dict[str, Path]:
    return {name: path for path in ENTRIES.glob("*.yaml") for name in _names_in(path)}


def _names_in(path: Path) -> tuple[str, ...]:
    try:
        return names_in(path.stem, path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, RefusedYaml) as error:
        raise CatalogError(f"{path}: not a catalog entry: {error}") from error


def _is_entry(path: Path) -> bool:
    # A pipe would be waited for.
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return False
    if path.with_suffix(".files.csv").is_file():
        return True
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}") from error
    return any(line.startswith("origin:") for line in text.splitlines())


def load_entry(name: str, folders: Folders = ()) -> Entry:
    """Return the entry of one dataset, shipped or in one of a user's `folders`.

    Raises:
        CatalogError: no such dataset, with the nearest name, or what is wrong in the entry.
    """
    files = entry_files(folders)
    if name not in files:
        searched = "".join(f" and {folder}" for folder in folders)
        raise CatalogError(f"the catalog{searched} has no dataset {name!r}; {nearest(name, files)}")
    return next(entry for entry in read_entries(files[name]) if entry.name == name)


def read_entry(path: Path) -> Entry:
    """Return the one entry in `<name>.yaml`; raises as `read_entries`."""
    return read_entries(path)[0]


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Return the entry in `<name>.yaml`, or its entries, one per size.

    Beside it, `<name>.files.csv`, if any, lists its files, `<name>.cases.csv` labels of its cases.

    Raises:
        CatalogError: the file cannot be read, is no entry, or its entry has another name.
    """
    listings = tuple(
        file if file.is_file() else None
        for file in (path.with_suffix(".files.csv"), path.with_suffix(".cases.csv"))
    )
    # Kept until one of the files changes or comes: a user may be editing them.
    changed = tuple(file.stat().st_mtime_ns for file in (path, *listings) if file and file.exists())
    return _read_unchanged(path, listings, changed)


@lru_cache
def _read_unchanged(
    path: Path, listings: tuple[Path | None, ...], changed: tuple[int, ...]
) -> tuple[Entry, ...]:
    files = dict(zip(("listing", "case_listing"), listings, strict=True))
    content = read_yaml(path, CatalogError, "catalog entry")
    if not isinstance(content, Mapping):
        raise CatalogError(
            f"{path}: not a catalog entry, which is a mapping of keys; found a value of type "
            f"{type(content).__name__}"
        )
    try:
        entries = tuple(
            _at_home(Entry.model_validate({**own, **files}), path.parent)
            for own in by_size(content)
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise CatalogError(f"{path}: not a catalog entry: {error}") from error
    name = entries[0].family or entries[0].name
    if name != path.stem:
        raise CatalogError(
            f"{path}: the entry's name is {name!r}; it is the file's name, {path.stem!r}"
        )
    return entries


def share_images(one: Entry, other: Entry) -> bool:
    """Return whether two datasets are known to have images in common, as sizes of one do."""
    names = [{entry.name, entry.family or entry.name} for entry in (one, other)]
    return (
        not names[0].isdisjoint(names[1])
        or not names[0].isdisjoint(other.shares_images)
        or not names[1].isdisjoint(one.shares_images)
    )


def _at_home(entry: Entry, folder: Path) -> Entry:
    """Give a local dataset the folder of its files as seen from the working directory."""
    if not isinstance(entry.origin, LocalOrigin):
        return entry
    origin = entry.origin.model_copy(update={"folder": folder / entry.origin.folder})
    return entry.model_copy(update={"origin": origin})
