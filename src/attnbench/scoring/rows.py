"""A file of scores against what it has to hold: every case, class and metric once, and no more."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

from attnbench.data.folds import Folds, load_folds
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, listed
from attnbench.scoring.definitions import METRICS, Status, of_masks
from attnbench.study.groups import ToleranceSettings
from attnbench.study.paths import Run
from attnbench.study.settings import Study

_STATUSES = frozenset(get_args(Status))
_LENGTHS = frozenset(ToleranceSettings.model_fields)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Part:
    """Rows that a file of scores has: one for each of the `cases`, `classes`, `metrics`, `axes`.

    `fixed` are columns with one value. `cases` has the group of each; None, as `classes`, where
    the prepared data are gone: then only what is there has to be complete. `axes` are further
    columns with their values.
    """

    fixed: Mapping[str, object]
    metrics: tuple[str, ...]
    cases: Mapping[str, str] | None = None
    classes: tuple[int, ...] | None = None
    axes: Mapping[str, Sequence[object]] = field(default_factory=dict)


class Tested:
    """Cases and folds of a study's datasets, as far as they are there; each is read once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.store, self.folds = cache(self._store), cache(self._folds)

    def _store(self, dataset: str) -> CaseStore | None:
        folder = self.study.layout.prepared(dataset)
        return CaseStore.open(folder) if (folder / "dataset.json").is_file() else None

    def _folds(self, dataset: str) -> Folds | None:
        path, store = self.study.layout.folds(dataset), self.store(dataset)
        return load_folds(path, store) if store and path.is_file() else None

    def hashes(self, run: Run) -> dict[str, str]:
        """What a run's stamp has to say of data and folds, as far as they are there."""
        store, folds = self.store(run.dataset), self.folds(run.dataset)
        data = {"data_hash": store.info.content_hash} if store else {}
        return data | ({"folds_hash": folds.hash} if folds else {})

    def classes(self, dataset: str) -> tuple[int, ...] | None:
        """Numbers of a dataset's classes."""
        store = self.store(dataset)
        return tuple(store.info.classes) if store else None

    def every(self, dataset: str) -> dict[str, str] | None:
        """The group of every case of a dataset."""
        store = self.store(dataset)
        return dict(store.groups) if store else None

    def test(self, run: Run) -> dict[str, str] | None:
        """The group of every case that a run tests."""
        return self._of(run, lambda folds: folds.fold(run.fold).test)

    def held_out(self, run: Run) -> dict[str, str] | None:
        """The group of every case that all folds of a run's dataset hold out."""
        return self._of(run, lambda folds: folds.held_out)

    def _of(self, run: Run, choose: Callable[[Folds], Sequence[str]]) -> dict[str, str] | None:
        folds, every = self.folds(run.dataset), self.every(run.dataset)
        return {case: every[case] for case in choose(folds)} if folds and every else None


def part_of_run(tested: Tested, run: Run) -> Part:
    """What the `scores.csv` of a run has to hold."""
    study = tested.study
    metrics = of_masks(study.metrics) if run.model in study.elsewhere else study.metrics
    fixed = {name: getattr(run, name) for name in ("dataset", "model", "fold", "seed")}
    return Part(fixed, tuple(metrics), tested.test(run), tested.classes(run.dataset))


