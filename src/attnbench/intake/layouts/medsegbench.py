"""An archive of MedSegBench: `<name>_<size>.npz` with images and masks of three parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attnbench.catalog import Reader
from attnbench.data.readers.medsegbench import ROLES, case_names, opened_parts
from attnbench.data.readers.npz import open_npz
from attnbench.data.readers.registry import UNREADABLE
from attnbench.intake.found import Found, FoundFile, Options
from attnbench.intake.volume_cases import MaskValue, Told, choose_classes

SQUARE = "pictures were resized to squares: shapes and distances are not the original ones"


def recognise(folder: Path, options: Options) -> Found | None:
    """Recognise a folder with one archive whose arrays have the layout's names."""
    archives = [path for path in sorted(folder.rglob("*.npz")) if not path.name.startswith(".")]
    if not archives or not any(map(_has_names, archives)):
        return None
    told = Told()
    chosen = [path for path in archives if not options.images or path.match(options.images)]
    if len(chosen) != 1:
        told.problem(
            f"{len(chosen) or len(archives)} archives; a dataset is one of them",
            [path.relative_to(folder).as_posix() for path in archives],
            "--images NAME.npz",
        )
        return _found((), {1: "foreground"}, {}, 1, told)
    archive = chosen[0]
    name = archive.relative_to(folder).as_posix()
    try:
        names = case_names(archive)
        values, channels = _values(archive)
    except UNREADABLE as error:
        told.problem(f"the archive cannot be used: {error}", [name])
        return _found((), {1: "foreground"}, {}, 1, told)
    found = {float(v): MaskValue(count, (name,)) for v, count in values.items() if v}
    classes = choose_classes(found, (), options, told)
    if classes.settings:
        told.problem(
            f"masks hold the values {', '.join(map(str, sorted(values)))}; this layout has 0, 1, "
            "2, ... for the classes",
            [name],
            "--class VALUE=NAME for every class, if some occur nowhere",
        )
    if options.groups not in (None, "unknown"):
        told.problem("the archive holds no patients; groups stay unknown", (), "--groups unknown")
    rows = tuple(FoundFile(name, role, case, case) for case in names for role in ROLES)
    parts = {case: {"part": case.rpartition("-")[0]} for case in names}
    return _found(rows, dict(classes.names), parts, channels, told)


def _has_names(archive: Path) -> bool:
    try:
        return any(name.endswith(("_images", "_label")) for name in open_npz(archive))
    except UNREADABLE:
        return archive.stem.rpartition("_")[2] in ("128", "256", "512")


def _values(archive: Path) -> tuple[dict[int, int], int]:
    """How many pixels of all masks have each value, and the channels of the images."""
    counts = np.zeros(256, np.int64)
    channels = {1}
    for images, masks in opened_parts(archive, archive.stat().st_mtime_ns).values():
        channels = {3 if len(images.shape) == 4 else 1}
        for number in range(masks.shape[0]):
            counts += np.bincount(masks.item(number).ravel(), minlength=256)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}, channels.pop()


def _found(
    rows: tuple[FoundFile, ...],
    classes: dict[int, str],
    labels: dict[str, dict[str, str]],
    channels: int,
    told: Told,
) -> Found:
    return Found(
        layout="medsegbench",
        rows=rows,
        reader=Reader(name="medsegbench"),
        ndim=2,
        channels=channels,
        classes=classes,
        axes=("top-bottom", "left-right"),
        groups="unknown",
        labels=labels,
        guesses=tuple(told.guesses),
        problems=tuple(told.problems),
        notes=(*told.notes, SQUARE, "its files hold no patients: groups are unknown"),
    )
