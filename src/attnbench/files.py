"""Files that are whole: everything is written under a temporary name and renamed when complete."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import DamagedError
from attnbench.full_disk import naming_full_disk
from attnbench.process import Process, this_process

if TYPE_CHECKING:
    import pandas as pd

_TEMPORARY = re.compile(r"\..*~(?P<host>[A-Za-z0-9_-]+)\.(?P<pid>\d+)\.(?P<start>\d*)~[0-9a-f]{8}")
_ELSEWHERE_S = 86400.0


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success and is removed on any error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.touch(exist_ok=False)  # with the permissions that the user's umask gives
    try:
        with naming_full_disk(path, temporary):
            yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, to be renamed to it; it is removed where it was not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        with naming_full_disk(path):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> list[Path]:
    """Remove the temporary files and folders below `folder` whose writers are dead; return them.

    Writers on other machines are taken for dead a day after they wrote last.
    """
    swept: list[Path] = []
    for parent, folders, files in os.walk(folder):
        found = [name for name in (*folders, *files) if _is_left_over(Path(parent, name))]
        folders[:] = [name for name in folders if not _TEMPORARY.match(name)]
        for name in found:
            path = Path(parent, name)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            swept.append(path)
    return swept


def _temporary(path: Path) -> Path:
    """A name beside `path`, with its suffix, that says which process writes there."""
    mine = this_process()
    mark = f"~{mine.host}.{mine.pid}.{mine.start}~{secrets.token_hex(4)}"
    return path.with_name(f".{path.stem[:40]}{mark}{path.suffix}")


def _is_left_over(path: Path) -> bool:
    named = _TEMPORARY.match(path.name)
    if not named:
        return False
    writer = Process(named["host"], int(named["pid"]), named["start"])
    if writer.is_here:
        return not writer.is_alive()
    try:
        written = max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:
        return False
    return time.time() - written > _ELSEWHERE_S


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def update_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 where the file is missing or says something else."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON (NaN is refused), whole or not at all."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file that `write_json` wrote.

    Raises:
        DamagedError: it is no JSON, or what `write_json` never writes.
        OSError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DamagedError(
            f"{path}: not valid JSON ({error}); delete it and run the study again, which makes it "
            "anew"
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write `frame` without its index, whole or not at all; floats keep every digit."""
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as `write_csv` does, but without loading pandas; NaN is empty."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        # NaN alone differs from itself; other values need not be numbers.
        table.writerows(
            ["" if row[name] != row[name] else row[name] for name in columns] for row in rows
        )


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_of(content: Any) -> str:
    """Hexadecimal SHA-256 of plain data in canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
