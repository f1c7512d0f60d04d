"""What a user says about a folder, and what a layout recognises in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from attnbench.catalog import Reader

Unit = Literal["mm", "um", "px"]
Normalisation = Literal["ct", "z_score", "percentile", "none"]


@dataclass(frozen=True)
class Options:
    """Flags of `attnbench dataset add`; None or empty: to be found out, or refused.

    images: a folder or glob below the data. masks: the same, by class name; under the empty name
    one mask for all classes. classes: name by value in the mask, as it is typed (`128`,
    `#ff0000`). threshold: masks are cut above it. groups: a regular expression with one group, a
    CSV (a path), `case` or `unknown`. pages: what the pages of a TIFF are. blocks and gap: one
    image is cut into so many blocks, `gap` pixels apart. outlines: masks are outlines, to be
    filled or taken as they are.
    """

    layout: str | None = None
    images: str | None = None
    masks: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    threshold: float | None = None
    groups: str | None = None
    spacing: tuple[float, ...] | None = None
    spacing_unit: Unit | None = None
    pages: Literal["slices", "channels", "cases"] | None = None
    channels: int | None = None
    blocks: int | None = None
    gap: int | None = None
    outlines: Literal["fill", "keep"] | None = None


@dataclass(frozen=True)
class Problem:
    """Why a folder is refused: in words, the files at fault, and the flag that answers it."""

    text: str
    files: tuple[str, ...] = ()
    flag: str = ""


@dataclass(frozen=True)
class Guess:
    """What was found out and not said: what, its value in words, the flag that says otherwise."""

    what: str
    value: str
    flag: str


@dataclass(frozen=True)
class FoundFile:
    """One file: `path` below the folder, its role in a case, the case and its group."""

    path: str
    role: str
    case: str
    group: str


@dataclass(frozen=True)
class Found:
    """A folder as a layout understands it; with `problems` it is refused.

    rows: files in the order of the cases, `image` rows in the order of the channels. classes: name
    by number from 1. spacing: of every case, in array order; None where the files say it or nobody
    does. axes: what each axis of an array is. groups: how they were found, in words, or `unknown`.
    labels: text by label by case, such as `part`. notes: what a user should know, but need not
    answer.
    """

    layout: str
    rows: tuple[FoundFile, ...]
    reader: Reader
    ndim: Literal[2, 3]
    channels: int
    classes: Mapping[int, str]
    axes: tuple[str, ...]
    spacing: tuple[float, ...] | None = None
    spacing_unit: Unit = "px"
    modality: str = ""
    normalisation: Normalisation = "z_score"
    groups: str = "unknown"
    groups_inferred: bool = True
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    guesses: tuple[Guess, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
