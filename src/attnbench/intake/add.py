"""A folder becomes a dataset: recognised, read in full, described, written; or refused at once."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from attnbench.catalog import Entry, FileRow, catalog_names
from attnbench.data.read import cases_of
from attnbench.errors import CatalogError, DataError
from attnbench.intake.contact_sheet import choose_cases, draw_sheet, make_panel
from attnbench.intake.describe import class_problems, describe_found, refusal
from attnbench.intake.entry_text import Statements, entry_content, entry_text, folder_from
from attnbench.intake.found import Found, FoundFile, Guess, Options, Problem
from attnbench.intake.hashes import hash_files
from attnbench.intake.layouts import recognise_folder
from attnbench.intake.survey import Survey, survey_cases
from attnbench.intake.write import write_entry

DEFAULT_CATALOG = Path("my_sets")
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


@dataclass(frozen=True)
class Request:
    """One call of `attnbench dataset add`.

    typed: the command as the user typed it, which the entry quotes.
    """

    folder: Path
    name: str
    catalog: Path = DEFAULT_CATALOG
    options: Options = field(default_factory=Options)
    said: Statements = field(default_factory=Statements)
    dry_run: bool = False
    replace: bool = False
    typed: str = "attnbench dataset add"


def add_dataset(request: Request) -> str:
    """Make a dataset of a folder and return what was found, in words.

    Every case is read through the reader of the study before anything is written.

    Raises:
        CatalogError: the name or the catalog folder cannot be used.
        DataError: the folder is refused, with every problem and the flag that answers it.
    """
    _check(request)
    found = recognise_folder(request.folder, request.options)
    problems = [*found.problems, *_unwritable_names(found)]
    if problems:
        raise DataError(refusal(request.folder, problems))
    with tempfile.TemporaryDirectory(prefix="attnbench-") as staging:
        staged = _stage(request, found, Path(staging))
        survey = survey_cases(staged, request.folder)
        problems = [*_unread(survey), *class_problems(staged, survey.cases)]
        if problems:
            raise DataError(refusal(request.folder, problems))
        groups = len({case.group for case in survey.cases}) if staged.groups_known else None
        guesses = [*found.guesses, *_own_guesses(request.said, staged)]
        counted = staged.model_copy(
            update={
                "cases": len(survey.cases),
                "groups": "unknown" if groups is None else groups,
            }
        )
        told = [
            f"{request.name}: {request.folder}",
            describe_found(counted, found, guesses, survey.cases),
        ]
        if unstated := _unstated(counted):
            told.append(f"note: not stated: {unstated}; the report shows them")
        if request.dry_run:
            told.append("nothing was written (--dry-run)")
            return "\n".join(told)
        rows = _hashed(request, found)
        content = entry_content(
            request.name,
            found,
            request.said,
            folder_from(request.catalog, request.folder),
            len(survey.cases),
            groups,
        )
        sheet = _draw(request, staged, survey)
    text = entry_text(content, request.typed)
    written = write_entry(request.catalog, request.name, text, rows, found.labels)
    return "\n".join([*told, "", *_next_steps(request, written, sheet)])


def _check(request: Request) -> None:
    folder, catalog, name = request.folder, request.catalog, request.name
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder}: {what}; give the folder that holds the images and masks")
    if not _NAME.fullmatch(name):
        raise CatalogError(
            f"--name {name!r}: a name has small letters, digits and _, as wbc or wbc_2024"
        )
    if name in catalog_names():
        raise CatalogError(
            f"--name {name!r}: the catalog ships a dataset of this name; take another"
        )
    if catalog.resolve().is_relative_to(folder.resolve()):
        raise CatalogError(
            f"--to {catalog}: lies in the data's folder, where the contact sheet would be taken "
            "for an image; give a folder outside, as --to ../my_sets"
        )
    home = next(path for path in (catalog, *catalog.absolute().parents) if path.exists())
    if not (request.dry_run or (home.is_dir() and os.access(home, os.W_OK))):
        raise CatalogError(f"--to {catalog}: {home} is no folder that can be written to")
    existing = catalog / f"{name}.yaml"
    if existing.exists() and not (request.replace or request.dry_run):
        raise CatalogError(
            f"{existing}: there is a dataset of this name; --replace writes it anew, and what was "
            "changed in it by hand is lost"
        )


def _stage(request: Request, found: Found, staging: Path) -> Entry:
    """The entry as it will be, written and read back elsewhere; checksums are still missing."""
    names = {row.case for row in found.rows if row.case}
    groups = {row.group for row in found.rows if row.case}
    content = entry_content(
        request.name,
        found,
        request.said,
        request.folder.resolve(),
        len(names),
        len(groups) if groups and groups != {""} and found.groups != "unknown" else None,
    )
    try:
        Entry.model_validate(content)
    except ValidationError as error:
        problems = [
            Problem(f"{'.'.join(map(str, part['loc']))}: {part['msg']}, found {part['input']!r}")
            for part in error.errors()
        ]
        raise DataError(refusal(request.folder, problems)) from None
    rows = [FileRow(row.path, 0, "", row.role, row.case, _group(row)) for row in found.rows]
    text = entry_text(content, request.typed)
    return write_entry(staging, request.name, text, rows, found.labels)


def _hashed(request: Request, found: Found) -> list[FileRow]:
    paths = list(dict.fromkeys(row.path for row in found.rows))
    measured = hash_files(f"{request.name}: checksums", request.folder, paths)
    return [
        FileRow(row.path, *measured[row.path], row.role, row.case, _group(row))
        for row in found.rows
    ]


def _group(row: FoundFile) -> str:
    """A case of no known group stands for itself."""
    return row.group or row.case


def _draw(request: Request, entry: Entry, survey: Survey) -> Path:
    panels = [
        make_panel(case)
        for chosen in choose_cases(survey.cases)
        for case in cases_of(survey.files[chosen.files])
        if case.case == chosen.case
    ]
    sheet = request.catalog / f"{request.name}.png"
    title = f"{request.name}: {len(panels)} of {len(survey.cases)} cases, references outlined"
    draw_sheet(sheet, title, panels, entry.classes)
    return sheet


def _unwritable_names(found: Found) -> Iterator[Problem]:
    """Yield files that no list can name: file systems take bytes that are no text."""
    names = dict.fromkeys(row.path for row in found.rows)
    bad = [name for name in names if name.encode("utf-8", "replace").decode() != name]
    if bad:
        shown = tuple(name.encode("utf-8", "backslashreplace").decode() for name in bad)
        yield Problem("names of files are not UTF-8; rename them", shown)


def _unread(survey: Survey) -> Iterator[Problem]:
    if survey.failures:
        total = len(survey.failures) + len(survey.cases)
        yield Problem(
            f"{len(survey.failures)} of {total} cases cannot be used; repair their files, or move "
            "them out of the folder",
            survey.failures,
        )


def _own_guesses(said: Statements, entry: Entry) -> Iterator[Guess]:
    if said.mirror_axes is None:
        axes = ", ".join(f"{number} {name}" for number, name in enumerate(entry.axes))
        yield Guess("mirroring", f"along no axis (axes: {axes})", "--mirror-axes")
    if said.normalisation is None:
        yield Guess("normalisation", entry.normalisation, "--normalisation")


def _unstated(entry: Entry) -> str:
    flags = {"task": entry.task, "modality": entry.modality, "licence": entry.licence}
    return ", ".join(f"--{flag}" for flag, text in flags.items() if text == "not stated")


def _next_steps(request: Request, entry: Entry, sheet: Path) -> list[str]:
    study = f"{entry.name}_study.yaml"
    catalog = "" if request.catalog == DEFAULT_CATALOG else f" --catalog {request.catalog}"
    return [
        f"written: {request.catalog / entry.name}.yaml, {entry.name}.files.csv"
        + (f", {entry.name}.cases.csv" if entry.case_listing else ""),
        f"look at it: {sheet}",
        "then type:",
        f"  attnbench study new --dataset {entry.name}{catalog} > {study}",
        f"  attnbench run {study}",
    ]
