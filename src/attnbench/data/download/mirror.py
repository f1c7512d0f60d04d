"""Sources of a dataset in the order in which they are tried: the mirror, then the origin."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def sources(entry: Entry, mirror: str | None, offline: bool) -> tuple[Source, ...]:
    """The mirror if one is named (argument, else environment), then the origin unless `offline`.

    A mirror holds `<mirror>/<dataset>/files/<path>`, or `<mirror>/<dataset>/archive.tar.gz` for
    a dataset whose origin is one tarball.

    Raises:
        FetchError: nothing is left to try, or the mirror is no address.
    """
    mirror = mirror or os.environ.get(MIRROR_VARIABLE)
    if offline and not mirror:
        raise FetchError(
            f"{entry.name}: not downloaded, and data.offline forbids its origin; set data.mirror "
            f"or {MIRROR_VARIABLE} to a URL or folder that holds it, or set data.offline to false"
        )
    tried = (_mirror(entry, mirror),) if mirror else ()
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


def _mirror(entry: Entry, mirror: str) -> Source:
    if "://" in mirror and not is_url(mirror):
        raise FetchError(f"data.mirror: {mirror!r} is neither an http(s) URL nor a folder")
    base = (
        f"{mirror.rstrip('/')}/{entry.name}"
        if is_url(mirror)
        else str(Path(mirror).expanduser() / entry.name)
    )
    archive = f"{base}/archive.tar.gz" if isinstance(entry.origin, TarballOrigin) else None
    return Source(
        "mirror", lambda path: f"{base}/files/{quote(path) if is_url(base) else path}", archive
    )
