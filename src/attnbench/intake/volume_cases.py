"""What the files of volumes are, whatever layout named them: grids, channels, classes, trouble."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from attnbench.data.readers.grid import (
    TOLERANCE,
    Grid,
    Refused,
    apart,
    canonical_grid,
    flat_grid,
)
from attnbench.data.readers.itk import data_file
from attnbench.data.readers.registry import UNREADABLE
from attnbench.data.readers.volume import grid_of, load_volume
from attnbench.errors import AttnBenchError
from attnbench.intake.found import FoundFile, Guess, Options, Problem, Unit
from attnbench.intake.groups import Groups, find_groups
from attnbench.intake.mixed import never_together, under_threshold

AXES = {
    3: ("left-right", "posterior-anterior", "inferior-superior"),
    2: ("first axis as stored", "second axis as stored"),
}
HEADERS = (".mhd", ".nhdr")  # whose voxels lie in another file
AT_ONCE = 4
MANY_CHANNELS = 16  # more on a fourth axis are taken for a film
MANY_VALUES = 64  # more in a mask are taken for intensities or numbered objects
USUAL = (0.005, 100.0)  # mm or um; other spacings are taken for another unit
T = TypeVar("T")


@dataclass(frozen=True)
class VolumeCase:
    """The files of one case, in the order of the channels; masks by class, or under the empty
    text one for all.
    """

    name: str
    images: tuple[str, ...]
    masks: Mapping[str, str]

    def rows(self, folder: Path, group: str) -> Iterator[FoundFile]:
        """The case's files as a list of files has them, with files of voxels beside headers."""
        for path in self.images:
            yield FoundFile(path, "image", self.name, group)
        for name, path in self.masks.items():
            yield FoundFile(path, mask_role(name), self.name, group)
        for path in (*self.images, *self.masks.values()):
            if path.lower().endswith(HEADERS) and (data := _beside(folder, path)):
                yield FoundFile(data, "aux", self.name, group)


def _beside(folder: Path, path: str) -> str | None:
    try:
        data = data_file(folder / path)
        return data.resolve().relative_to(folder.resolve()).as_posix() if data else None
    except (Refused, OSError, ValueError):
        return None  # said where the header is read


@dataclass
class Told:
    """What is collected on the way: nothing is raised, so that all of it is said at once."""

    problems: list[Problem] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, text: str, files: Sequence[str] = (), flag: str = "") -> None:
        """Add a problem."""
        self.problems.append(Problem(text, tuple(files), flag))


def group_cases(cases: Sequence[VolumeCase], options: Options, told: Told) -> Groups:
    """The group of every case, by the names of its first image."""
    groups = find_groups({case.name: case.images[0] for case in cases}, options.groups)
    told.guesses += groups.guesses
    told.problems += groups.problems
    return groups


@dataclass(frozen=True)
class Geometry:
    """What holds for the grids of all cases; `spacing` where no file states one."""

    ndim: Literal[2, 3]
    channels: int
    spacing: tuple[float, ...] | None
    spacing_unit: Unit


@dataclass(frozen=True)
class MaskValue:
    """A value that masks hold: in how many voxels, and in which files."""

    voxels: int
    files: tuple[str, ...]


def mask_role(name: str) -> str:
    """Role of a mask file: of all classes, of one class, or of another kind."""
    special = {"": "mask", "fov": "fov", "second_rater": "mask_second_rater"}
    return special.get(name, f"mask_{class_name(name)}")


