"""A raw dataset of nnU-Net: `imagesTr/<case>_<channel><ending>` and `labelsTr/<case><ending>`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attnbench.data.readers.volume import ENDINGS
from attnbench.errors import listed
from attnbench.intake.found import Found, Options
from attnbench.intake.layouts.decathlon import describe_volumes
from attnbench.intake.layouts.described import FILE, declared_channels, read_description
from attnbench.intake.layouts.nnunet_pictures import describe_pictures
from attnbench.intake.volume_cases import Told, VolumeCase

PICTURES = (".png", ".bmp", ".tif", ".tiff")
SPLITS = "splits_final.json"
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def recognise(folder: Path, options: Options) -> Found | None:
    """Recognise a folder with `dataset.json` and numbered channels in `imagesTr`."""
    content = read_description(folder)
    files = _files(folder / "imagesTr")
    if content is None or not any(_CHANNEL.fullmatch(_parted(name)[0]) for name in files):
        return None
    told = Told()
    if isinstance(content, str):
        told.problem(content, [FILE])
        content = {}
    ending = str(content.get("file_ending") or _usual_ending(files))
    labels: dict[str, dict[str, str]] = {}
    cases = _cases(folder, "imagesTr", "labelsTr", ending, content, told)
    if (folder / "labelsTs").is_dir():
        test = _cases(folder, "imagesTs", "labelsTs", ending, content, told)
        _refuse_twice(cases, test, told)
        labels = {case.name: {"part": "train"} for case in cases}
        labels |= {case.name: {"part": "test"} for case in test}
        cases += test
    elif left := _files(folder / "imagesTs"):
        told.notes.append(f"imagesTs: {len(left)} images have no mask and are left out")
    _notice_splits(folder, told)
    if not cases and not told.problems:
        told.problem(f"imagesTr has no image that ends in {ending}, which {FILE} says", [FILE])
    describe = describe_pictures if ending in PICTURES else describe_volumes
    return describe(folder, cases, options, told, "nnunet", content, labels)


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _parted(name: str) -> tuple[str, str]:
    """A file's name without its ending, and the ending."""
    for ending in (*ENDINGS, *PICTURES):
        if name.lower().endswith(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return name, ""


def _usual_ending(files: Iterable[str]) -> str:
    endings = [_parted(name)[1] for name in files]
    return max(sorted(set(endings)), key=endings.count)


def _cases(
    folder: Path, images: str, masks: str, ending: str, content: Mapping[str, Any], told: Told
) -> list[VolumeCase]:
    """Cases of which every channel and the mask are there; all others are named."""
    channels: dict[str, dict[int, str]] = defaultdict(dict)
    other, unnumbered = [], []
    for name in _files(folder / images):
        if not name.endswith(ending):
            other.append(f"{images}/{name}")
        elif numbered := _CHANNEL.fullmatch(name.removesuffix(ending)):
            channels[numbered[1]][int(numbered[2])] = f"{images}/{name}"
        else:
            unnumbered.append(f"{images}/{name}")
    marked = {
        name.removesuffix(ending): f"{masks}/{name}"
        for name in _files(folder / masks)
        if name.endswith(ending)
    }
    other += [f"{masks}/{name}" for name in _files(folder / masks) if not name.endswith(ending)]
    # A picture in colours is one file that holds several channels.
    declared = len(declared_channels(content)) if ending not in PICTURES else 0
    count = declared or max((max(own) + 1 for own in channels.values()), default=1)
    lacking = [
        f"{name}: {listed([f'_{k:04d}' for k in sorted(set(range(count)) - own.keys())])}"
        for name, own in sorted(channels.items())
        if set(range(count)) - own.keys()
    ]
    further = [path for own in channels.values() for number, path in own.items() if number >= count]
    if unnumbered:
        told.problem("images without the number of their channel, as _0000", unnumbered)
    if lacking:
        told.problem(f"cases that lack one of {count} channels", lacking)
    if further:
        told.problem(f"channels beyond the {count} that {FILE} names", further)
    if bare := sorted(channels.keys() - marked.keys()):
        told.problem(
            f"images without a mask in {masks}", [channels[n][min(channels[n])] for n in bare]
        )
    if lost := sorted(marked.keys() - channels.keys()):
        told.problem(f"masks without an image in {images}", [marked[name] for name in lost])
    if left := [path for path in other if _parted(path)[1]]:
        told.problem(f"files that do not end in {ending}, as {FILE} says", left)
    whole = [name for name in sorted(channels) if name in marked and len(channels[name]) == count]
    return [
        VolumeCase(
            name, tuple(channels[name][k] for k in sorted(channels[name])), {"": marked[name]}
        )
        for name in whole
    ]


def _refuse_twice(cases: list[VolumeCase], test: list[VolumeCase], told: Told) -> None:
    twice = {case.name for case in cases} & {case.name for case in test}
    if twice:
        told.problem("cases lie in imagesTr and in imagesTs", sorted(twice))


def _notice_splits(folder: Path, told: Told) -> None:
    """Say that there are nnU-Net's folds, which a study may take."""
    path = folder / SPLITS
    if not path.is_file():
        return
    try:
        folds = json.loads(path.read_text(encoding="utf-8"))
        number = len(folds) if isinstance(folds, list) else 0
    except (OSError, ValueError) as error:
        told.notes.append(f"{SPLITS} cannot be read: {error}")
        return
    told.notes.append(f"{SPLITS} has {number} folds; a study takes them with `split: {path}`")
