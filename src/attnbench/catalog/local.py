"""State of a user's own files, told without reading them: whether any has changed since."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from attnbench.catalog.entry import Entry, LocalOrigin


def state_of_files(entry: Entry) -> str | None:
    """Hash over path, size and time of the last change of every file of a local dataset.

    A file that is missing counts as such; None: files of this dataset lie in nobody's own folder.
    """
    if not isinstance(entry.origin, LocalOrigin):
        return None
    return _state(os.fspath(entry.origin.folder), dict.fromkeys(row.path for row in entry.files()))


def state_of_folder(folder: Path) -> str | None:
    """Hash over name, size and time of the last change of every file in `folder`; None: no such."""
    if not folder.is_dir():
        return None
    return _state(os.fspath(folder), sorted(os.listdir(folder)))  # noqa: PTH208


def _state(folder: str, paths: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            # not pathlib: it takes as long as the file system
            found = os.stat(f"{folder}/{path}")  # noqa: PTH116
            state = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n"
        except OSError:
            state = f"{path}\0missing\n"
        digest.update(state.encode())
    return digest.hexdigest()