def refuse_wrong_rows(
    path: Path, columns: Sequence[str], parts: Sequence[Part], remedy: str
) -> None:
    """Refuse a file of scores that has not exactly the rows of its parts, or impossible ones.

    Args:
        path: a CSV of UTF-8.
        columns: its header.
        parts: what it has to hold; several differ in the column `test`.
        remedy: what to do, as the end of the message.

    Raises:
        DataError: the first problem, with its line: another header, a line that is cut short or
            has no end, rows of another run, a case, class, metric, status or unit that is not
            known, a value out of its range, a row twice, or rows that are missing.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no UTF-8 ({error}); {remedy}") from error
    problem = next(_problems(text, columns, parts), "")
    if problem:
        raise DataError(f"{path}: {problem}; {remedy}")


def _problems(text: str, columns: Sequence[str], parts: Sequence[Part]) -> Iterator[str]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, [])
        if header != list(columns):
            yield f"has columns {','.join(header)!r}, expected {','.join(columns)!r}"
            return
        if not text.endswith("\n"):
            yield "its last line has no end: it was cut"
            return
        yield from _problems_of_rows(rows, columns, parts)
    except csv.Error as error:
        yield f"line {rows.line_num}: no CSV ({error})"


def _problems_of_rows(
    rows: Iterator[list[str]], columns: Sequence[str], parts: Sequence[Part]
) -> Iterator[str]:
    tests = {str(part.fixed.get("test", "")): _Known(part, columns) for part in parts}
    place = {name: number for number, name in enumerate(columns)}
    test = place.get("test")
    for line, row in enumerate(rows, 2):
        if len(row) != len(columns):
            yield f"line {line}: {len(row)} fields, expected {len(columns)}"
            continue
        known = tests.get("" if test is None else row[test])
        if known is None:
            yield f"line {line}: another test set, {row[test or 0]!r}; expected {listed([*tests])}"
        elif problem := known.problem(row):
            yield f"line {line}: {problem}"
    for known in tests.values():
        yield from known.missing()


class _Known:
    """What may stand in the columns of a part, and the rows that were seen."""

    def __init__(self, part: Part, columns: Sequence[str]) -> None:
        place = {name: number for number, name in enumerate(columns)}
        self.part = part
        self.fixed = [(name, place[name], str(value)) for name, value in part.fixed.items()]
        allowed: dict[str, Sequence[object] | None] = {
            "case": None if part.cases is None else list(part.cases),
            "class": part.classes,
            "metric": part.metrics,
            **part.axes,
        }
        self.keys = [
            (name, place[name], None if values is None else {str(one) for one in values})
            for name, values in allowed.items()
        ]
        self.group, self.value = place["group"], place["value"]
        self.unit, self.status = place["unit"], place["status"]
        self.metric, self.case = place["metric"], place["case"]
        self.seen: set[tuple[str, ...]] = set()

    def problem(self, row: list[str]) -> str:
        """What is wrong with a row, in words; empty where nothing is."""
        for name, place, value in self.fixed:
            if row[place] != value:
                return f"{name} is {row[place]!r}, that of this file is {value!r}"
        for name, place, values in self.keys:
            if values is not None and row[place] not in values:
                return f"no such {name} here: {row[place]!r}"
        groups, group = self.part.cases, row[self.group]
        if groups is not None and group != groups[row[self.case]]:
            return f"case {row[self.case]!r} is of group {groups[row[self.case]]!r}, not {group!r}"
        key = tuple(row[place] for _, place, _ in self.keys)
        if key in self.seen:
            return f"the row of {' '.join(key)} stands there twice"
        self.seen.add(key)
        if row[self.status] not in _STATUSES:
            return f"no such status: {row[self.status]!r}; there are {', '.join(sorted(_STATUSES))}"
        return _problem_of_value(
            row[self.metric], row[self.value], row[self.unit], row[self.status]
        )

    def missing(self) -> Iterator[str]:
        """Say which rows there are not."""
        columns = list(zip(*self.seen, strict=True)) or [()] * len(self.keys)
        wanted = [
            set(found) if values is None else values
            for (_, _, values), found in zip(self.keys, columns, strict=True)
        ]
        absent = math.prod(map(len, wanted)) - len(self.seen)
        if absent or not self.seen:
            first = [key for key in product(*map(sorted, wanted)) if key not in self.seen]
            named = listed([" ".join(key) for key in first], 3)
            words = ", ".join(name for name, _, _ in self.keys)
            yield f"{max(absent, 1)} rows are missing ({words}): {named}"


def _problem_of_value(metric: str, value: str, unit: str, status: str) -> str:
    known = METRICS[metric]
    units = _LENGTHS if known.unit == "distance" else {known.unit}
    if unit not in units:
        return f"the unit of {metric} is {unit!r}, expected {' or '.join(sorted(units))}"
    if value and status == "diverged":
        return f"{metric} is {value!r}, and a training that diverged has no score"
    if not value:
        return f"no {metric}, and the status is ok" if status == "ok" else ""
    low = -math.inf if known.code is not None and not known.bounded else 0.0
    high = 1 + _ROUNDING if known.bounded else math.inf
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (low <= number <= high and math.isfinite(number)):
        allowed = "from 0 to 1" if known.bounded else "0 or more" if low == 0 else "a number"
        return f"{metric} is {value!r}; it is {allowed}"
    return ""
