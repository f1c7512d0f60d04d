"""Splits that are given, not drawn: official parts, nnU-Net's file, a CSV, group by group.

Every problem of a split is collected and said at once, before any data is there where the catalog
lists the cases, and again on the prepared ones.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from attnbench.errors import DataError, listed, nearest
from attnbench.study.groups import DatasetSettings, FoldsSettings
from attnbench.study.split import Split, fold_problems, kind_of

PARTS = ("train", "validation", "test")
PART = "part"
"""The label of a case that says its part of the official split."""
HELD_OUT = "held out"

_SHOWN = 10
_ENDINGS = (
    ".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp",
    ".gif", ".npz", ".npy", ".dcm",
)  # fmt: skip

_UNKNOWN = "split: groups are unknown; leave_one_group_out leaves out groups"

Rows = tuple[tuple[str, str], ...]
"""Names of cases or groups, as a file has them, each with its part."""


@dataclass(frozen=True)
class Cases:
    """What a split has to know of a dataset: group and labels of every case, in order."""

    dataset: str
    groups: Mapping[str, str]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    groups_known: bool = True

    def label(self, name: str) -> dict[str, str]:
        """Text of a label by case, empty where it is unknown."""
        return {case: self.labels.get(case, {}).get(name, "") for case in self.groups}


@dataclass(frozen=True)
class Named:
    """A split as a file states it: per fold the part of every name, a case's or a group's."""

    by: Literal["case", "group"]
    folds: tuple[Rows, ...]


@dataclass(frozen=True)
class Given:
    """A given split of known cases, part by case in every fold, and what is wrong with it.

    `held_out` are the cases of the test set beside the folds; `crossing` the groups that have
    cases on both sides, with the sides.
    """

    folds: tuple[Mapping[str, str], ...] = ()
    held_out: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    crossing: Mapping[str, str] = field(default_factory=dict)


def given_split(dataset: DatasetSettings, cases: Cases, drawn: Sequence[str] = ()) -> Given:
    """The folds that a dataset's settings give; none where folds are drawn.

    Args:
        dataset: the settings.
        cases: all cases of the dataset.
        drawn: held-out cases, where they are a share that was drawn.
    """
    held_out, problems = (tuple(drawn), []) if drawn else _held_out(dataset, cases)
    left = {case: group for case, group in cases.groups.items() if case not in set(held_out)}
    rest = Cases(cases.dataset, left, cases.labels, cases.groups_known)
    if held_out and not left:
        problems.append("held_out: every case is held out; folds need cases, too")
    try:
        folds, found = _folds(dataset, rest, cases)
    except DataError as error:
        folds, found = [], [str(error)]
    crossing = _crossing(folds, held_out, cases) if cases.groups_known else {}
    return Given(tuple(folds), held_out, (*problems, *found), crossing)


def refusals(dataset: DatasetSettings, given: Given, merged_later: bool = False) -> list[str]:
    """Everything that is wrong with a given split, groups that cross among it unless accepted.

    Groups that are `merged_later`, because their images are copies, may cross only then.
    """
    problems = list(given.problems)
    crossing = [f"{group!r} ({sides})" for group, sides in given.crossing.items()]
    if crossing and not dataset.accept_crossing_groups:
        problems.append(
            f"{len(crossing)} group(s) cross the split, so that a model is tested on what it was "
            f"trained on: {_first(crossing)}; correct the split, or say "
            "`accept_crossing_groups: true` beside it: then no verdict is given"
        )
    if dataset.accept_crossing_groups and not (crossing or problems or merged_later):
        problems.append(
            "`accept_crossing_groups` is said, and no group crosses the split; remove it"
        )
    return problems


def count_split(
    dataset: DatasetSettings,
    folds: FoldsSettings,
    cases: Cases | None,
    groups: int,
    groups_known: bool = True,
) -> tuple[Split, list[str]]:
    """Count the folds of a dataset whose split is given, and say what is wrong with it.

    Args:
        dataset: the settings.
        folds: how folds are drawn where they are.
        cases: the dataset's cases as the catalog lists them; None: known once they are prepared.
        groups: number of its groups, or of its cases where groups are unknown.
        groups_known: they are.
    """
    kind, accepted = kind_of(dataset), dataset.accept_crossing_groups
    if dataset.split == "leave_one_group_out" and not groups_known:
        return Split(kind, 1), [_UNKNOWN]
    given = given_split(dataset, cases) if cases else Given()
    if cases and not isinstance(dataset.held_out, float):
        problems = refusals(dataset, given, dataset.duplicates == "merge")
        left = len({group for case, group in cases.groups.items() if case not in given.held_out})
    else:
        problems, left = _unprepared(dataset, groups, groups_known)
    if dataset.split is None:
        if not problems:
            problems = list(fold_problems(folds, dataset.name, left, folds.outer))
        return Split(kind, folds.outer, folds.repeats, accepted, left), problems
    if dataset.split == "leave_one_group_out":
        if left < 3 and not problems:
            problems.append(f"split: leave_one_group_out needs 3 groups or more, there are {left}")
        return Split(kind, max(left, 2), 1, accepted, left), problems
    if dataset.split == "official":
        return Split(kind, 1, 1, accepted, left), problems
    number = len(given.folds)
    if not number and not problems:
        number = len(read_split(Path(dataset.split)).folds)
    return Split(kind, max(number, 1), 1, accepted, left), problems


def label_problems(dataset: DatasetSettings, cases: Cases) -> list[str]:
    """What is wrong with the label that drawn folds are balanced by."""
    name = dataset.stratify
    if name is None or any(cases.label(name).values()):
        return []
    names = sorted({label for labels in cases.labels.values() for label in labels})
    has = nearest(name, names) if names else "its cases have no label"
    return [f"stratify: no case of {cases.dataset} has the label {name!r}; {has}"]


def share_of(share: float, groups: int) -> int:
    """Number of groups that are held out as a share of all, one at least."""
    return max(1, round(share * groups))


def _unprepared(dataset: DatasetSettings, groups: int, groups_known: bool) -> tuple[list[str], int]:
    """Problems of a split that are seen without its cases, and the groups left for folds."""
    problems = []
    left = groups
    try:
        if isinstance(dataset.split, Path):
            read_split(dataset.split)
        if isinstance(dataset.held_out, Path):
            named = read_held_out(dataset.held_out)
            if named.by == "case" and dataset.split == "leave_one_group_out":
                problems.append(
                    f"held_out: {dataset.held_out}: groups have to be counted before the cases are "
                    "there; give the column group instead of case"
                )
            # How many groups some cases are of shows later; without groups each case is one.
            if named.by == "group" or not groups_known:
                left -= len({name for name, _ in named.folds[0]})
        if dataset.held_out == "official" and dataset.split == "leave_one_group_out":
            problems.append(
                "held_out: official: groups have to be counted before the cases are there; list "
                "them in a CSV with the column group"
            )
    except DataError as error:
        problems.append(str(error))
    if isinstance(dataset.held_out, float):
        left -= share_of(dataset.held_out, groups)
    return problems, left


def _no_part(cases: Cases) -> str:
    return (
        f"the catalog has no official split of {cases.dataset}: no case has the label `{PART}` in "
        f"{cases.dataset}.cases.csv; give a file, or let folds be drawn"
    )


def _held_out(dataset: DatasetSettings, cases: Cases) -> tuple[tuple[str, ...], list[str]]:
    if dataset.held_out is None or isinstance(dataset.held_out, float):
        return (), []
    if dataset.held_out == "official":
        parts = cases.label(PART)
        problems = _part_problems(cases, parts)
        chosen = tuple(case for case, part in parts.items() if part == "test")
        return chosen, [f"held_out: {text}" for text in problems]
    try:
        named = read_held_out(dataset.held_out)
    except DataError as error:
        return (), [str(error)]
    parts, problems = _resolved(named.folds[0], named.by, cases, cases, whole=False)
    chosen = tuple(case for case in cases.groups if case in parts)
    return chosen, [f"held_out: {dataset.held_out}: {text}" for text in problems]


def _folds(
    dataset: DatasetSettings, cases: Cases, every: Cases
) -> tuple[list[dict[str, str]], list[str]]:
    """Parts by case of every fold; `cases` are those that are not held out of `every`."""
    if dataset.split is None:
        return [], []
    if dataset.split == "leave_one_group_out" and not cases.groups_known:
        return [], [_UNKNOWN]
    if dataset.split == "leave_one_group_out":
        return [
            {case: "test" if group == left_out else "train" for case, group in cases.groups.items()}
            for left_out in sorted(set(cases.groups.values()))
        ], []
    if dataset.split == "official":
        parts = cases.label(PART)
        problems = _part_problems(cases, parts) or list(_of_fold(parts, cases))
        return [parts], [f"split: official: {text}" for text in problems]
    folds: list[dict[str, str]] = []
    problems = []
    named = read_split(dataset.split)
    for number, rows in enumerate(named.folds):
        parts, found = _resolved(rows, named.by, cases, every)
        found += [] if found else _of_fold(parts, cases)
        folds.append({case: parts[case] for case in cases.groups if case in parts})
        of_fold = f"fold {number}: " if len(named.folds) > 1 else ""
        problems += [f"split: {dataset.split}: {of_fold}{text}" for text in found]
    if len(folds) > 1 and not problems:
        tested = Counter(case for fold in folds for case, part in fold.items() if part == "test")
        for often, wrong in (
            ("no fold", [repr(case) for case in cases.groups if not tested[case]]),
            ("several folds", [repr(case) for case in cases.groups if tested[case] > 1]),
        ):
            if wrong:
                problems.append(
                    f"split: {dataset.split}: every case is tested in one fold; {len(wrong)} are "
                    f"in {often}: {_first(wrong)}"
                )
    return folds, problems


def _part_problems(cases: Cases, parts: Mapping[str, str]) -> list[str]:
    if not any(parts.values()):
        return [_no_part(cases)]
    problems = []
    if lacking := [repr(case) for case, part in parts.items() if not part]:
        problems.append(f"{len(lacking)} case(s) have no label `{PART}`: {_first(lacking)}")
    if other := sorted(set(parts.values()) - {*PARTS, ""}):
        problems.append(
            f"the label `{PART}` is {', '.join(map(repr, other))}; it is one of {PARTS}"
        )
    if "test" not in parts.values():
        problems.append("no case is in the test part")
    return problems


def _of_fold(parts: Mapping[str, str], cases: Cases) -> Iterator[str]:
    """Parts of a whole fold that are empty, or too small to draw the inner validation from."""
    has = {part: [case for case, own in parts.items() if own == part] for part in PARTS}
    if empty := [part for part in ("train", "test") if not has[part]]:
        yield f"no case is in {' and '.join(empty)}"
    elif not has["validation"] and len({cases.groups[case] for case in has["train"]}) < 2:
        yield "train has a single group; one to train on and one to validate on are needed"


def _resolved(
    rows: Rows, by: Literal["case", "group"], cases: Cases, every: Cases, whole: bool = True
) -> tuple[dict[str, str], list[str]]:
    """Part by case, and names that are unknown, held out, twice, ambiguous or missing."""
    known, all_known = (
        list(one.groups) if by == "case" else sorted(set(one.groups.values()))
        for one in (cases, every)
    )
    apart = {_bare(name) for name in all_known} - {_bare(name) for name in known}
    exact, bare = set(known), _by_bare_name(known)
    parts: dict[str, str] = {}
    count: Counter[str] = Counter()
    unknown: list[str] = []
    ambiguous: list[str] = []
    held_out: list[str] = []
    for name, part in rows:
        found = [name] if name in exact else bare.get(_bare(name), []) if by == "case" else []
        if len(found) == 1:
            count[found[0]] += 1
            parts[found[0]] = part
        else:
            wrong = held_out if _bare(name) in apart else unknown
            (ambiguous if found else wrong).append(repr(name))
    problems = []
    if unknown:
        hint = nearest(unknown[0].strip("'"), known).split("?")[0]
        said = f" ({hint}?)" if hint.startswith("did you mean") else ""
        problems.append(f"{len(unknown)} unknown {by}(s): {_first(unknown)}{said}")
    if held_out:
        problems.append(f"{len(held_out)} {by}(s) are held out as well: {_first(held_out)}")
    if ambiguous:
        problems.append(f"{len(ambiguous)} {by}(s) could be several: {_first(ambiguous)}")
    if twice := [repr(name) for name, number in count.items() if number > 1]:
        problems.append(f"{len(twice)} {by}(s) named more than once: {_first(twice)}")
    if whole and (missing := [repr(name) for name in known if name not in count]):
        problems.append(f"{len(missing)} {by}(s) missing: {_first(missing)}")
    if by == "group":
        parts = {case: parts[group] for case, group in cases.groups.items() if group in parts}
    return parts, problems


def _bare(name: str) -> str:
    lower = name.lower()
    ending = next((ending for ending in _ENDINGS if lower.endswith(ending)), "")
    return name[: len(name) - len(ending)]


def _by_bare_name(names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_bare(name), []).append(name)
    return found


def _crossing(
    folds: Sequence[Mapping[str, str]], held_out: Sequence[str], cases: Cases
) -> dict[str, str]:
    """Groups with cases on several sides, each with the sides of the first fold that shows it."""
    crossing: dict[str, str] = {}
    apart = dict.fromkeys(held_out, HELD_OUT)
    # Folds that are drawn never cross; only what is held out of them may.
    for number, fold in enumerate(folds or [dict.fromkeys(cases.groups, "folds") | apart]):
        sides: dict[str, dict[str, None]] = {}
        for case, side in {**fold, **apart}.items():
            if case in cases.groups:
                sides.setdefault(cases.groups[case], {})[side] = None
        for group, own in sides.items():
            if len(own) > 1 and group not in crossing:
                of_fold = f" of fold {number}" if len(folds) > 1 else ""
                crossing[group] = f"{' and '.join(sorted(own))}{of_fold}"
    return crossing


def read_split(path: Path) -> Named:
    """Read nnU-Net's `splits_final.json`, or a CSV with `case` or `group` and `part` or `fold`.

    Raises:
        DataError: the file cannot be read or is neither, with every line at fault.
    """
    return _read_nnunet(path) if path.suffix.lower() == ".json" else _read_table(path)


def read_held_out(path: Path) -> Named:
    """Read a CSV with the held-out cases or groups, in a column `case` or `group`.

    Raises:
        DataError: the file cannot be read or is no such list, with every line at fault.
    """
    header, lines = _read_lines(path)
    by = _named_by(path, header)
    if others := [name for name in header if name in (PART, "fold")]:
        raise DataError(
            f"{path}: column {others[0]!r} belongs to a `split`; a held-out test set is a list "
            f"with the column {by}"
        )
    place = header.index(by)
    if not lines:
        raise DataError(f"{path}: names nothing")
    return Named(by, (tuple((line[place].strip(), "test") for _, line in lines),))


def _read_nnunet(path: Path) -> Named:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    expected = "nnU-Net's splits are a list of {train: [names], val: [names]}"
    if not isinstance(content, list) or not content:
        found = "an empty list" if content == [] else type(content).__name__
        raise DataError(f"{path}: found {found}; {expected}")
    problems = [
        f"fold {number}: {problem}"
        for number, fold in enumerate(content)
        if (problem := _no_fold(fold))
    ]
    if problems:
        raise DataError(f"{path}: {_first(problems)}; {expected}")
    parts = {"train": "train", "val": "test"}
    return Named(
        "case",
        tuple(
            tuple((name, part) for key, part in parts.items() for name in fold[key])
            for fold in content
        ),
    )


def _no_fold(fold: Any) -> str:
    if not isinstance(fold, dict):
        return f"found {type(fold).__name__}"
    if set(fold) != {"train", "val"}:
        return f"has the keys {', '.join(map(str, sorted(fold))) or 'none'}"
    for key, names in fold.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return f"{key} is no list of names"
    return ""


def _read_table(path: Path) -> Named:
    header, lines = _read_lines(path)
    by = _named_by(path, header)
    kinds = [name for name in (PART, "fold") if name in header]
    if len(kinds) != 1:
        found = "both" if kinds else f"only {', '.join(header)}"
        raise DataError(
            f"{path}: needs one of the columns {PART} (train, validation, test) and fold (0, 1, "
            f"...), found {found}"
        )
    name, kind = header.index(by), header.index(kinds[0])
    rows = [(number, line[name].strip(), line[kind].strip()) for number, line in lines]
    if not rows:
        raise DataError(f"{path}: names nothing")
    if kinds[0] == PART:
        wrong = [f"line {number}: {part!r}" for number, _, part in rows if part not in PARTS]
        if wrong:
            raise DataError(f"{path}: a part is one of {', '.join(PARTS)}; {_first(wrong)}")
        return Named(by, (tuple((name, part) for _, name, part in rows),))
    return Named(by, _numbered(path, rows))


def _numbered(path: Path, rows: Sequence[tuple[int, str, str]]) -> tuple[Rows, ...]:
    wrong = [
        f"line {number}: {fold!r}"
        for number, _, fold in rows
        if not (fold.isascii() and fold.isdecimal())
    ]
    if wrong:
        raise DataError(f"{path}: a fold is a whole number from 0; {_first(wrong)}")
    numbers = sorted({int(fold) for _, _, fold in rows})
    if numbers != list(range(len(numbers))) or len(numbers) < 2:
        raise DataError(
            f"{path}: folds are numbered 0, 1, ... without a gap, two at least; found "
            f"{_first(list(map(str, numbers)))}"
        )
    return tuple(
        tuple((name, "test" if int(fold) == own else "train") for _, name, fold in rows)
        for own in numbers
    )


def _named_by(path: Path, header: Sequence[str]) -> Literal["case", "group"]:
    if ("case" in header) == ("group" in header):
        found = "both" if "case" in header else f"{', '.join(header) or 'nothing'}"
        semicolons = "; separate columns by commas" if any(";" in name for name in header) else ""
        raise DataError(
            f"{path}: needs one of the columns case and group, found {found}{semicolons}"
        )
    return "case" if "case" in header else "group"


def _read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header of a CSV, and its lines with their numbers; empty ones are left out."""
    try:
        # With a byte order mark the first column would have another name.
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(text.splitlines(), strict=True))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV in UTF-8: {error}") from error
    if not rows:
        raise DataError(f"{path}: is empty")
    header = [name.strip().lower() for name in rows[0]]
    if twice := [name for name, number in Counter(header).items() if number > 1]:
        raise DataError(f"{path}: column {twice[0]!r} is there more than once")
    lines = [(number, row) for number, row in enumerate(rows[1:], start=2) if any(row)]
    wrong = [
        f"line {number}: {len(row)} values" if len(row) != len(header) else f"line {number}: empty"
        for number, row in lines
        if len(row) != len(header)
        or not all(
            value.strip()
            for name, value in zip(header, row, strict=True)
            if name in ("case", "group", PART, "fold")
        )
    ]
    if wrong:
        raise DataError(
            f"{path}: every line has {len(header)} values, none of them empty; {_first(wrong)}"
        )
    return header, lines


def _first(items: Sequence[str]) -> str:
    return listed(items, _SHOWN)
