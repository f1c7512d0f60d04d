"""Pictures in a raw dataset of nnU-Net: PNG, BMP or TIFF, with classes by `dataset.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attnbench.catalog import Reader
from attnbench.data.readers.decode import Picture, decode
from attnbench.data.readers.registry import UNREADABLE
from attnbench.errors import listed
from attnbench.intake.found import Found, Guess, Options
from attnbench.intake.layouts.described import (
    FILE,
    declared_channels,
    declared_classes,
    modality_of,
)
from attnbench.intake.volume_cases import Told, VolumeCase, class_name, group_cases

PICTURE_AXES = ("top-bottom", "left-right")
SLICE_AXES = ("slices", *PICTURE_AXES)


@dataclass(frozen=True)
class _Shape:
    ndim: Literal[2, 3]
    channels: int


def describe_pictures(
    folder: Path,
    cases: Sequence[VolumeCase],
    options: Options,
    told: Told,
    layout: str,
    content: dict[str, Any],
    labels: dict[str, dict[str, str]],
) -> Found:
    """Everything found about pictures whose `dataset.json` has this content."""
    declared = declared_classes(content, told) or {}
    if options.classes:
        declared = {float(value): name for value, name in options.classes.items()}
    ordered = sorted(declared)
    names = {number: class_name(declared[value]) for number, value in enumerate(ordered, 1)}
    values = {int(value): number for number, value in enumerate(ordered, 1)}
    shape = _shape(folder, cases, told)
    channels = declared_channels(content)
    if channels and shape.channels not in (len(channels), 1):
        told.problem(
            f"{FILE} names {len(channels)} channels, {listed(channels)}; the first image has "
            f"{shape.channels}",
            [FILE],
        )
    elif shape.channels > 1:
        told.guesses.append(Guess("channels", f"{shape.channels}", "--channels 1 reads grey"))
    wanted = options.channels or shape.channels
    settings: dict[str, Any] = {"values": values}
    if shape.ndim == 3:
        settings["pages"] = "slices"
    if wanted == 1 and shape.channels > 1:
        settings["grey"] = True
    modality, normalisation = modality_of(channels, told)
    grouped = group_cases(cases, options, told)
    spacing = options.spacing or _spacing(folder, cases, shape.ndim, told)
    return Found(
        layout=layout,
        rows=tuple(row for case in cases for row in case.rows(folder, grouped.of[case.name])),
        reader=Reader(name="pictures", settings=settings),
        ndim=shape.ndim,
        channels=wanted,
        classes=names,
        axes=SLICE_AXES if shape.ndim == 3 else PICTURE_AXES,
        spacing=spacing,
        spacing_unit=options.spacing_unit or ("mm" if spacing else "px"),
        modality=modality,
        normalisation=normalisation,
        groups=grouped.how,
        groups_inferred=grouped.inferred,
        labels={**grouped.labels, **labels},
        guesses=tuple(told.guesses),
        problems=tuple(told.problems),
        notes=tuple(told.notes),
    )


def _shape(folder: Path, cases: Sequence[VolumeCase], told: Told) -> _Shape:
    """Axes and channels of the first case; the reader refuses others that differ."""
    pictures: list[Picture] = []
    for path in cases[0].images if cases else ():
        try:
            pictures.append(decode(folder / path))
        except UNREADABLE as error:
            told.problem(f"the first case cannot be read: {error}", [path])
    channels = sum(picture.colours.shape[-1] for picture in pictures)
    slices = any(len(picture.pages) > 1 for picture in pictures)
    return _Shape(3 if slices else 2, channels or 1)


def _spacing(
    folder: Path, cases: Sequence[VolumeCase], ndim: int, told: Told
) -> tuple[float, ...] | None:
    """The spacing that nnU-Net keeps in a JSON file beside a TIFF of several slices."""
    if ndim == 2:
        return None
    stated = {}
    for case in cases:
        path = (folder / case.masks[""]).with_suffix(".json")
        if path.is_file():
            try:
                stated[path.name] = tuple(map(float, json.loads(path.read_text())["spacing"]))
            except (KeyError, TypeError, ValueError) as error:
                told.problem(f"no spacing in it: {error!r}", [path.name])
    if len(set(stated.values())) > 1:
        told.problem(
            "spacing differs by case, which TIFF cannot tell the reader; convert to NIfTI",
            [f"{name}: {spacing}" for name, spacing in stated.items()],
        )
    return next(iter(stated.values()), None)