def class_name(text: str) -> str:
    """A name as entries allow it: small letters, digits and `_`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "class"


def look_at_grids(
    folder: Path, cases: Sequence[VolumeCase], options: Options, told: Told
) -> tuple[Geometry, dict[str, Grid]]:
    """Read every header once.

    Returns what holds for all cases, and the grids by path as the reader will turn them.
    """
    paths = [path for case in cases for path in (*case.images, *case.masks.values())]
    grids = _each(folder, paths, grid_of, told)
    images = {path: grids[path] for case in cases for path in case.images if path in grids}
    ndim = _axes(images, told)
    turn = flat_grid if ndim == 2 else canonical_grid
    grids = {path: turn(grid) for path, grid in grids.items()}
    _same_grids(cases, grids, told)
    unit = _unit(grids, options, told)
    return (
        Geometry(
            ndim,
            _channels(cases, grids, options, told),
            _spacing(images, ndim, unit, options, told),
            unit,
        ),
        grids,
    )


def look_at_masks(folder: Path, cases: Sequence[VolumeCase], told: Told) -> dict[float, MaskValue]:
    """Read every mask of all classes and count its values, 0 left out; NaN is a problem."""
    paths = [case.masks[""] for case in cases if "" in case.masks]
    found = _each(folder, paths, _count_values, told)
    holders: dict[float, list[str]] = defaultdict(list)
    voxels: Counter[float] = Counter()
    broken = [path for path, counts in found.items() if counts is None]
    if broken:
        told.problem("masks with voxels that are NaN or infinite", broken)
    for path, counts in found.items():
        for value, count in (counts or {}).items():
            holders[value].append(path)
            voxels[value] += count
    return {
        value: MaskValue(voxels[value], tuple(own))
        for value, own in sorted(holders.items())
        if value != 0
    }


def _count_values(path: Path) -> dict[float, int] | None:
    array = load_volume(path).array
    if not np.isfinite(array).all():
        return None
    counts: Counter[float] = Counter()
    for number in range(array.shape[-1]):  # slice by slice: a whole CT would be sorted for long
        values, own = np.unique(array[..., number], return_counts=True)
        # A soft mask may hold a million values; some of them say as much.
        kept = range(len(values)) if len(values) <= 4 * MANY_VALUES else (0, 1, len(values) - 1)
        counts.update({float(values[k]): int(own[k]) for k in kept})
    return dict(counts)


def _each(
    folder: Path, paths: Sequence[str], look: Callable[[Path], T], told: Told
) -> dict[str, T]:
    """`look` at every file, several at a time; what cannot be read is one problem."""

    def one(path: str) -> T | str:
        try:
            return look(folder / path)
        except (Refused, AttnBenchError, *UNREADABLE) as error:
            return f"{path}: {error}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        looked = dict(zip(paths, pool.map(one, paths), strict=True))
    broken = [text for text in looked.values() if isinstance(text, str)]
    if broken:
        told.problem("files that cannot be used; repair them, or move them out", broken)
    return {path: found for path, found in looked.items() if not isinstance(found, str)}


def _axes(images: Mapping[str, Grid], told: Told) -> Literal[2, 3]:
    flats = [path for path, grid in images.items() if len(flat_grid(grid).shape) == 2]
    if not flats or len(flats) == len(images):
        return 2 if flats else 3
    odd = min(flats, [path for path in images if path not in set(flats)], key=len)
    kind = "pictures of one slice" if odd == flats else "volumes"
    told.problem(
        f"pictures and volumes are mixed; {len(odd)} of {len(images)} images are {kind}", odd,
        "--images FOLDER or GLOB",
    )  # fmt: skip
    return 3


def _same_grids(cases: Sequence[VolumeCase], grids: Mapping[str, Grid], told: Told) -> None:
    """Refuse files that lie elsewhere than the first image of their case; both grids are named."""
    odd = []
    for case in cases:
        first = grids.get(case.images[0])
        for path in (*case.images[1:], *case.masks.values()):
            if first is None or path not in grids or apart(first, grids[path]) <= TOLERANCE:
                continue
            odd.append(f"{path} has {grids[path]}; {case.images[0]} has {first}")
    if odd:
        told.problem(
            "masks or channels lie on another grid than their image; resample one to the other "
            "(masks by the nearest voxel)",
            odd,
        )


def _unit(grids: Mapping[str, Grid], options: Options, told: Told) -> Unit:
    stated = {grid.unit for grid in grids.values()} - {None}
    said = options.spacing_unit
    odd = [path for path, grid in grids.items() if grid.unit not in (None, said or "mm", "um")]
    if len(stated) > 1 or odd or (said and stated - {said}):
        other = odd or [p for p, grid in grids.items() if grid.unit not in (None, said or "mm")]
        told.problem(
            f"headers measure in {', '.join(sorted(map(str, stated)))}"
            + (f", --unit says {said}" if said else "; allowed is mm, or um in all"),
            other,
            "write the headers in one unit",
        )
    if said:
        return said
    return "um" if stated == {"um"} else "mm"


def _channels(
    cases: Sequence[VolumeCase], grids: Mapping[str, Grid], options: Options, told: Told
) -> int:
    counts = {
        case.name: sum(grids[path].channels for path in case.images)
        for case in cases
        if all(path in grids for path in case.images)
    }
    if not counts:
        return options.channels or 1
    usual = Counter(counts.values()).most_common(1)[0][0]
    odd = [f"{name}: {count}" for name, count in counts.items() if count != usual]
    if odd:
        told.problem(f"cases do not have {usual} channel(s) as the others do", odd, "--images")
    stacked = max(grids[path].channels for case in cases for path in case.images if path in grids)
    if options.channels is not None and options.channels != usual:
        told.problem(
            f"--channels says {options.channels}, the files have {usual}", (), f"--channels {usual}"
        )
    elif stacked > MANY_CHANNELS and options.channels is None:
        told.problem(
            f"files have {stacked} numbers per voxel: a film, not channels?", (),
            f"--channels {usual} if they are channels",
        )  # fmt: skip
    elif usual > 1:
        where = "on the fourth axis" if stacked > 1 else "one file each"
        told.guesses.append(Guess("channels", f"{usual}, {where}", "--channels"))
    return usual


def _spacing(
    images: Mapping[str, Grid], ndim: int, unit: Unit, options: Options, told: Told
) -> tuple[float, ...] | None:
    silent = [path for path, grid in images.items() if not grid.stated]
    if options.spacing is not None and len(options.spacing) != ndim:
        told.problem(f"--spacing has {len(options.spacing)} numbers, images have {ndim} axes")
    if options.spacing is not None and images and not silent:
        told.problem(
            "--spacing is for files that state none; all of these state theirs", (), "no --spacing"
        )
    if silent and options.spacing is None:
        told.guesses.append(
            Guess(
                "spacing",
                f"1 {unit} on every axis in {len(silent)} of {len(images)} images, whose headers "
                f"state none ({silent[0]})",
                "--spacing",
            )
        )
    stated = {
        path: grid.spacing
        for path, grid in images.items()
        if grid.stated and not (USUAL[0] <= min(grid.spacing) and max(grid.spacing) <= USUAL[1])
    }
    if stated and options.spacing_unit is None:
        told.problem(
            f"spacings in {unit} that are none: another unit?",
            [f"{path}: {spacing}" for path, spacing in stated.items()],
            f"--unit {unit} if they are right",
        )
    return options.spacing if silent else None


@dataclass(frozen=True)
class Classes:
    """Classes by number, and the reader's settings that make them of what masks hold."""

    names: Mapping[int, str]
    settings: Mapping[str, Any] = field(default_factory=dict)


