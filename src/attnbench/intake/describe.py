"""What `attnbench dataset add` found, in words: for the terminal of who added the data."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from attnbench.catalog import Entry
from attnbench.intake.contact_sheet import shorten
from attnbench.intake.found import Found, Guess, Problem
from attnbench.intake.survey import CaseFacts

SHOWN = 10
FEW_GROUPS = 5


def describe_found(
    entry: Entry, found: Found, guesses: Sequence[Guess], cases: Sequence[CaseFacts]
) -> str:
    """Lines on layout, cases, groups, classes, intensities, shapes, spacing, guesses and notes."""
    rows = [
        ("layout", f"{found.layout}, read by `{found.reader.name}`"),
        ("cases", str(len(cases))),
        ("groups", _groups(entry, found)),
        *(("classes" if first else "", text) for first, text in _classes(entry, cases)),
        ("images", _intensities(entry, cases)),
        ("shapes", _shapes(cases)),
        ("spacing", _spacing(entry, cases)),
        *(("labels", text) for text in _labels(found.labels)),
    ]
    lines = [f"  {head:<9}{text}" for head, text in rows]
    if guesses:
        width = max(len(guess.what) for guess in guesses)
        lines += ["guessed, with the flag that says otherwise:"]
        lines += [
            f"  {guess.what:<{width}}  {guess.value}   [{_short(guess.flag)}]" for guess in guesses
        ]
    notes = [*found.notes, *_warnings(entry, found, cases)]
    lines += [f"note: {note}" for note in notes]
    return "\n".join(lines)


def refusal(folder: object, problems: Sequence[Problem]) -> str:
    """All problems of a folder as one message: each in words, its files, the flag that answers."""
    lines = [f"{folder}: {_count(len(problems), 'problem')}; nothing was written"]
    for number, problem in enumerate(problems, start=1):
        lines.append(f"  {number}. {problem.text}")
        lines += [f"       {file}" for file in problem.files[:SHOWN]]
        if len(problem.files) > SHOWN:
            lines.append(f"       and {len(problem.files) - SHOWN} more")
        if problem.flag:
            lines.append(f"     answer: {problem.flag}")
    return "\n".join(lines)


def class_problems(entry: Entry, cases: Sequence[CaseFacts]) -> Iterator[Problem]:
    """Yield classes that no case holds: a study of them would score emptiness."""
    for number, name in entry.classes.items():
        if not any(case.voxels[number] for case in cases):
            yield Problem(
                f"class {number} ({name}) occurs in none of {_count(len(cases), 'case')}: its "
                "value in the masks is another one, or it has to go",
                flag=f"--class VALUE={name} for every class that there is",
            )


def _groups(entry: Entry, found: Found) -> str:
    if not entry.groups_known:
        return "unknown: every case counts as a unit, independence is not checked   [--groups]"
    guessed = any(guess.what == "groups" for guess in found.guesses)
    how = "" if guessed or found.groups == "unknown" else found.groups
    return f"{entry.groups}" + (f" ({how})" if how else "")


def _classes(entry: Entry, cases: Sequence[CaseFacts]) -> Iterator[tuple[bool, str]]:
    total = sum(case.size for case in cases) or 1
    width = max(map(len, entry.classes.values()))
    for number, name in sorted(entry.classes.items()):
        share = 100 * sum(case.voxels[number] for case in cases) / total
        holding = sum(case.voxels[number] > 0 for case in cases)
        yield (
            number == 1,
            f"{number} {name:<{width}}  {share:.3g} % of all "
            f"{'pixels' if entry.ndim == 2 else 'voxels'}, in {holding} of {len(cases)} cases",
        )


def _intensities(entry: Entry, cases: Sequence[CaseFacts]) -> str:
    types = ", ".join(name for name, _ in Counter(case.dtype for case in cases).most_common())
    low, high = min(case.low for case in cases), max(case.high for case in cases)
    return f"{_count(entry.channels, 'channel')}, {types}, values {low:g} to {high:g}"


def _shapes(cases: Sequence[CaseFacts]) -> str:
    shapes = Counter(case.shape for case in cases)
    (most, number), *others = shapes.most_common()
    if not others:
        return f"{_sides(most)}, all"
    axes = list(zip(*shapes, strict=True))
    low, high = _sides([min(axis) for axis in axes]), _sides([max(axis) for axis in axes])
    often = f"; most often {_sides(most)} ({number} cases)" if number > 1 else ""
    return f"{len(shapes)} different, {low} to {high}{often}"


def _spacing(entry: Entry, cases: Sequence[CaseFacts]) -> str:
    if entry.spacing_unit == "px":
        return "unknown: distances are in pixels"
    axes = list(zip(*(case.spacing for case in cases), strict=True))
    if all(min(axis) == max(axis) for axis in axes):
        return f"{_numbers([axis[0] for axis in axes])} {entry.spacing_unit}, all"
    median = _numbers([statistics.median(axis) for axis in axes])
    low, high = _numbers([min(axis) for axis in axes]), _numbers([max(axis) for axis in axes])
    return f"{low} to {high} {entry.spacing_unit}, median {median}"


def _labels(labels: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    names = dict.fromkeys(name for own in labels.values() for name in own)
    for name in names:
        values = Counter(own[name] for own in labels.values() if own.get(name))
        shown = ", ".join(f"{value} ({number})" for value, number in values.most_common(6))
        more = f" and {len(values) - 6} more" if len(values) > 6 else ""
        yield f"{name}: {shown}{more}"


def _warnings(entry: Entry, found: Found, cases: Sequence[CaseFacts]) -> Iterator[str]:
    """Yield what a study of these cases will say as well, sooner."""
    if empty := [case.case for case in cases if not case.foreground]:
        yield f"{_count(len(empty), 'case')} without any class: {_some(empty)}"
    known = any(guess.what == "channels" for guess in found.guesses)
    if not known and (grey := [case.case for case in cases if case.grey]):
        yield (
            f"{_count(len(grey), 'case')} with {entry.channels} equal channels, grey in truth: "
            f"{_some(grey)}"
        )
    if constant := [case.case for case in cases if case.low == case.high]:
        yield f"{_count(len(constant), 'image')} of one single intensity: {_some(constant)}"
    if entry.count_groups() < FEW_GROUPS:
        what = "groups" if entry.groups_known else "cases"
        yield (
            f"{entry.count_groups()} {what}: below {FEW_GROUPS} no interval is given, and no "
            "study can tell whether attention helps"
        )


def _short(flag: str) -> str:
    """A flag without the sentence on its values, which a refusal needs and a list does not."""
    return flag.split()[0] if flag.startswith("--") else flag


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(shorten, names[:3])) + more


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _numbers(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
