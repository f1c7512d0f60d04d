"""Groups of a user's cases: from names by a pattern, from a CSV, or said to be unknown."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from attnbench.errors import listed
from attnbench.intake.found import Guess, Problem
from attnbench.intake.pairs import places_of

CASE_COLUMNS = ("case", "image", "file", "filename", "file_name", "path", "name", "image_id", "id")
GROUP_COLUMNS = (
    "group", "patient", "patient_id", "patientid", "subject", "subject_id", "animal", "slide",
)  # fmt: skip
ANSWER = (
    "--groups REGEX (one group, such as '(?P<group>P\\d+)_'), --groups FILE.csv (columns case, "
    "group), --groups case (every case is its own patient) or --groups unknown"
)
_UNIT = r"patient|pat|subject|subj|sub|animal|mouse|rat|slide|donor|specimen"
# Names that say what the unit is: believed as soon as one unit has two cases.
_SAID = re.compile(rf"(?i)(?:^|[^a-z])((?:{_UNIT})[-_ ]?[a-z]{{0,6}}\d+)")
_SHORT = re.compile(r"(?:^|[^A-Za-z])([Pp]\d+)(?=[^A-Za-z0-9])")
_SIDE = re.compile(r"(?i)^(.*\d)[-_ ]?(?:l|r|left|right|od|os)$")
_LAST = re.compile(r"^(.*[^-_. ])[-_. ]+[A-Za-z]{0,6}\d+$")


@dataclass(frozen=True)
class Groups:
    """The group of every case. how: in words, or `unknown`, where each case is its own unit.

    labels: text by label by case, from further columns of a CSV.
    """

    of: Mapping[str, str]
    how: str = "unknown"
    inferred: bool = True
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    guesses: tuple[Guess, ...] = ()
    problems: tuple[Problem, ...] = ()


def find_groups(cases: Mapping[str, str], said: str | None) -> Groups:
    """Find the groups of `cases`, which names the image of every case by its path.

    Args:
        cases: path by case.
        said: `case`, `unknown`, the path of a CSV, a regular expression with one group that is
            searched in the path, or None: a pattern is guessed if it explains all names and
            most of its groups have two cases or more; otherwise it is asked for.
    """
    own = {case: case for case in cases}
    if said == "unknown":
        return Groups(own)
    if said == "case":
        return Groups(own, "every case is a group of its own, as said", inferred=False)
    if said is None:
        return _guess(cases)
    if said.lower().endswith((".csv", ".tsv", ".txt")) or Path(said).is_file():
        return _from_table(cases, Path(said))
    return _from_pattern(cases, said)


def _guess(cases: Mapping[str, str]) -> Groups:
    if not cases:
        return _refused(cases, "which cases come from one patient (animal, slide) is told from the "
                        "names of cases, and no case was found")  # fmt: skip
    for what, groups_of, enough in _PATTERNS:
        found = {case: groups_of(path) for case, path in cases.items()}
        if not all(found.values()):
            continue
        of = {case: str(group) for case, group in found.items()}
        sizes = Counter(of.values())
        several = sum(size > 1 for size in sizes.values())
        if len(sizes) > 1 and several > enough * len(sizes):
            examples = listed(sorted(sizes), 3)
            how = f"{what}: {len(sizes)} groups ({examples})"
            return Groups(of, how, guesses=(Guess("groups", how, ANSWER),))
    problem = Problem(
        "which cases come from one patient (animal, slide) cannot be told from the names "
        f"({listed(list(cases), 3)}); cases of one patient must not be split across folds",
        flag=ANSWER,
    )
    return Groups({case: case for case in cases}, problems=(problem,))


def _stem(path: str) -> str:
    return PurePosixPath(path).name.split(".")[0]


def _by(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def group(path: str) -> str | None:
        found = pattern.search(_stem(path))
        return found[1].lower() if found else None

    return group


def _said_unit(path: str) -> str | None:
    found = _SAID.search(path)
    return found[1].lower() if found else None


def _folder(path: str) -> str | None:
    return "/".join(places_of(path)) or None


# What is tried, in this order; the last number is the share of groups that need two cases.
_PATTERNS: tuple[tuple[str, Callable[[str], str | None], float], ...] = (
    ("the names say the patient, animal or slide", _said_unit, 0),
    ("the names begin with P and a number", _by(_SHORT), 0.5),
    ("left and right of one number", _by(_SIDE), 0.5),
    ("one folder for each group", _folder, 0.5),
    ("names that differ in their last number only", _by(_LAST), 0.5),
)


def _from_pattern(cases: Mapping[str, str], said: str) -> Groups:
    try:
        pattern = re.compile(said)
    except re.error as error:
        return _refused(cases, f"--groups '{said}' is no regular expression: {error}")
    if pattern.groups != 1 and "group" not in pattern.groupindex:
        return _refused(
            cases,
            f"--groups '{said}' has {pattern.groups} groups in parentheses; it needs one, such "
            "as '(?P<group>P\\d+)'",
        )
    key = "group" if "group" in pattern.groupindex else 1
    found = {case: pattern.search(path) for case, path in cases.items()}
    without = tuple(cases[case] for case, hit in found.items() if hit is None or not hit[key])
    if without:
        return _refused(cases, f"--groups '{said}' does not match", without)
    of = {case: str(hit[key]) for case, hit in found.items() if hit}
    return Groups(of, f"by the pattern '{said}', as said", inferred=False)


def _refused(cases: Mapping[str, str], text: str, files: tuple[str, ...] = ()) -> Groups:
    return Groups({case: case for case in cases}, problems=(Problem(text, files, ANSWER),))


def _from_table(cases: Mapping[str, str], path: Path) -> Groups:
    """Groups and labels of a CSV; separated by comma, semicolon or tab."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return _refused(cases, f"{path} cannot be read: {error}")
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    table = list(csv.DictReader(io.StringIO(text), delimiter=separator))
    columns = {name.strip().lower(): name for name in (table[0] if table else {}) if name}
    case_column = next((columns[name] for name in CASE_COLUMNS if name in columns), None)
    group_column = next((columns[name] for name in GROUP_COLUMNS if name in columns), None)
    if case_column is None or group_column is None:
        return _refused(
            cases,
            f"{path}: has the columns {listed(list(columns))}; it needs case (or image, a path or "
            "file name) and group (or patient), and at least one row",
        )
    others = [name for name in columns.values() if name not in (case_column, group_column)]
    known = _spellings(cases)
    of: dict[str, str] = {}
    labels: dict[str, dict[str, str]] = {}
    bad: dict[str, list[str]] = defaultdict(list)
    for row in table:
        name, group = (row[case_column] or "").strip(), (row[group_column] or "").strip()
        case = known.get(name)
        if case is None:
            bad["name no case"].append(name)
        elif not group:
            bad["have no group"].append(name)
        elif of.get(case, group) != group:
            bad["have two groups"].append(name)
        else:
            of[case] = group
            labels[case] = {_label(n): (row[n] or "").strip() for n in others}
    left = [case for case in cases if case not in of]
    problems = [
        Problem(f"{path}: rows that {what}", tuple(names), ANSWER) for what, names in bad.items()
    ]
    if left:
        problems.append(Problem(f"{path}: has no row for these cases", tuple(left), ANSWER))
    whole = {case: of.get(case, case) for case in cases}
    how = f"from {path.name}, column {group_column}"
    return Groups(whole, how, False, labels if others else {}, (), tuple(problems))


def _label(column: str) -> str:
    return re.sub(r"\W+", "_", column.strip().lower())


def _spellings(cases: Mapping[str, str]) -> dict[str, str]:
    """Case by everything a table may call it; what would be two cases is left out."""
    names: dict[str, set[str]] = defaultdict(set)
    for case, path in cases.items():
        file = PurePosixPath(path)
        for name in (case, path, file.name, file.stem, str(file.with_suffix(""))):
            names[name].add(case)
    return {name: next(iter(own)) for name, own in names.items() if len(own) == 1}
