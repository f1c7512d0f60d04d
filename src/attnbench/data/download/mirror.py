"""Sources of a dataset in the order in which they are tried: the mirror, then the origin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from attnbench.catalog import (
    ArchiveOrigin,
    EmbeddedOrigin,
    Entry,
    FilesOrigin,
    LocalOrigin,
    TarballOrigin,
)
from attnbench.data.download.http import is_url
from attnbench.errors import FetchError

MIRROR_VARIABLE = "ATTNBENCH_MIRROR"


@dataclass(frozen=True)
class Source:
    """A place that has a dataset: one address per file, or the address of one archive of all."""

    name: str
    address: Callable[[str], str]
    archive: str | None = None


def sources(
    entry: Entry, mirror: str | None, offline: bool, mirrors: Mapping[str, str]
) -> tuple[Source, ...]:
    """The dataset's own mirror, then the common one (argument, else environment), then the origin
    unless `offline`.

    A mirror holds `<mirror>/<dataset>/files/<path>`, or `<mirror>/<dataset>/archive.tar.gz` for
    a dataset whose origin is one tarball; one of `mirrors`, which is of one dataset or family,
    `<path>` or `archive.tar.gz` itself.

    Raises:
        FetchError: nothing is left to try, or the mirror is no address.
    """
    mirror = mirror or os.environ.get(MIRROR_VARIABLE)
    own = mirrors.get(entry.name) or mirrors.get(entry.family or entry.name)
    if offline and not mirror and not own:
        raise FetchError(
            f"{entry.name}: not downloaded, and data.offline forbids its origin; set data.mirror "
            f"or {MIRROR_VARIABLE} to a URL or folder that holds it, or set data.offline to false"
        )
    tried = (
        *((_at(entry, "data.mirrors", own, "", ""),) if own else ()),
        *((_at(entry, "data.mirror", mirror, f"/{entry.name}", "/files"),) if mirror else ()),
    )
    return tried if offline else (*tried, _origin(entry))


def _origin(entry: Entry) -> Source:
    origin = entry.origin
    match origin:
        case FilesOrigin():
            return Source("origin", origin.address)
        case TarballOrigin() | ArchiveOrigin():
            packed = origin.url if isinstance(origin, TarballOrigin) else None
            return Source("origin", lambda _: origin.url, packed)
        case EmbeddedOrigin() | LocalOrigin():
            raise FetchError(f"{entry.name}: has nothing to download")


def _at(entry: Entry, key: str, mirror: str, below: str, files: str) -> Source:
    """The dataset at a mirror that the study names by `key`: in which folder, and its files."""
    if "://" in mirror and not is_url(mirror):
        raise FetchError(f"{key}: {mirror!r} is neither an http(s) URL nor a folder")
    base = f"{mirror.rstrip('/') if is_url(mirror) else Path(mirror).expanduser()}{below}"
    archive = f"{base}/archive.tar.gz" if isinstance(entry.origin, TarballOrigin) else None
    return Source(
        "mirror", lambda path: f"{base}{files}/{quote(path) if is_url(base) else path}", archive
    )
