"""A file that is growing: which bytes of which version are there, and no link written through."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from attnbench.addresses import without_secrets
from attnbench.errors import FetchError
from attnbench.files import read_json, write_json
from attnbench.full_disk import naming_full_disk

STAGING = ".partial"
VERSIONS = ".versions"


@dataclass(frozen=True)
class Version:
    """What a server calls the version of a file that it sent; empty: it does not say."""

    address: str = ""
    etag: str = ""
    modified: str = ""

    @classmethod
    def of(cls, address: str, headers: Mapping[str, str]) -> Version:
        """The version that the head of an answer names."""
        # What only looks equal (`W/`) may differ in bytes, which a resumed file must not.
        etag = headers.get("ETag", "")
        strong = etag if etag.startswith('"') else ""
        return cls(without_secrets(address), strong, headers.get("Last-Modified", ""))

    @property
    def condition(self) -> dict[str, str]:
        """Header by which a server goes on with this version only, and else sends all anew."""
        said = self.etag or self.modified
        return {"If-Range": said} if said else {}

    def differs(self, other: Version) -> bool:
        """Return whether the same address has named another version since."""
        if self.address != other.address:
            return False
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        return any(one and two and one != two for one, two in pairs)


@dataclass(frozen=True)
class Staged:
    """The file `path` below `folder`, until it is whole."""

    folder: Path
    path: str

    @property
    def file(self) -> Path:
        """Where its bytes are."""
        return self.folder / self.path

    @property
    def _version_file(self) -> Path:
        name = sha256(self.path.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / VERSIONS / f"{name}.json"

    def size(self) -> int:
        """Bytes that are there. What is no file of its own, such as a link, is removed.

        Raises:
            FetchError: a folder has its name.
        """
        try:
            found = self.file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return found.st_size
        if stat.S_ISDIR(found.st_mode):
            raise FetchError(f"{self.file}: a folder is where a file is to be; remove it")
        self.file.unlink()
        return 0

    def open(self, go_on: bool) -> BinaryIO:
        """Open it for writing, at its end or anew; a link is not followed."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if go_on else os.O_TRUNC)
        handle = os.open(self.file, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
        return os.fdopen(handle, "ab" if go_on else "wb")

    def remove(self) -> None:
        """Remove it, if it is there, and what is known of it."""
        self.file.unlink(missing_ok=True)
        self.forget()

    def version(self) -> Version:
        """The version that its bytes are of; one that says nothing where nobody knows."""
        try:
            return Version(
                **{key: str(said) for key, said in read_json(self._version_file).items()}
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return Version()

    def remember(self, version: Version) -> None:
        """Keep which version its bytes are of."""
        if self.version() != version:
            write_json(self._version_file, asdict(version))

    def forget(self) -> None:
        """Remove what is known of its version."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._version_file.unlink()


def refuse_links(folder: Path, paths: Iterable[str]) -> None:
    """Refuse folders below `folder`, on the way to any of `paths`, that are links or files.

    `folder` itself may be a link: its owner says where downloads are.

    Raises:
        FetchError: names the first.
    """
    inner = {parent for path in paths for parent in PurePosixPath(path).parents}
    for parent in sorted(inner - {PurePosixPath(".")}):
        place = folder / parent
        if place.is_symlink():
            raise FetchError(
                f"{place}: a link, through which a download does not write; put a folder in its "
                "place, or name another folder for all downloads in data.downloads"
            )
        if place.exists() and not place.is_dir():
            raise FetchError(f"{place}: a file is where a folder is to be; remove it")


@contextmanager
def own_disk(place: Path) -> Iterator[None]:
    """Say of trouble with this machine's disk that it is none of a source's.

    Raises:
        DiskError: it is full.
        FetchError: any other trouble, with what the system says.
    """
    try:
        with naming_full_disk(place):
            yield
    except OSError as error:
        raise FetchError(
            f"{error.filename or place}: {error.strerror or error}; see to it that the folder can "
            "be written to, then run again: what was verified is kept"
        ) from error
