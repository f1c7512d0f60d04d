"""The catalog: datasets as data, one YAML and a list of files each.

No other room knows an address.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from attnbench.catalog.entry import (
    ArchiveOrigin,
    EmbeddedOrigin,
    Entry,
    FileRow,
    FilesOrigin,
    LocalOrigin,
    Reader,
    TarballOrigin,
)
from attnbench.errors import CatalogError, nearest

__all__ = [
    "ArchiveOrigin",
    "EmbeddedOrigin",
    "Entry",
    "FileRow",
    "FilesOrigin",
    "LocalOrigin",
    "Reader",
    "TarballOrigin",
    "catalog_names",
    "describe_catalog",
    "load_entry",
    "read_entry",
]

Folders = tuple[Path, ...]
ENTRIES = Path(__file__).parent / "entries"
# libyaml's loader, where PyYAML has it, is several times as fast; every command reads entries.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def catalog_names(folders: Folders = ()) -> tuple[str, ...]:
    """Return every dataset's name, sorted: those shipped, and those in a user's `folders`.

    Raises:
        CatalogError: as `entry_files`.
    """
    return tuple(sorted(entry_files(folders)))


def entry_files(folders: Folders = ()) -> dict[str, Path]:
    """Return the file of every dataset's entry by name, without parsing any.

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
            if not _is_entry(path):
                continue
            if path.stem in files:
                raise CatalogError(
                    f"{path}: the name {path.stem!r} is taken by {files[path.stem]}; rename the "
                    "file and the `name` in it"
                )
            files[path.stem] = path
    return files


@lru_cache
def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in ENTRIES.glob("*.yaml")}


def _is_entry(path: Path) -> bool:
    if path.with_suffix(".files.csv").is_file():
        return True
    text = path.read_text(encoding="utf-8", errors="replace")
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
    return _read_unchanged(files[name], files[name].stat().st_mtime_ns)


@lru_cache
def _read_unchanged(path: Path, changed: int) -> Entry:
    return read_entry(path)


def read_entry(path: Path) -> Entry:
    """Return the entry in `<name>.yaml`.

    Beside it, `<name>.files.csv`, if any, lists its files, `<name>.cases.csv` labels of its cases.

    Raises:
        CatalogError: the file cannot be read, is no entry, or its entry has another name.
    """
    listings = {
        key: file if file.is_file() else None
        for key, file in (
            ("listing", path.with_suffix(".files.csv")),
            ("case_listing", path.with_suffix(".cases.csv")),
        )
    }
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        entry = _at_home(Entry.model_validate({**content, **listings}), path.parent)
    except (OSError, yaml.YAMLError, TypeError, ValidationError) as error:
        raise CatalogError(f"{path}: not a catalog entry: {error}") from error
    if entry.name != path.stem:
        raise CatalogError(
            f"{path}: the entry's name is {entry.name!r}; it is the file's name, {path.stem!r}"
        )
    return entry


def _at_home(entry: Entry, folder: Path) -> Entry:
    """Give a local dataset the folder of its files as seen from the working directory."""
    if not isinstance(entry.origin, LocalOrigin):
        return entry
    origin = entry.origin.model_copy(update={"folder": folder / entry.origin.folder})
    return entry.model_copy(update={"origin": origin})


def describe_catalog() -> str:
    """Return a table of every dataset: name, axes, cases, groups, classes and title."""
    header = ("name", "ndim", "cases", "groups", "classes", "title")
    rows = [header, *map(_facts, map(load_entry, catalog_names()))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join([*lines, "* groups were inferred, not stated by the authors"])


def _facts(entry: Entry) -> tuple[str, ...]:
    groups = f"{entry.groups}{'*' if entry.groups_inferred else ''}"
    classes = ", ".join(entry.classes.values())
    return entry.name, str(entry.ndim), str(entry.cases), groups, classes, entry.title
