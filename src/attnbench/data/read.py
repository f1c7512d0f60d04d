"""The cases in verified originals, one at a time, each checked against the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.catalog import ArchiveOrigin, Entry, FileRow
from attnbench.data.case import RawCase
from attnbench.data.checks import check_case
from attnbench.data.download.wanted import mismatch, wanted_files
from attnbench.data.parts import parts_of
from attnbench.errors import DataError, nearest

if TYPE_CHECKING:
    from attnbench.data.readers import CaseFiles


def read_cases(entry: Entry, raw: Path) -> Iterator[RawCase]:
    """Yield the dataset's cases in the listing's order, from the folder `raw` or the user's own.

    Raises:
        DataError: a file is missing or unreadable, or a case fails `check_case`.
    """
    for files in unread_cases(entry, raw):
        yield from [files] if isinstance(files, RawCase) else cases_of(files)


def unread_cases(entry: Entry, raw: Path) -> Iterator[CaseFiles | RawCase]:
    """Yield what `read_cases` reads, so that several processes can read it: files of one case.

    What can be had in order only comes as a case that is read already: generated ones, and those
    of an archive, whose files are gone when the next one is asked for.

    Raises:
        DataError: no such reader, an unreadable archive, or as `read_cases`.
    """
    if entry.reader.name == "phantom":
        from attnbench.data.phantom import generate

        for case in generate(entry):
            check_case(entry, case)
            yield case
        return
    from attnbench.data.readers import READERS, archive_cases, unpacked_cases

    if entry.reader.name not in READERS:
        raise DataError(
            f"{entry.name}: no reader {entry.reader.name!r}; {nearest(entry.reader.name, READERS)}"
        )
    if isinstance(entry.origin, ArchiveOrigin):
        packed = raw / entry.origin.filename
        if entry.reader.name == "medsegbench":
            yield from archive_cases(entry, packed)
            return
        for files in unpacked_cases(entry, packed):
            yield from cases_of(files)
    else:
        yield from _listed_cases(entry, entry.files_in(raw))


def refuse_changed_archive(entry: Entry, raw: Path) -> None:
    """Compare an archive that stays packed with the digest in the catalog.

    Other originals are compared one by one, as they are read.

    Raises:
        DataError: it is not the archive that the catalog means.
    """
    if not isinstance(entry.origin, ArchiveOrigin):
        return
    packed = raw / entry.origin.filename
    for item in wanted_files(entry) if packed.is_file() else ():
        if problem := mismatch(packed, item):
            raise DataError(
                f"{entry.name}: {packed}: expected {item}, found {problem}; remove "
                f"{packed.with_name('receipt.json')} and run the study again, which fetches it"
            )


def cases_of(files: CaseFiles) -> list[RawCase]:
    """Read the files of one case, or of several cut from it, and check what comes of it.

    Raises:
        DataError: as `read_cases`.
    """
    from attnbench.data.readers import READERS

    # Among them files that a reader opens by way of another, as the voxels of a header file.
    files.refuse_changed(*(row.path for row in files.rows))
    entry, labels, cases = files.entry, files.entry.labels(), []
    paths = {row.role: row.path for row in reversed(files.rows)}
    for case in parts_of(entry, READERS[entry.reader.name](files)):
        own = labels.get(case.case, labels.get(files.case, {}))
        case = replace(case, labels={**case.labels, **own})
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
