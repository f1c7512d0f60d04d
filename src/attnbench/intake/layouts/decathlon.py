"""A task of the Medical Segmentation Decathlon: `dataset.json` that lists pairs in `training`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from attnbench.catalog import Reader
from attnbench.data.readers.volume import ENDINGS
from attnbench.errors import listed
from attnbench.intake.found import Found, Guess, Options
from attnbench.intake.layouts.described import (
    FILE,
    declared_channels,
    declared_classes,
    modality_of,
    read_description,
)
from attnbench.intake.volume_cases import (
    AXES,
    Told,
    VolumeCase,
    choose_classes,
    group_cases,
    look_at_grids,
    look_at_masks,
)


def recognise(folder: Path, options: Options) -> Found | None:
    """Recognise a folder whose `dataset.json` lists images that lie there under these names."""
    content = read_description(folder)
    if not isinstance(content, dict) or not _lists_files(folder, content):
        return None
    told = Told()
    cases = _cases(folder, content["training"], told)
    test = content.get("test")
    if isinstance(test, list) and test:
        told.notes.append(f"{len(test)} images of `test` have no mask and are left out")
    return describe_volumes(folder, cases, options, told, "decathlon", content)


def describe_volumes(
    folder: Path,
    cases: Sequence[VolumeCase],
    options: Options,
    told: Told,
    layout: str,
    content: dict[str, Any],
    labels: dict[str, dict[str, str]] | None = None,
) -> Found:
    """Everything found about volumes whose `dataset.json` has this content."""
    geometry, _ = look_at_grids(folder, cases, options, told)
    declared = None if options.classes else declared_classes(content, told)
    classes = choose_classes(look_at_masks(folder, cases, told), cases, options, told, declared)
    channels = declared_channels(content)
    if channels and len(channels) != geometry.channels:
        told.problem(
            f"{FILE} names {len(channels)} channels, {listed(channels)}; the images have "
            f"{geometry.channels}",
            [FILE],
        )
    elif len(channels) > 1:
        told.guesses = [guess for guess in told.guesses if guess.what != "channels"]
        told.guesses.append(Guess("channels", f"{listed(channels)}, by {FILE}", "--channels"))
    modality, normalisation = modality_of(channels, told)
    number = content.get("numTraining")
    if isinstance(number, int) and number != len(cases):
        told.notes.append(f"{FILE} says {number} training cases; {len(cases)} are here")
    grouped = group_cases(cases, options, told)
    return Found(
        layout=layout,
        rows=tuple(row for case in cases for row in case.rows(folder, grouped.of[case.name])),
        reader=Reader(name="volume", settings=dict(classes.settings)),
        ndim=geometry.ndim,
        channels=geometry.channels,
        classes=classes.names,
        axes=AXES[geometry.ndim],
        spacing=geometry.spacing,
        spacing_unit=geometry.spacing_unit,
        modality=modality,
        normalisation=normalisation,
        groups=grouped.how,
        groups_inferred=grouped.inferred,
        labels={**grouped.labels, **(labels or {})},
        guesses=tuple(told.guesses),
        problems=tuple(told.problems),
        notes=tuple(told.notes),
    )


def _lists_files(folder: Path, content: dict[str, Any]) -> bool:
    """Whether `training` names at least one image that is there: nnU-Net's names differ."""
    pairs = content.get("training")
    if not isinstance(pairs, list) or not pairs:
        return False
    images = [pair["image"] for pair in pairs if isinstance(pair, dict) and "image" in pair]
    return any(isinstance(image, str) and (folder / image).is_file() for image in images)


def _cases(folder: Path, pairs: Sequence[Any], told: Told) -> list[VolumeCase]:
    cases: dict[str, VolumeCase] = {}
    odd, missing, twice = [], [], []
    for pair in pairs:
        if not (isinstance(pair, dict) and {"image", "label"} <= pair.keys()):
            odd.append(str(pair))
            continue
        image, mask = (PurePosixPath(str(pair[key])) for key in ("image", "label"))
        name = image.name
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        there = [path for path in (image, mask) if (folder / path).is_file()]
        missing += [str(path) for path in (image, mask) if path not in there]
        if name in cases:
            twice.append(str(image))
        elif len(there) == 2:
            cases[name] = VolumeCase(name, (str(image),), {"": str(mask)})
    if odd:
        told.problem(f"{FILE}: `training` has pairs without image and label", odd)
    if missing:
        told.problem(f"{FILE} lists files that are not there", missing)
    if twice:
        told.problem(f"{FILE} lists several images of one case", twice)
    listed_files = {path for case in cases.values() for path in case.images}
    extra = [
        path.relative_to(folder).as_posix()
        for path in sorted((folder / "imagesTr").glob("*"))
        if path.name.endswith(ENDINGS)
        and not path.name.startswith(".")
        and path.relative_to(folder).as_posix() not in listed_files
    ]
    if extra:
        told.notes.append(f"{len(extra)} images are not listed and left out: {listed(extra, 3)}")
    return [cases[name] for name in sorted(cases)]
