"""Openness of the mechanisms: what each does to features in every run, read in words.

A mechanism that hardly opened was not tried; one that opened and did not help was.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from attnbench.analysis.frames import of_rows
from attnbench.analysis.runs import RUN_COLUMNS
from attnbench.errors import DataError
from attnbench.study.names import SLOTS
from attnbench.study.paths import Layout, Run

HARDLY_OPENED = "hardly opened"
EVEN = "even"
OPEN = "open"
UNDEFINED = "undefined"
READINGS = (HARDLY_OPENED, EVEN, OPEN)

LEAST_CHANGE = 0.01
"""Less is about two roundings of bfloat16, in which networks train without harm."""
LEAST_SPREAD = 0.01
"""A gate whose weights spread less rescales features, as the convolution behind it could."""
MOST_ENTROPY = 0.99
"""A softmax above it looks at nine in ten of 4096 keys alike: it takes their mean."""

_PLACE = ("slot", "level", "mechanism")
_READ = ("scale", "gate_mean", "gate_sd", "entropy", "change")


def compute_gates(layout: Layout, runs: Iterable[Run]) -> pd.DataFrame:
    """One row per run, slot, level and mechanism, from each run's `gates.csv`, with its `reading`.

    Runs that were predicted before the file existed have no rows.

    Raises:
        DataError: a file lacks columns.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        key = dict(zip(RUN_COLUMNS, (run.dataset, run.model, run.fold, run.seed), strict=True))
        path = layout.run(run) / "gates.csv"
        if path.is_file():
            rows += ({**key, **row, "reading": reading_of(row)} for row in _rows_of(path))
    return of_rows("gates", rows).astype(dict.fromkeys(_READ, "float64"))


def reading_of(row: dict[str, Any]) -> str:
    """Say how far a mechanism is open by its `change`, `gate_sd` and `entropy`.

    `hardly opened`: features change by less than 1 %, whatever gamma is, for what it multiplies
    may be large or small. `even`: it changes them, and its weights are all alike, those of its
    gates or else of its softmax. `open`: neither. `undefined`: features that are zero or no
    numbers.
    """
    if not row["change"] >= 0:
        return UNDEFINED
    if row["change"] < LEAST_CHANGE:
        return HARDLY_OPENED
    gated = row["gate_sd"] >= 0
    alike = row["gate_sd"] < LEAST_SPREAD if gated else row["entropy"] > MOST_ENTROPY
    return EVEN if alike else OPEN


def compute_openness(gates: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, model, slot, level and mechanism of the frame `gates`: over its runs.

    Mean, least and largest of every number, the number of runs, of those with each reading, and
    the readings in words.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, model), own in gates.groupby(["dataset", "model"], sort=False):
        places = [_over_runs(place, of_place) for place, of_place in own.groupby(list(_PLACE))]
        places.sort(key=lambda row: (SLOTS.index(row["slot"]), row["level"]))
        rows += ({"dataset": dataset, "model": model, **place} for place in places)
    return of_rows("openness", rows)


def _over_runs(place: tuple[Any, ...], rows: pd.DataFrame) -> dict[str, Any]:
    numbers = {
        f"{name}{end}": getattr(rows[name], how)()
        for name in _READ
        for end, how in (("", "mean"), ("_min", "min"), ("_max", "max"))
    }
    runs = len(rows.drop_duplicates(["fold", "seed"]))
    return {
        **dict(zip(_PLACE, place, strict=True)),
        **numbers,
        "runs": runs,
        **{word.replace(" ", "_"): int((rows["reading"] == word).sum()) for word in READINGS},
        "reading": _in_words(rows["reading"]),
    }


def _in_words(readings: pd.Series) -> str:
    """Say one reading that all runs share, or each with its number of runs.

    >>> _in_words(pd.Series(["open", "open"])), _in_words(pd.Series(["open", "hardly opened"]))
    ('open', 'hardly opened in 1, open in 1 of 2')
    """
    counts = readings.value_counts()
    if len(counts) == 1:
        return str(readings.iloc[0])
    words = [word for word in (*READINGS, UNDEFINED) if word in counts]
    said = ", ".join(f"{word} in {counts[word]}" for word in words)
    return f"{said} of {len(readings)}"


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        lacking = [name for name in (*_PLACE, *_READ) if name not in (table.fieldnames or ())]
        if lacking:
            raise DataError(
                f"{path}: columns {', '.join(lacking)} are missing, found "
                f"{', '.join(table.fieldnames or ()) or 'none'}; predict the run again"
            )
        for row in table:
            numbers = {name: float(row[name] or "nan") for name in _READ}
            yield {
                "slot": row["slot"],
                "level": int(row["level"]),
                "mechanism": row["mechanism"],
                **numbers,
            }
