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
    "Reader",
    "TarballOrigin",
    "catalog_names",
    "describe_catalog",
    "load_entry",
    "read_entry",
]

ENTRIES = Path(__file__).parent / "entries"
# libyaml's loader, where PyYAML has it, is several times as fast; every command reads entries.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache
def catalog_names() -> tuple[str, ...]:
    """Return every dataset's name, sorted; reads file names only."""
    return tuple(sorted(path.stem for path in ENTRIES.glob("*.yaml")))


@lru_cache
def load_entry(name: str) -> Entry:
    """Return the entry of one dataset.

    Raises:
        CatalogError: no such dataset, with the nearest name, or what is wrong in the entry.
    """
    if name not in catalog_names():
        raise CatalogError(f"the catalog has no dataset {name!r}; {nearest(name, catalog_names())}")
    return read_entry(ENTRIES / f"{name}.yaml")


def read_entry(path: Path) -> Entry:
    """Return the entry in `<name>.yaml`; `<name>.files.csv` beside it, if any, lists its files.

    Raises:
        CatalogError: the file cannot be read, is no entry, or its entry has another name.
    """
    listing = path.with_suffix(".files.csv")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        entry = Entry.model_validate({**content, "listing": listing if listing.is_file() else None})
    except (OSError, yaml.YAMLError, TypeError, ValidationError) as error:
        raise CatalogError(f"{path}: not a catalog entry: {error}") from error
    if entry.name != path.stem:
        raise CatalogError(
            f"{path}: the entry's name is {entry.name!r}; it is the file's name, {path.stem!r}"
        )
    return entry


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
