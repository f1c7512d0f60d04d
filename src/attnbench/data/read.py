"""The cases in verified originals, one at a time, each checked against the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attnbench.catalog import ArchiveOrigin, Entry, FileRow
from attnbench.data.case import RawCase
from attnbench.data.checks import check_case
from attnbench.data.parts import parts_of
from attnbench.errors import DataError, nearest

if TYPE_CHECKING:
    from attnbench.data.readers import CaseFiles, Reader


def read_cases(entry: Entry, raw: Path) -> Iterator[RawCase]:
    """Yield the dataset's cases in the listing's order, from the folder `raw` or the user's own.

    Raises:
        DataError: a file is missing or unreadable, a case fails `check_case`, or, after the last
            case, a class occurred in none.
    """
    absent, cases = dict(entry.classes), 0
    for case in _read(entry, raw):
        cases += 1
        if absent:
            present = set(np.unique(case.mask).tolist())
            absent = {value: name for value, name in absent.items() if value not in present}
        yield case
    if absent:
        # Its scores would be those of nothing: masks are read wrongly, or the entry is wrong.
        raise DataError(
            f"{entry.name}: class {', '.join(f'{v} {name}' for v, name in absent.items())} occurs "
            f"in none of {cases} cases; look at the values that the masks hold, and at classes "
            "and reader.settings of the catalog entry"
        )


def _read(entry: Entry, raw: Path) -> Iterator[RawCase]:
    if entry.reader.name == "phantom":
        from attnbench.data.phantom import generate

        for case in generate(entry):
            check_case(entry, case)
            yield case
    else:
        for read in case_readings(entry, raw):
            yield from read()


def case_readings(entry: Entry, raw: Path) -> Iterator[Callable[[], list[RawCase]]]:
    """Yield functions, in the listing's order, that each read and check what one case's files hold.

    That is one case, or its parts where the entry has it cut. The functions may be called in any
    order and by several threads, but those of a packed archive only before the next is asked for.

    Raises:
        DataError: no such reader; the functions raise what `read_cases` does.
    """
    from attnbench.data.readers import READERS, archive_cases, unpacked_cases

    read = READERS.get(entry.reader.name)
    if read is None:
        raise DataError(
            f"{entry.name}: no reader {entry.reader.name!r}; {nearest(entry.reader.name, READERS)}"
        )
    if isinstance(entry.origin, ArchiveOrigin):
        unpacked = archive_cases if entry.reader.name == "medsegbench" else unpacked_cases
        cases = unpacked(entry, raw / entry.origin.filename)
    else:
        cases = _listed_cases(entry, entry.files_in(raw))
    labels = entry.labels()
    for files in cases:
        yield partial(_read_files, entry, read, files, labels)


def _read_files(
    entry: Entry, read: Reader, files: CaseFiles, labels: Mapping[str, Mapping[str, str]]
) -> list[RawCase]:
    paths = {row.role: row.path for row in reversed(files.rows)}
    cases = []
    for part in parts_of(entry, read(files)):
        own = labels.get(part.case, labels.get(files.case, {}))
        case = replace(part, labels={**part.labels, **own})
        check_case(entry, case, paths)
        cases.append(case)
    return cases


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
