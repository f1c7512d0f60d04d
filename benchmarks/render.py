"""The tables of docs/performance.md, from the results that are kept."""

from __future__ import annotations

import re

from benchmarks.record import RESULTS, Record, kept
from benchmarks.timing import ROOT

PAGE = ROOT / "docs" / "performance.md"
_PLACE = re.compile(r"(<!-- row (\d+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADER = (
    "| machine | work | peer | here | peer's | ratio (quartiles) | goal | | note |\n"
    + "|---" * 9
    + "|\n"
)


def cells(record: Record) -> tuple[str, ...]:
    """Cells of a record as text: work, peer, both values, ratio, goal, verdict and note."""
    ratio = (
        ""
        if record.ratio is None
        else f"{_number(record.ratio)} ({_number(record.low)}-{_number(record.high)})"
    )
    verdict = {True: "met", False: "NOT MET", None: ""}[record.met]
    ours, theirs = (
        "" if value is None else f"{_number(value)} {record.unit}".strip()
        for value in (record.ours, record.theirs)
    )
    return record.work, record.peer, ours, theirs, ratio, record.goal, verdict, record.note


def render() -> None:
    """Write every row's table into its place in docs/performance.md."""
    files = {path: kept(path) for path in sorted(RESULTS.glob("*.json"))}

    def table(marked: re.Match[str]) -> str:
        row = int(marked[2])
        lines = [
            f"| {facts['machine']} | {' | '.join(cells(record))} |\n"
            for rows in files.values()
            if row in rows
            for facts, records in [rows[row]]
            for record in records
        ]
        return marked[1] + (_HEADER + "".join(lines) if lines else "not measured\n") + marked[3]

    PAGE.write_text(_PLACE.sub(table, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def _number(value: float | None) -> str:
    """Three significant digits, and no exponent."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
