"""Folders of volumes (NIfTI, MHA, NRRD) with their masks, paired by names or as the user says."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from attnbench.catalog import Reader
from attnbench.data.readers.volume import ENDINGS
from attnbench.errors import listed
from attnbench.intake.found import Found, Guess, Options
from attnbench.intake.pairs import MASK_WORDS, Pair, list_files, pair_files
from attnbench.intake.volume_cases import (
    AXES,
    Classes,
    Told,
    VolumeCase,
    choose_classes,
    class_name,
    group_cases,
    look_at_grids,
    look_at_masks,
)

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
OTHER_VOLUMES = (".hdr", ".img", ".mgz", ".mgh", ".mnc", ".gipl", ".vtk")
SPECIAL = ("fov", "second_rater")


def recognise(folder: Path, options: Options) -> Found | None:
    """Recognise a folder with volume files, unless pictures are more."""
    files = list_files(folder, ENDINGS)
    pictures = sum(path.lower().endswith(PICTURES) for path in files.others)
    if not files.wanted or (pictures > len(files.wanted) and options.layout is None):
        return None
    told = Told()
    if files.broken:
        told.problem("symbolic links to nothing", files.broken)
    if other := [path for path in files.others if path.lower().endswith(OTHER_VOLUMES)]:
        told.problem("volumes in formats that are not read; convert them to NIfTI", other)
    cases, labels, single = _cases(files.wanted, options, told)
    geometry, _ = look_at_grids(folder, cases, options, told)
    classes = choose_classes(look_at_masks(folder, cases, told), cases, options, told)
    if single and not options.classes and len(classes.names) == 1:
        classes = Classes({1: class_name(single)}, classes.settings)
    grouped = group_cases(cases, options, told)
    return Found(
        layout="volumes",
        rows=tuple(row for case in cases for row in case.rows(folder, grouped.of[case.name])),
        reader=Reader(name="volume", settings=dict(classes.settings)),
        ndim=geometry.ndim,
        channels=geometry.channels,
        classes=classes.names,
        axes=AXES[geometry.ndim],
        spacing=geometry.spacing,
        spacing_unit=geometry.spacing_unit,
        groups=grouped.how,
        groups_inferred=grouped.inferred,
        labels={**grouped.labels, **labels},
        guesses=tuple(told.guesses),
        problems=tuple(told.problems),
        notes=tuple(told.notes),
    )


def _cases(
    paths: Sequence[str], options: Options, told: Told
) -> tuple[list[VolumeCase], dict[str, dict[str, str]], str]:
    """Cases by name, their parts of an official split, and the word that all masks share."""
    many = {} if options.images or options.masks else _with_channels(paths)
    taken = {path for case in many.values() for path in (*case.images, *case.masks.values())}
    left = [path for path in paths if path not in taken]
    cases = list(many.values())
    labels: dict[str, dict[str, str]] = {}
    single = ""
    if left:
        pairs = pair_files(left, options.images, options.masks)
        told.problems += pairs.problems
        told.notes += pairs.notes
        single = _shared_word(pairs.pairs)
        for pair in pairs.pairs:
            case = _one_each(pair, single, told)
            cases.append(case)
            if pair.part:
                labels[case.name] = {"part": pair.part}
    if many:
        words = [_last_word(path) for path in next(iter(many.values())).images]
        text = f"{listed(words)}, one file each"
        told.guesses.append(Guess("channels", text, "--images GLOB for one of them"))
    names = Counter(case.name for case in cases)
    if twice := [name for name, count in names.items() if count > 1]:
        told.problem("several images have the name of one case", twice, "--images FOLDER or GLOB")
    if len({label["part"] for label in labels.values()}) < 2 or len(labels) < len(cases):
        labels = {}
    return sorted(cases, key=lambda case: case.name), labels, single


def _shared_word(pairs: Sequence[Pair]) -> str:
    """The word by which the only mask of every case is told, such as `liver`; else nothing."""
    words = {word for pair in pairs for word in pair.masks}
    one_each = all(len(pair.masks) == 1 for pair in pairs)
    return words.pop() if one_each and len(words) == 1 else ""


def _one_each(pair: Pair, single: str, told: Told) -> VolumeCase:
    name = pair.name.removesuffix(".nii")
    several = [path for own in pair.masks.values() for path in own if len(own) > 1]
    unnamed = len(pair.masks) > 1 and any(word.isdigit() or not word for word in pair.masks)
    if several or unnamed:
        told.problem(
            f"case {name} has several masks, and nothing says which class each is",
            several or [path for own in pair.masks.values() for path in own],
            "--masks GLOB, or --masks CLASS=GLOB for each class",
        )
    masks = {"" if word == single else word: own[0] for word, own in pair.masks.items()}
    return VolumeCase(name, pair.images, masks)


def _parts(path: str) -> tuple[str, str, str]:
    """Folder, name without ending and last word, and the last word."""
    file = PurePosixPath(path)
    stem = re.sub(rf"({'|'.join(map(re.escape, ENDINGS))})$", "", file.name, flags=re.IGNORECASE)
    head, _, word = stem.rpartition("_")
    return str(file.parent), head, word


def _last_word(path: str) -> str:
    return _parts(path)[2]


def _with_channels(paths: Sequence[str]) -> dict[str, VolumeCase]:
    """Cases of several images and one mask: `p1_flair`, `p1_t1`, `p1_seg`, or `p1_0000`, ...

    Only where at least two cases have the very same channels, each with exactly one mask;
    otherwise two images of a patient would be taken for channels.
    """
    images: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    masks: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        place, head, word = _parts(path)
        if word.lower() in MASK_WORDS:
            masks[head].append(path)
        elif _in_mask_folder(path):
            masks[f"{head}_{word}" if head else word].append(path)
        elif head and (not word.isdigit() or len(word) == 4):
            images[place, head][word] = path
    several = {key: own for key, own in images.items() if len(own) > 1}
    sets = {frozenset(own) for own in several.values()}
    one_mask = all(len(masks.get(head, ())) == 1 for _, head in several)
    numbered = all(word.isdigit() for own in sets for word in own)
    if len(several) < 2 or len(several) < len(images) or len(sets) > 1 or not one_mask:
        return {}
    if numbered and min(min(own) for own in sets) != "0000":
        return {}
    return {
        head: VolumeCase(head, tuple(own[word] for word in sorted(own)), {"": masks[head][0]})
        for (_, head), own in several.items()
    }


def _in_mask_folder(path: str) -> bool:
    words = re.split(r"[^a-z]+", str(PurePosixPath(path).parent).lower())
    return any(word in MASK_WORDS for word in words)
