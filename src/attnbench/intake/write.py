"""Files of a user's dataset in its catalog folder: entry, list of files, labels of cases."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from attnbench.catalog import Entry, FileRow, read_entry
from attnbench.files import whole_file

FILE_COLUMNS = ("path", "bytes", "sha256", "role", "case", "group")


def write_entry(
    catalog: Path,
    name: str,
    text: str,
    rows: Iterable[FileRow],
    labels: Mapping[str, Mapping[str, str]],
) -> Entry:
    """Write `<name>.yaml`, `<name>.files.csv`, `<name>.cases.csv` (with labels) and read them back.

    All of them or none; labels of an earlier entry of that name are removed.

    Args:
        catalog: the folder; it is made where it is missing.
        name: of the dataset.
        text: of the YAML.
        rows: of the list of files.
        labels: text by label by case; may be empty.

    Raises:
        CatalogError: what was written is no entry.
    """
    entry, listing, cases = (
        catalog / f"{name}.{ending}" for ending in ("yaml", "files.csv", "cases.csv")
    )
    columns = list(dict.fromkeys(label for own in labels.values() for label in own))
    # Left in reverse order, and none before all are written: the YAML gets its name last.
    with ExitStack() as files:
        files.enter_context(whole_file(entry)).write_text(text, encoding="utf-8")
        _write_table(files.enter_context(whole_file(listing)), FILE_COLUMNS, rows)
        if labels:
            named = (
                (case, *(own.get(label, "") for label in columns)) for case, own in labels.items()
            )
            _write_table(files.enter_context(whole_file(cases)), ("case", *columns), named)
        else:
            cases.unlink(missing_ok=True)
    return read_entry(entry)


def _write_table(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
