"""Folders of pictures with masks: PNG, TIFF, JPEG, BMP, GIF and PPM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from attnbench.catalog import Blocks, Reader
from attnbench.errors import listed
from attnbench.intake.found import Found, FoundFile, Options, Problem
from attnbench.intake.grids import (
    check_pages,
    check_shapes,
    find_channels,
    find_orientation,
    find_spacing,
)
from attnbench.intake.groups import Groups, find_groups
from attnbench.intake.looks import PICTURES, Look, MaskLook, look_at, look_at_masks
from attnbench.intake.outlines import outlines
from attnbench.intake.pairs import Files, Pair, Pairs, list_files, pair_files
from attnbench.intake.roles import Roles, find_roles
from attnbench.intake.values import Meaning, find_classes

NAME = "pictures"
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".dcm", ".npz")
ONE_SPECIMEN = (
    "--blocks N --gap PIXELS cuts an image into N blocks that count as groups; --groups, if the "
    "names hide several"
)


def recognise(folder: Path, options: Options) -> Found | None:
    """Tell images, masks, classes, groups and sizes of a folder of pictures.

    None where there is no picture, or where it is a folder of volumes. Otherwise everything that
    was found; what is wrong or in doubt is in `problems`, all at once.
    """
    files = list_files(folder, PICTURES)
    volumes = sum(name.lower().endswith(VOLUMES) for name in files.others)
    nnunet = (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir()
    if not files.wanted or (options.layout != NAME and (volumes >= len(files.wanted) or nnunet)):
        return None
    pairs = pair_files(files.wanted, options.images, options.masks)
    roles = find_roles(pairs, options)
    images = look_at(folder, [path for pair in pairs.pairs for path in pair.images])
    masks = look_at_masks(folder, roles.paths(lambda role: role.startswith("mask")))
    others = look_at_masks(folder, roles.paths(lambda role: role == "fov"))
    looks: dict[str, Look] = {look.path: look for look in (*images, *masks, *others)}
    meaning = _meaning(roles, masks, options)
    groups = _groups(pairs.pairs, options)
    channels, channel_settings, channel_guesses, channel_problems = find_channels(images, options)
    spacing = find_spacing(images, options)
    turning = find_orientation(pairs.pairs, roles, looks)
    problems = [
        *_unreadable(files, looks.values()),
        *pairs.problems,
        *roles.problems,
        *check_pages(images, masks, options),
        *turning.problems,
        *check_shapes(roles, looks, options, turning.value),
        *channel_problems,
        *meaning.problems,
        *outlines(folder, masks, meaning, options),
        *spacing.problems,
        *groups.problems,
        *_specimen(pairs.pairs, groups, options),
        *_numbers_of_blocks(options),
    ]
    settings: dict[str, Any] = {
        **_mask_settings(roles, meaning),
        **({"pages": options.pages} if options.pages else {}),
        **channel_settings,
        **({"fill": True} if options.outlines == "fill" else {}),
        **({"orientation": turning.value} if turning.value else {}),
        **({"spacing": "file"} if spacing.value is None and spacing.unit != "px" else {}),
    }
    blocks = None
    if options.blocks and options.blocks > 1 and (options.gap or 0) >= 0:
        blocks = Blocks(count=options.blocks, gap=options.gap or 0)
    ndim: Literal[2, 3] = 3 if options.pages == "slices" else 2
    return Found(
        layout=NAME,
        rows=tuple(_rows(roles, groups)),
        reader=Reader(name="pictures", settings=settings, blocks=blocks),
        ndim=ndim,
        channels=channels,
        classes=dict(meaning.names),
        axes=("page", "top-bottom", "left-right")[3 - ndim :],
        spacing=spacing.value,
        spacing_unit=spacing.unit,
        groups=_how(groups, options),
        groups_inferred=groups.inferred,
        labels=_labels(pairs.pairs, groups),
        guesses=(
            *roles.guesses,
            *channel_guesses,
            *meaning.guesses,
            *turning.guesses,
            *spacing.guesses,
            *groups.guesses,
        ),
        problems=tuple(problems),
        notes=tuple(_notes(files, pairs, looks.values(), masks, images)),
    )


def _meaning(roles: Roles, masks: Sequence[MaskLook], options: Options) -> Meaning:
    """Classes by value, or by role where there is a mask for each."""
    if not roles.classes:
        objects = any("mask_instance" in own for own in roles.of.values())
        named = [name for name in options.classes.values() if name != "background"]
        one = (named[0] if named else "object") if objects else ""
        return find_classes(masks, options, one)
    meaning = find_classes(masks, options, "marked")
    problems = list(meaning.problems)
    by_path = {mask.path: mask for mask in masks}
    for role, name in roles.classes.items():
        own = [by_path[p] for files in roles.of.values() for p in files.get(role, ())]
        if own and not any(_marks(mask, meaning) for mask in own):
            text = f"class {name} occurs in no mask: all {len(own)} of its masks are empty"
            problems.append(Problem(text, tuple(m.path for m in own), f"--masks {name}=GLOB"))
    names = dict(enumerate(roles.classes.values(), start=1))
    return Meaning(meaning.values, names, meaning.threshold, meaning.guesses, tuple(problems))


def _marks(mask: MaskLook, meaning: Meaning) -> bool:
    """False for a mask that is surely empty."""
    return (
        bool(mask.error)
        or mask.values > 1
        or not any((counts or {}).get(0) for counts in (mask.by_number, mask.by_colour))
    )


def _mask_settings(roles: Roles, meaning: Meaning) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if meaning.threshold is not None:
        settings["threshold"] = meaning.threshold
    elif meaning.values:
        settings["values"] = dict(meaning.values)
    if roles.classes:
        settings["masks"] = {role: n for n, role in enumerate(roles.classes, start=1)}
    elif any("mask_instance" in own for own in roles.of.values()):
        settings["masks"] = {"mask_instance": 1}
    return settings


def _unreadable(files: Files, looks: Iterable[Look]) -> Iterator[Problem]:
    bad = tuple(f"{look.path}: {look.error}" for look in looks if look.error)
    if bad:
        text = f"{len(bad)} file(s) cannot be read; repair them or take them away"
        yield Problem(text, bad)
    if files.broken:
        yield Problem("symbolic links that lead to nothing", files.broken)


def _groups(pairs: Sequence[Pair], options: Options) -> Groups:
    cases = {pair.name: pair.images[0] for pair in pairs}
    if options.blocks or (len(cases) == 1 and options.groups is None):
        return find_groups(cases, "case")
    return find_groups(cases, options.groups)


def _how(groups: Groups, options: Options) -> str:
    if options.blocks:
        return "blocks of the images"
    if options.pages == "cases" and options.groups == "case":
        return "the pages of a file are one group, as said"
    return groups.how


def _specimen(pairs: Sequence[Pair], groups: Groups, options: Options) -> Iterator[Problem]:
    """One image, or one group, cannot be divided into training and test."""
    if options.blocks or not pairs or groups.problems:
        return
    if len(pairs) == 1:
        text = "one image only: no other is left to test on"
    elif len(set(groups.of.values())) == 1:
        text = "all images are of one group: no other is left to test on"
    else:
        return
    yield Problem(text, flag=ONE_SPECIMEN)


def _numbers_of_blocks(options: Options) -> Iterator[Problem]:
    if options.blocks is not None and options.blocks < 2:
        yield Problem(f"--blocks {options.blocks}; it takes two at least", flag="--blocks N")
    if options.gap is not None and (options.gap < 0 or options.blocks is None):
        yield Problem(f"--gap {options.gap}: pixels, with --blocks", flag="--blocks N --gap PIXELS")
    if options.blocks and options.gap is None:
        yield Problem("--blocks needs --gap: pixels between two blocks", flag="--gap PIXELS")


def _rows(roles: Roles, groups: Groups) -> Iterator[FoundFile]:
    for case, own in roles.of.items():
        for role, paths in own.items():
            for path in paths:
                yield FoundFile(path, role, case, groups.of[case])


def _labels(pairs: Sequence[Pair], groups: Groups) -> dict[str, dict[str, str]]:
    """Labels of a table and the part of an official split, by case."""
    parts = {pair.name: pair.part for pair in pairs if pair.part}
    labels = {case: dict(own) for case, own in groups.labels.items()}
    if len(set(parts.values())) > 1 or (parts and len(parts) < len(pairs)):
        for case, part in parts.items():
            labels.setdefault(case, {}).setdefault("part", part)
    return labels


def _notes(
    files: Files,
    pairs: Pairs,
    looks: Iterable[Look],
    masks: Sequence[MaskLook],
    images: Sequence[Look],
) -> Iterator[str]:
    yield from pairs.notes
    looks = list(looks)
    misnamed = [f"{look.path} is {look.kind}" for look in looks if not look.error and look.misnamed]
    if misnamed:
        yield f"names say another format than the content, which counts: {listed(misnamed, 10)}"
    if files.others:
        yield f"{len(files.others)} file(s) are no pictures and left: {listed(files.others, 5)}"
    empty = [mask.path for mask in masks if not mask.error and mask.values == 1
             and ((mask.by_number or {}).get(0) or (mask.by_colour or {}).get(0))]  # fmt: skip
    if empty:
        yield f"{len(empty)} of {len(masks)} masks are empty: {listed(empty, 5)}"
    types = Counter(image.dtype for image in images if not image.error)
    if len(types) > 1:
        yield "images differ in their numbers: " + ", ".join(f"{n} {t}" for t, n in types.items())
    alpha = [image.path for image in images if image.alpha_varies]
    if alpha:
        yield f"opacity (alpha) of images is left out: {listed(alpha, 5)}"
    parts = Counter(pair.part for pair in pairs.pairs)
    if len(parts) > 1:
        found = ", ".join(f"{part or 'none'} {count}" for part, count in parts.items())
        yield f"folders name parts of an official split (label part): {found}"
