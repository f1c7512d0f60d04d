"""The files of an inspection: `pairs.csv`, `findings.csv` and `inspected.json`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from attnbench.errors import DataError
from attnbench.files import read_json, write_json, write_rows

PAIRS, FINDINGS, SUMMARY = "pairs.csv", "findings.csv", "inspected.json"


@dataclass(frozen=True)
class Pair:
    """Two cases of which one's image is a copy of the other's.

    kind: `exact`, all pixels equal, or `near`. correlation: of their details once one lies over
    the other. distance: bits of 64 in which the hashes differ that found them. turn: what was
    done to the second. scale: side of the part of the second that shows the first, over its own
    side; shift: in sides; both the largest of all axes.
    """

    case_a: str
    group_a: str
    case_b: str
    group_b: str
    across_groups: bool
    kind: str
    correlation: float
    distance: float
    turn: str
    scale: float
    shift: float

    def __str__(self) -> str:
        how = "all pixels equal" if self.kind == "exact" else f"correlation {self.correlation:.2f}"
        turned = "" if self.turn == "as it is" else f", {self.turn}"
        return (
            f"{self.case_a} (group {self.group_a}) and {self.case_b} (group {self.group_b}): "
            f"{how}{turned}"
        )


@dataclass(frozen=True)
class Finding:
    """One odd thing about a case, or about the dataset where `case` is empty.

    kind: which check found it. group: of the case. value: what was found, in the unit of
    `measure`; NaN without one. text: in words.
    """

    kind: str
    case: str
    group: str
    measure: str
    value: float
    text: str


@dataclass(frozen=True)
class Summary:
    """What an inspection looked at.

    views: pairs of views that were laid over each other. reach: distance of hashes up to which
    they were. least: correlation of copies.
    """

    dataset: str
    cases: int
    groups: int
    views: int
    reach: float
    complete: bool
    least: float


def write_inspection(
    folder: Path, pairs: Sequence[Pair], findings: Sequence[Finding], summary: Summary
) -> None:
    """Write the three files to `folder`, the summary last."""
    for name, kind, rows in ((PAIRS, Pair, pairs), (FINDINGS, Finding, findings)):
        columns = [field.name for field in fields(kind)]
        write_rows(folder / name, columns, map(asdict, rows))
    write_json(folder / SUMMARY, asdict(summary))


def read_pairs(folder: Path) -> list[Pair]:
    """Return the pairs in `pairs.csv`; raises `DataError` if it is missing or no such table."""
    try:
        return [
            Pair(
                **row
                | {"across_groups": row["across_groups"] == "True"}
                | {name: float(row[name]) for name in _NUMBERS}
            )
            for row in _read(folder / PAIRS)
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder / PAIRS, error) from error


def read_findings(folder: Path) -> list[Finding]:
    """Return the findings in `findings.csv`; raises `DataError` as `read_pairs`."""
    try:
        return [
            Finding(**{**row, "value": float(row["value"] or "nan")})
            for row in _read(folder / FINDINGS)
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder / FINDINGS, error) from error


def read_summary(folder: Path) -> Summary:
    """Return what was looked at; raises `DataError` as `read_pairs`."""
    try:
        return Summary(**read_json(folder / SUMMARY))
    except (OSError, TypeError, ValueError) as error:
        raise _unreadable(folder / SUMMARY, error) from error


_NUMBERS = ("correlation", "distance", "scale", "shift")


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: not a table of an inspection: {error}; inspect the dataset again (`attnbench "
        "inspect`)"
    )
