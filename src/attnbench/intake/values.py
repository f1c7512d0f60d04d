"""What the values in masks mean: classes, or a question with the flag that answers it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attnbench.data.readers.legend import NEARLY_GREY, TRANSPARENT, Legend, name_of
from attnbench.intake.found import Guess, Options, Problem
from attnbench.intake.looks import MaskLook
from attnbench.intake.mixed import never_together, under_threshold

BACKGROUND = "background"
MOST_CLASSES = 16  # told from the values alone; more are named by the user
RARE = 0.005  # of the marked pixels: a value this rare may be a border or a slip
MOSTLY = 0.9  # marked by more than this, a mask looks inverted
BAR = 30  # characters of a histogram's longest bar
CLASS_FLAG = "--class VALUE=NAME for each value (NAME background for none)"


@dataclass(frozen=True)
class Meaning:
    """What masks mean. values: class by value as an entry writes it. names: name by class."""

    values: Mapping[int | str, int] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    threshold: float | None = None
    guesses: tuple[Guess, ...] = ()
    problems: tuple[Problem, ...] = ()


def find_classes(masks: Sequence[MaskLook], options: Options, one: str = "") -> Meaning:
    """Tell classes from the values of all masks.

    Args:
        masks: what was seen; those with an error are left to others.
        options: `classes` and `threshold` are obeyed; without them only what is beyond doubt is
            taken: values 0 and one other, 0, 1, 2, ..., or few values that are each frequent.
        one: the name of the one class where every mask is of one; then all values but
            background are it.
    """
    seen = [mask for mask in masks if not mask.error]
    unclear = [mask for mask in seen if mask.unclear]
    if unclear:
        return Meaning(problems=tuple(_by_reason(unclear)))
    if not seen:
        return Meaning()
    problems = [*_lossy(seen, options), *_white_is_zero(seen, options)]
    names = options.classes.values()
    wrong = [name for name in names if not re.fullmatch("[a-z0-9][a-z0-9_]*", name)]
    if wrong:
        text = f"--class names {', '.join(map(repr, wrong))}: lower case letters, digits and _ only"
        return Meaning(problems=(Problem(text, flag="--class VALUE=NAME"),))
    if options.threshold is not None:
        meaning = _cut(seen, options, one)
    elif options.classes and not one:
        meaning = _said(seen, options)
    else:
        meaning = _told(seen, one)
    guesses, found = meaning.guesses, [*problems, *meaning.problems]
    return Meaning(meaning.values, meaning.names, meaning.threshold, guesses, tuple(found))


def totals(masks: Sequence[MaskLook], coloured: bool) -> Counter[float]:
    """Pixels by value over all masks, by colour or by number."""
    result: Counter[float] = Counter()
    for mask in masks:
        result.update((mask.by_colour if coloured else mask.by_number) or {})
    return result


def histogram(counts: Mapping[float, int], coloured: bool, at_most: int = 12) -> str:
    """Lines of value, share of all pixels and a bar; the most frequent values, in order."""
    whole = sum(counts.values())
    most = sorted(sorted(counts, key=lambda value: -counts[value])[:at_most])
    longest = max(counts[value] for value in most)
    lines = [
        f"  {name_of(value, coloured):>11} {counts[value] / whole:8.3%} "
        f"{'#' * max(1, round(BAR * counts[value] / longest))}"
        for value in most
    ]
    more = [f"  and {len(counts) - at_most} more values"] if len(counts) > at_most else []
    return "\n".join([*lines, *more])


def _by_reason(masks: Sequence[MaskLook]) -> list[Problem]:
    reasons: dict[str, list[str]] = {}
    for mask in masks:
        reasons.setdefault(re.sub(r"\d+", "N", mask.unclear), []).append(mask.path)
    return [
        Problem(next(m.unclear for m in masks if m.path == paths[0]), tuple(paths), CLASS_FLAG)
        for paths in reasons.values()
    ]


def _lossy(masks: Sequence[MaskLook], options: Options) -> list[Problem]:
    lossy = tuple(mask.path for mask in masks if mask.lossy)
    if not lossy or options.threshold is not None:
        return []
    text = "masks are JPEG, which changes values at every border; PNG keeps them"
    return [Problem(text, lossy, "--threshold N (127 cuts halfway)")]


def _white_is_zero(masks: Sequence[MaskLook], options: Options) -> list[Problem]:
    files = tuple(mask.path for mask in masks if mask.white_is_zero)
    if not files or options.classes:
        return []
    text = (
        "masks are TIFFs that store white as 0, so that programs disagree on what is marked; "
        "values count here as shown, white 255"
    )
    return [Problem(text, files, "--class 255=NAME, or --class 0=NAME --class 255=background")]


def _cut(masks: Sequence[MaskLook], options: Options, one: str) -> Meaning:
    """Everything brighter than the threshold is the one class."""
    threshold = options.threshold
    assert threshold is not None
    coloured = tuple(mask.path for mask in masks if mask.coloured)
    if coloured:
        text = "--threshold cuts brightness, but these masks are in colours"
        return Meaning(problems=(Problem(text, coloured, "--class '#rrggbb=NAME'"),))
    names = [name for name in options.classes.values() if name != BACKGROUND]
    if len(set(names)) > 1:
        text = f"--threshold gives one class, --class names {len(set(names))}"
        return Meaning(problems=(Problem(text, flag="--threshold or --class"),))
    shown = _brightness(masks)
    if not any(value > threshold for value in shown):
        text = f"nothing in any mask is brighter than --threshold {threshold}\n" + histogram(
            shown, False
        )
        return Meaning(problems=(Problem(text, flag="--threshold N"),))
    # Of a mask with too many values not all were kept, so that its largest is not known.
    tops = {mask.path: max(_brightness([mask])) for mask in masks
            if mask.by_number and mask.values <= len(mask.by_number)}  # fmt: skip
    if problems := under_threshold(tops, min(shown), threshold):
        return Meaning(problems=problems)
    name = one or (names[0] if names else "object")
    guesses = () if one or names else (_name_guess(f"above {threshold}", name, str(threshold)),)
    return Meaning({}, {1: name}, threshold, guesses)


def _brightness(masks: Sequence[MaskLook]) -> Counter[float]:
    counts: Counter[float] = Counter()
    for mask in masks:
        for value, count in (mask.by_number or {}).items():
            code = mask.palette_of.get(int(value)) if mask.palette else None
            counts[value if code is None else code & 0xFF] += count
    return counts


def _said(masks: Sequence[MaskLook], options: Options) -> Meaning:
    """The classes that the user named; other values, and classes that are nowhere, are refused."""
    names: dict[int, str] = {}
    values: dict[int | str, int] = {}
    for value, name in options.classes.items():
        number = next((n for n, known in names.items() if known == name), len(names) + 1)
        if name == BACKGROUND:
            number = 0
        else:
            names[number] = name
        values[value.lower() if value.startswith("#") else _whole(value)] = number
    try:
        legend = Legend.of(values)
    except ValueError as error:
        return Meaning(problems=(Problem(f"--class: {error}", flag=CLASS_FLAG),))
    if not names:
        text = "--class names the background only"
        return Meaning(problems=(Problem(text, flag=CLASS_FLAG),))
    problems = _undeclared(masks, legend)
    counts = totals(masks, legend.coloured)
    for number, name in names.items():
        own = [code for code, value in legend.classes.items() if value == number]
        if not any(counts[code] for code in own):
            shown = ", ".join(name_of(code, legend.coloured) for code in own)
            found = ", ".join(name_of(code, legend.coloured) for code in sorted(counts)[:12])
            text = f"class {name} ({shown}) occurs in no mask; the masks hold {found}"
            problems.append(Problem(text, flag="--class VALUE=NAME"))
    return Meaning(values, names, problems=tuple(problems))


def _whole(value: str) -> int | str:
    return int(value) if re.fullmatch(r"-?\d+", value) else value


def _undeclared(masks: Sequence[MaskLook], legend: Legend) -> list[Problem]:
    known = {*legend.classes, TRANSPARENT} if legend.coloured else set(legend.classes)
    bad: Counter[float] = Counter()
    files, other_kind = [], []
    for mask in masks:
        counts = mask.by_colour if legend.coloured else mask.by_number
        if counts is None:
            other_kind.append(mask.path)
        elif stray := {v: n for v, n in counts.items() if v not in known}:
            bad.update(stray)
            files.append(mask.path)
    problems = []
    if other_kind:
        text = (
            "masks have no colours of 8 bits, but --class names colours"
            if legend.coloured
            else "masks are in colours, but --class names numbers"
        )
        problems.append(Problem(text, tuple(other_kind), CLASS_FLAG))
    if bad:
        text = (
            f"masks hold values that no --class names ({sum(bad.values())} pixels in "
            f"{len(files)} files)\n{histogram(bad, legend.coloured)}"
        )
        problems.append(Problem(text, tuple(files), f"{CLASS_FLAG}, or --threshold N"))
    return problems


def _told(masks: Sequence[MaskLook], one: str) -> Meaning:
    """The classes that the values alone leave no doubt about."""
    coloured = _needs_colours(masks)
    missing = tuple(m.path for m in masks if (m.by_colour if coloured else m.by_number) is None)
    if missing:
        text = "some masks are in colours and others in numbers of more than 8 bits"
        return Meaning(problems=(Problem(text, missing, CLASS_FLAG),))
    counts = totals(masks, coloured)
    if coloured and (two := _black_and_white(counts)):
        name = one or "object"
        flags = " ".join(
            f"--class '{colour}={'NAME' if number else BACKGROUND}'"
            for colour, number in two.items()
        )
        white = () if one else (Guess("class of what is white", name, flags),)
        return Meaning(two, {1: name}, guesses=white)
    ground = _ground(counts, coloured)
    marked = {value: n for value, n in counts.items() if value not in ground}
    if coloured and set(counts) == {TRANSPARENT, 0}:
        text = "the alpha channel carries the mask: what is not transparent is black"
        files = tuple(mask.path for mask in masks)
        return Meaning(problems=(Problem(text, files, "--class '#000000=NAME'"),))
    if not marked:
        text = f"every mask is empty: all pixels are {', '.join(_names(counts, coloured))}"
        return Meaning(problems=(Problem(text, flag="--masks, or --class VALUE=NAME"),))
    doubts = _doubts(masks, counts, marked, ground, coloured, one)
    if doubts:
        return Meaning(problems=tuple(doubts))
    keys = {value: _key(value, coloured) for value in sorted(marked)}
    if one:
        values = dict.fromkeys(keys.values(), 1)
        names = {1: one}
    else:
        values = {key: number for number, key in enumerate(keys.values(), start=1)}
        names = {n: "object" if len(values) == 1 else f"class_{n}" for n in values.values()}
    zero = [code for code in ground if code not in (0, TRANSPARENT)]
    values.update({_key(code, coloured): 0 for code in zero})
    guesses = (
        ()
        if one
        else tuple(
            _name_guess(f"value {key}", names[number], str(key))
            for key, number in values.items()
            if number
        )
    )
    return Meaning(values, names, guesses=guesses)


def _needs_colours(masks: Sequence[MaskLook]) -> bool:
    """Whether only colours say the same in all files, as indices of palettes need not."""
    palettes = [mask for mask in masks if mask.palette]
    if not palettes:
        return any(mask.by_number is None for mask in masks)
    if len(palettes) < len(masks):
        return True
    colour_of: dict[int, int] = {}
    agree = all(
        colour_of.setdefault(index, colour) == colour
        for mask in palettes
        for index, colour in mask.palette_of.items()
    )
    return not agree or colour_of.get(0, 0) != 0


def _ground(counts: Mapping[float, int], coloured: bool) -> set[float]:
    """Values that are background: 0, in colours black and transparent."""
    return {0, TRANSPARENT} if coloured else {0}


def _black_and_white(counts: Mapping[float, int]) -> dict[int | str, int]:
    """Class by colour where all are nearly black or nearly white, in several shades of them."""
    codes = [code for code in counts if code != TRANSPARENT]
    dark = [code for code in codes if max(_channels(code)) <= NEARLY_GREY]
    bright = [code for code in codes if min(_channels(code)) >= 255 - NEARLY_GREY]
    shades = 2 < len(codes) <= 8 or (len(codes) == 2 and 0 not in codes)
    if not (shades and dark and bright and len(dark) + len(bright) == len(codes)):
        return {}
    classes: dict[int | str, int] = {name_of(code, True): 0 for code in sorted(dark)}
    return classes | {name_of(code, True): 1 for code in sorted(bright)}


def _channels(code: float) -> tuple[int, int, int]:
    return int(code) >> 16, int(code) >> 8 & 0xFF, int(code) & 0xFF


def _doubts(
    masks: Sequence[MaskLook],
    counts: Mapping[float, int],
    marked: Mapping[float, int],
    ground: set[float],
    coloured: bool,
    one: str,
) -> list[Problem]:
    """Every reason why these values cannot be taken for classes."""
    values = sorted(marked)
    whole, painted = sum(counts.values()), sum(marked.values())
    kinds = max(len(values), max(mask.values for mask in masks) - 1)
    shown = histogram(counts, coloured)
    files = tuple(m.path for m in masks if m.values > 2 or len(masks) == 1)
    cut = "" if coloured else " or --threshold N (127 cuts halfway)"
    if not any(value in counts for value in ground):
        text = f"no pixel of any mask is background (0, black or transparent)\n{shown}"
        return [Problem(text, tuple(m.path for m in masks), CLASS_FLAG)]
    if not coloured and _numbered(masks):
        text = (
            f"values look like numbered objects (1, 2, 3, ... up to {max(values):g}, another "
            "number in each mask), not like classes"
        )
        flag = "--threshold 0 (all objects are one class), or --class VALUE=NAME for each"
        return [Problem(text, files, flag)]
    held = {
        mask.path: frozenset((mask.by_colour if coloured else mask.by_number) or ()) - ground
        for mask in masks
    }
    if mixed := never_together(held, coloured, bool(one)):
        return list(mixed)
    ladder = not coloured and values == list(range(1, len(values) + 1))
    rare = [v for v in values if marked[v] < RARE * painted] if not ladder else []
    if one and len(values) > 1:
        text = f"masks of one class hold {len(values) + 1} values\n{shown}"
        return [Problem(text, files, "--threshold N (127 cuts halfway)")]
    if kinds > MOST_CLASSES or (rare and len(values) > 1):
        text = (
            f"masks hold {kinds + 1} values; softened borders or a slip, and no classes?\n{shown}"
        )
        return [Problem(text, files, CLASS_FLAG + cut)]
    if any(value != int(value) for value in values):
        text = f"masks hold numbers that are not whole\n{shown}"
        return [Problem(text, files, "--threshold N")]
    if len(values) == 1 and painted > MOSTLY * whole:
        value = name_of(values[0], coloured)
        dark = name_of(0, coloured)
        text = f"{painted / whole:.0%} of all pixels are {value}: are the masks inverted?"
        flag = f"--class {value}=NAME, or --class {dark}=NAME --class {value}=background"
        return [Problem(text, tuple(m.path for m in masks)[:1], flag)]
    return []


def _numbered(masks: Sequence[MaskLook]) -> bool:
    """True where each mask numbers its objects from 1 and the numbers end anywhere."""
    tops = set()
    for mask in masks:
        values = sorted(set(mask.by_number or {}) - {0})
        if mask.values - 1 > len(values):
            return True  # so many that not all were kept
        if values and values != list(range(1, len(values) + 1)):
            return False
        tops.add(len(values))
    return max(tops) > 4 and (len(tops - {0}) > 2 or max(tops) > MOST_CLASSES)


def _key(code: float, coloured: bool) -> int | str:
    return name_of(code, True) if coloured else int(code)


def _names(counts: Mapping[float, int], coloured: bool) -> list[str]:
    return [name_of(code, coloured) for code in sorted(counts)]


def _name_guess(what: str, name: str, value: str) -> Guess:
    quote = "'" if value.startswith("#") else ""
    return Guess(f"class of {what}", name, f"--class {quote}{value}=NAME{quote}")