def choose_classes(
    found: Mapping[float, MaskValue],
    cases: Sequence[VolumeCase],
    options: Options,
    told: Told,
    declared: Mapping[float, str] | None = None,
) -> Classes:
    """Say which classes there are.

    Args:
        found: values that masks of all classes hold.
        cases: their masks, where each class has its own.
        options: what the user says goes before everything.
        told: takes what is wrong.
        declared: name by value, as the layout itself says.
    """
    single = sorted({name for case in cases for name in case.masks} - {"", "fov", "second_rater"})
    if single:
        return _single_classes(single, cases, told)
    if options.threshold is not None:
        names = [class_name(name) for name in options.classes.values()] or ["foreground"]
        if len(set(names)) > 1:
            told.problem(
                f"--threshold gives one class, --class names {len(set(names))}",
                (),
                "--threshold or --class",
            )
        tops = {path: value for value, what in found.items() for path in what.files}
        told.problems += under_threshold(tops, 0, options.threshold)
        if not options.classes:
            told.guesses.append(Guess("class", "above the threshold: foreground", "--class 1=NAME"))
        return Classes({1: names[0]}, {"threshold": options.threshold})
    if options.classes:
        declared = _typed(options.classes, told)
    if declared is None:
        declared = _guessed(found, told)
    stray = {value: what for value, what in found.items() if value not in declared}
    if stray:
        _refuse_stray(stray, declared, told)
    return _numbered(declared)


