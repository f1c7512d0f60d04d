"""The cases in verified originals, one at a time, each checked against the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.catalog import ArchiveOrigin, Entry, FileRow
from attnbench.data.case import RawCase
from attnbench.data.checks import check_case
from attnbench.errors import DataError, nearest

if TYPE_CHECKING:
    from attnbench.data.readers import CaseFiles


def read_cases(entry: Entry, raw: Path) -> Iterator[RawCase]:
    """Yield the dataset's cases in the listing's order, from the folder `raw` or the user's own.

    Raises:
        DataError: a file is missing or unreadable, or a case fails `check_case`.
    """
    if entry.reader.name == "phantom":
        from attnbench.data.phantom import generate

        for case in generate(entry):
            check_case(entry, case)
            yield case
    else:
        yield from _read_files(entry, raw)


def _read_files(entry: Entry, raw: Path) -> Iterator[RawCase]:
    from attnbench.data.readers import READERS, unpacked_cases

    read = READERS.get(entry.reader.name)
    if read is None:
        raise DataError(
            f"{entry.name}: no reader {entry.reader.name!r}; {nearest(entry.reader.name, READERS)}"
        )
    if isinstance(entry.origin, ArchiveOrigin):
        cases = unpacked_cases(entry, raw / entry.origin.filename)
    else:
        cases = _listed_cases(entry, entry.files_in(raw))
    labels = entry.labels()
    for files in cases:
        case = read(files)
        case = replace(case, labels={**case.labels, **labels.get(case.case, {})})
        check_case(entry, case, {row.role: row.path for row in reversed(files.rows)})
        yield case


def _listed_cases(entry: Entry, raw: Path) -> Iterator[CaseFiles]:
    from attnbench.data.readers import CaseFiles

    rows = entry.files()
    loose = tuple(row for row in rows if not row.case)
    for name, own in _by_case(rows).items():
        groups = sorted({row.group for row in own})
        files = CaseFiles(entry, raw, name, groups[0], own, loose)
        if len(groups) > 1 or not groups[0]:
            raise files.error(f"its files name the groups {groups}; a case is in exactly one group")
        yield files


def _by_case(rows: tuple[FileRow, ...]) -> dict[str, tuple[FileRow, ...]]:
    cases: dict[str, list[FileRow]] = {}
    for row in rows:
        if row.case:
            cases.setdefault(row.case, []).append(row)
    return {name: tuple(own) for name, own in cases.items()}
