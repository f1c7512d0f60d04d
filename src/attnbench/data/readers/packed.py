"""Cases of a task of the Medical Segmentation Decathlon, one at a time out of its .tar."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from attnbench.catalog import Entry, FileRow
from attnbench.data.readers.registry import UNREADABLE, CaseFiles
from attnbench.errors import DataError

KEYS = {"image": "image", "mask": "label"}  # our role: the key in the archive's dataset.json
Members = Mapping[PurePosixPath, tarfile.TarInfo]


def unpacked_cases(entry: Entry, archive: Path) -> Iterator[CaseFiles]:
    """Yield the cases that the archive's `dataset.json` lists as `training`, by image name.

    A case has one `image` and one `mask` in a folder that is gone when the next case is asked
    for, and is a group of its own.

    Raises:
        DataError: the archive is unreadable or lacks a file that it lists.
    """
    try:
        with tarfile.open(archive) as opened:
            members = {
                PurePosixPath(*PurePosixPath(member.name).parts[1:]): member for member in opened
            }
            for pair in _pairs(opened, members):
                with TemporaryDirectory() as folder:
                    yield _unpack(entry, opened, members, pair, Path(folder))
    except (tarfile.TarError, KeyError, *UNREADABLE) as error:
        raise DataError(
            f"{entry.name}: {archive} is no whole archive of a Decathlon task ({error!r}); remove "
            "it and fetch the "
            f"dataset again (`attnbench fetch --dataset {entry.name}`)"
        ) from error


def _pairs(opened: tarfile.TarFile, members: Members) -> list[dict[str, PurePosixPath]]:
    """Paths below the task's folder of every training case's image and mask."""
    listed = json.loads(_read(opened, members, PurePosixPath("dataset.json")))["training"]
    pairs = [{role: PurePosixPath(pair[key]) for role, key in KEYS.items()} for pair in listed]
    return sorted(pairs, key=lambda pair: pair["image"].name)


def _unpack(
    entry: Entry,
    opened: tarfile.TarFile,
    members: Members,
    pair: Mapping[str, PurePosixPath],
    folder: Path,
) -> CaseFiles:
    case = pair["image"].name.removesuffix(".gz").removesuffix(".nii")
    rows = tuple(
        FileRow(f"{role}/{path.name}", 0, "", role, case, case) for role, path in pair.items()
    )
    for row, path in zip(rows, pair.values(), strict=True):
        (folder / row.role).mkdir()
        (folder / row.path).write_bytes(_read(opened, members, path))
    return CaseFiles(entry, folder, case, case, rows)


def _read(opened: tarfile.TarFile, members: Members, path: PurePosixPath) -> bytes:
    stream = opened.extractfile(members[path])
    if stream is None:
        raise tarfile.TarError(f"{path} is not a file")
    return stream.read()
