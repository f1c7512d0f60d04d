"""Sizes and checksums of many files at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attnbench.data.download.progress import show_progress
from attnbench.errors import DataError, listed
from attnbench.files import sha256_of

AT_ONCE = 8  # a disk reads on while others are hashed; hashing leaves the interpreter's lock
SHOWN = 10


def hash_files(title: str, folder: Path, paths: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Bytes and SHA-256 of the files `paths` below `folder`, by path; shows progress as `title`.

    Raises:
        DataError: files that cannot be read, all of them at once.
    """
    failed: list[str] = []

    def measure(path: str) -> tuple[str, tuple[int, str] | None]:
        file = folder / path
        try:
            size, digest = file.stat().st_size, sha256_of(file)
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
            return path, None
        progress.transferred(size)
        progress.verified()
        return path, (size, digest)

    with show_progress(title, len(paths), 0) as progress, ThreadPoolExecutor(AT_ONCE) as pool:
        measured = {path: found for path, found in pool.map(measure, paths) if found}
    if failed:
        raise DataError(
            f"{folder}: {len(failed)} of {len(paths)} files cannot be read: "
            f"{listed(sorted(failed), SHOWN)}"
        )
    return measured