def _single_classes(names: Sequence[str], cases: Sequence[VolumeCase], told: Told) -> Classes:
    for name in names:
        lacking = [case.name for case in cases if name not in case.masks]
        if lacking:
            told.problem(f"cases without a mask of the class {name}", lacking, "--masks")
    numbers = {number: class_name(name) for number, name in enumerate(names, 1)}
    if len(set(numbers.values())) < len(numbers):
        told.problem(f"class names are too alike: {', '.join(names)}", (), "--masks NAME=GLOB")
    told.guesses.append(
        Guess(
            "overlap of classes",
            f"the later stays, in the order {', '.join(numbers.values())}",
            "--masks in another order",
        )
    )
    masks = {mask_role(name): number for number, name in enumerate(names, 1)}
    return Classes(numbers, {"masks": masks})


def _typed(classes: Mapping[str, str], told: Told) -> dict[float, str]:
    typed = {}
    for value, name in classes.items():
        try:
            typed[float(value)] = name
        except ValueError:
            told.problem(
                f"--class {value}={name}: masks of volumes hold numbers", (), "--class 1=a"
            )
    return typed


def _guessed(found: Mapping[float, MaskValue], told: Told) -> dict[float, str]:
    whole = [value for value in found if value.is_integer() and 0 < value < 256]
    if len(found) > MANY_VALUES or not whole:
        return {}
    if len(whole) == 1:
        told.guesses.append(
            Guess("class", f"{whole[0]:g}: foreground", f"--class {whole[0]:g}=NAME")
        )
        return {whole[0]: "foreground"}
    held: dict[str, frozenset[float]] = defaultdict(frozenset)
    for value, what in found.items():
        for path in what.files:
            held[path] |= {value}
    told.problems += never_together(held, coloured=False, one=False)
    names = {value: f"class_{value:g}" for value in whole}
    shown = ", ".join(f"{value:g}: {name}" for value, name in names.items())
    told.guesses.append(Guess("classes", shown, "--class VALUE=NAME"))
    return names


def _refuse_stray(
    stray: Mapping[float, MaskValue], declared: Mapping[float, str], told: Told
) -> None:
    shown = ", ".join(f"{value:g} ({what.voxels} voxels)" for value, what in [*stray.items()][:6])
    more = f" and {len(stray) - 6} more values" if len(stray) > 6 else ""
    files = sorted({path for what in stray.values() for path in what.files})
    known = ", ".join(f"{value:g}" for value in sorted(declared))
    classes = f"; 0 and {known} are known" if known else "; classes are 1 to 255"
    kind = (
        "not whole numbers: a soft mask, or one that was interpolated?"
        if any(not value.is_integer() for value in stray)
        else "which classes are they?"
    )
    told.problem(
        f"masks hold {shown}{more}{classes}; {kind}", files, "--class VALUE=NAME or --threshold 0.5"
    )


def _numbered(declared: Mapping[float, str]) -> Classes:
    """Classes numbered from 1 in the order of their values, and `values` where these differ."""
    ordered = sorted(value for value in declared if value != 0)
    names: dict[int, str] = {}
    for number, value in enumerate(ordered, 1):
        name = class_name(declared[value])
        names[number] = name if name not in names.values() else f"{name}_{value:g}"
    values = {int(v) if v.is_integer() else v: n for n, v in enumerate(ordered, 1)}
    same = all(value == number for value, number in values.items())
    return Classes(names, {} if same else {"values": values})
