"""Sources of a dataset in the order in which they are tried: the mirror, then the origin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from attnbench.addresses import is_url, without_secrets
from attnbench.catalog import (
    ArchiveOrigin,
    EmbeddedOrigin,
    Entry,
    FilesOrigin,
    LocalOrigin,
    TarballOrigin,
)
from attnbench.errors import FetchError

MIRROR_VARIABLE = "ATTNBENCH_MIRROR"


@dataclass(frozen=True)
class Source:
    """A place that has a dataset: one address per file, or the address of one archive of all.

    With `stay`, its server may not send us on to another host.
    """

    name: str
    address: Callable[[str], str]
    archive: str | None = None
    stay: bool = False


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
    below = f"{entry.name}/"
    tried = (
        *((_at(entry, "data.mirrors", own, "", "", offline),) if own else ()),
        *((_at(entry, "data.mirror", mirror, below, "files/", offline),) if mirror else ()),
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


def _at(entry: Entry, key: str, mirror: str, below: str, files: str, offline: bool) -> Source:
    """The dataset at a mirror that the study names by `key`: in which folder, and its files."""
    if "://" in mirror and not is_url(mirror):
        shown = without_secrets(mirror)
        raise FetchError(f"{key}: {shown!r} is neither an http(s) URL nor a folder")
    packed = isinstance(entry.origin, TarballOrigin)
    return Source(
        "mirror",
        lambda path: _join(mirror, f"{below}{files}{path}"),
        _join(mirror, f"{below}archive.tar.gz") if packed else None,
        offline,
    )


def _join(base: str, path: str) -> str:
    """The address of `path` at a mirror; what a URL asks for stays behind its path."""
    if is_url(base):
        place, mark, asked = base.partition("#")[0].partition("?")
        return f"{place.rstrip('/')}/{quote(path)}{mark}{asked}"
    folder = Path(base)
    # A user whom nobody knows: the path as it is, which is then not there.
    with suppress(RuntimeError):
        folder = folder.expanduser()
    return f"{folder}/{path}"
