"""A tree of DICOM files: image series, each with a mask as DICOM-SEG, RTSTRUCT or volume file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from attnbench.catalog import Reader
from attnbench.data.readers.dicom.headers import (
    LABEL_MAP,
    SEGMENTATION,
    STRUCTURES,
    class_of,
    damage_told,
    is_dicom,
    open_dicom,
    require_packages,
)
from attnbench.data.readers.dicom.segmentation import referenced_series, segment_names
from attnbench.data.readers.dicom.series import load_series
from attnbench.data.readers.dicom.structures import structure_names, structures_series
from attnbench.data.readers.grid import Refused
from attnbench.data.readers.registry import UNREADABLE
from attnbench.data.readers.volume import ENDINGS
from attnbench.errors import listed
from attnbench.intake.found import Found, FoundFile, Guess, Options
from attnbench.intake.groups import Groups
from attnbench.intake.pairs import matches
from attnbench.intake.volume_cases import (
    AT_ONCE,
    AXES,
    Classes,
    Told,
    VolumeCase,
    choose_classes,
    class_name,
    group_cases,
    look_at_masks,
)

if TYPE_CHECKING:
    from pydicom import Dataset

MASKS = (SEGMENTATION, LABEL_MAP, STRUCTURES)


@dataclass(frozen=True)
class _Header:
    path: str
    kind: str
    series: str
    patient: str
    modality: str
    number: str
    image: bool


@dataclass(frozen=True)
class _Case:
    """One series with its mask; `name` is the patient's, and the series' where there are more."""

    name: str
    patient: str
    slices: tuple[str, ...]
    mask: str
    drawn: bool


def recognise(folder: Path, options: Options) -> Found | None:
    """Recognise a folder with DICOM images anywhere below it."""
    files = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = dict(zip(files, pool.map(lambda path: is_dicom(folder / path), files), strict=True))
    if not any(known.values()):
        return None
    require_packages()
    told = Told()
    headers = _headers(folder, [path for path, dicom in known.items() if dicom], told)
    stored = [path for path in files if not known[path] and path.lower().endswith(ENDINGS)]
    cases = _cases(folder, headers, stored, options, told)
    _check_series(folder, cases, told)
    classes = _classes(folder, cases, options, told)
    modalities = Counter(
        header.modality for header in headers if header.path in {c.slices[0] for c in cases}
    )
    groups = _groups(cases, options, told)
    return Found(
        layout="dicom",
        rows=tuple(row for case in cases for row in _rows(case, groups.of[case.name])),
        reader=Reader(name="dicom", settings=dict(classes.settings)),
        ndim=3,
        channels=1,
        classes=classes.names,
        axes=AXES[3],
        spacing_unit="mm",
        modality=", ".join(sorted(modalities)),
        normalisation="ct" if set(modalities) == {"CT"} else "z_score",
        groups=groups.how,
        groups_inferred=groups.inferred,
        labels=groups.labels,
        guesses=tuple(told.guesses),
        problems=tuple(told.problems),
        notes=tuple(told.notes),
    )


def _headers(folder: Path, paths: Sequence[str], told: Told) -> list[_Header]:
    def read(path: str) -> _Header | str:
        try:
            with damage_told():
                return _header(path, open_dicom(folder / path, pixels=False))
        except UNREADABLE as error:
            return f"{path}: {error}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(read, paths))
    if broken := [text for text in found if isinstance(text, str)]:
        told.problem("DICOM files that cannot be read; repair them, or move them out", broken)
    return [header for header in found if isinstance(header, _Header)]


def _header(path: str, data: Dataset) -> _Header:
    return _Header(
        path,
        str(data.get("SOPClassUID", "")),
        str(data.get("SeriesInstanceUID", "")),
        str(data.get("PatientID", "")).strip(),
        str(data.get("Modality", "")),
        str(data.get("SeriesNumber", "") or ""),
        "Rows" in data,
    )


def _cases(
    folder: Path, headers: Sequence[_Header], stored: Sequence[str], options: Options, told: Told
) -> list[_Case]:
    series: dict[str, list[_Header]] = defaultdict(list)
    masks: list[str] = [path for path in stored if _chosen(path, options)]
    other: Counter[str] = Counter()
    drawn = set()
    for header in headers:
        if header.kind in MASKS:
            if _chosen(header.path, options):
                masks.append(header.path)
                drawn.add(header.path)
        elif not header.image:
            other[header.modality or "unknown"] += 1
        elif not options.images or matches(header.path, options.images):
            series[header.series].append(header)
    if other:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(other.items()))
        told.notes.append(f"files that hold no image are left out: {kinds}")
    of = _masks_of(folder, series, masks, drawn, told)
    bare = [own[0].path for uid, own in series.items() if uid not in of]
    if bare and of:
        told.notes.append(f"{len(bare)} series have no mask and are left out: {listed(bare, 3)}")
    if not of and not told.problems:
        told.problem(
            f"{len(series)} series and no mask of any of them: a DICOM-SEG or RTSTRUCT file, or a "
            "volume file (NIfTI, NRRD, MHA) in the series' folder or beside it",
            bare,
            "--masks GLOB",
        )
    return _named({uid: series[uid] for uid in of}, of, drawn)


def _chosen(path: str, options: Options) -> bool:
    return not options.masks or any(matches(path, glob) for glob in options.masks.values())


def _masks_of(
    folder: Path,
    series: Mapping[str, Sequence[_Header]],
    masks: Sequence[str],
    drawn: set[str],
    told: Told,
) -> dict[str, str]:
    """The mask of every series: by what the mask says of itself, else by where it lies."""
    candidates: dict[str, list[str]] = defaultdict(list)
    lost: list[str] = []
    unclear: list[str] = []
    for path in masks:
        uids = _referenced(folder / path, told, path) if path in drawn else set()
        if uids is None:
            continue
        found = sorted(uids & series.keys())
        if not found and not uids:
            found = _nearest(path, series)
        if len(found) == 1:
            candidates[found[0]].append(path)
        else:
            (unclear if found else lost).append(path)
    if lost:
        told.problem("masks of series that are not here", lost, "--masks GLOB")
    if unclear:
        told.problem(
            "masks that may be of several series: each has to lie in its series' folder, or with "
            "one series in a folder",
            unclear,
            "--images GLOB or --masks GLOB",
        )
    if several := [f"{', '.join(own)}" for own in candidates.values() if len(own) > 1]:
        told.problem("several masks of one series; which?", several, "--masks GLOB")
    return {uid: own[0] for uid, own in candidates.items()}


def _referenced(file: Path, told: Told, path: str) -> set[str] | None:
    """Series that a mask says it was drawn on; None for a mask that cannot be read."""
    try:
        kind = class_of(file)
        return structures_series(file) if kind == STRUCTURES else referenced_series(file)
    except UNREADABLE as error:
        told.problem(f"the mask cannot be read: {error}", [path])
        return None


def _nearest(path: str, series: Mapping[str, Sequence[_Header]]) -> list[str]:
    """The series that lie in the nearest folder above a mask that has any."""
    for place in PurePosixPath(path).parents:
        below = [
            uid
            for uid, own in series.items()
            if any(place in PurePosixPath(header.path).parents for header in own)
        ]
        if below:
            return below
    return []


def _named(
    series: Mapping[str, Sequence[_Header]], of: Mapping[str, str], drawn: set[str]
) -> list[_Case]:
    """Cases by patient; several of one patient have the series' numbers, or are counted."""
    patients: dict[str, list[str]] = defaultdict(list)
    for uid, own in series.items():
        patients[own[0].patient or PurePosixPath(own[0].path).parts[0]].append(uid)
    cases = []
    for patient, uids in patients.items():
        numbers = [series[uid][0].number for uid in uids]
        distinct = len(set(numbers)) == len(numbers) and all(numbers)
        for count, uid in enumerate(uids, 1):
            suffix = f"-{numbers[count - 1] if distinct else count}" if len(uids) > 1 else ""
            slices = tuple(header.path for header in series[uid])
            name = re.sub(r"[^\w.-]+", "_", patient + suffix)
            cases.append(_Case(name, patient, slices, of[uid], of[uid] in drawn))
    return sorted(cases, key=lambda case: case.name)


def _check_series(folder: Path, cases: Sequence[_Case], told: Told) -> None:
    """Read where all slices lie; every series that forms no volume is named."""

    def look(case: _Case) -> str | None:
        try:
            load_series([folder / path for path in case.slices], pixels=False)
        except (Refused, *UNREADABLE) as error:
            return f"{PurePosixPath(case.slices[0]).parent}: {error}"
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        broken = [text for text in pool.map(look, cases) if text]
    if broken:
        told.problem("series that form no volume; repair them, or move them out", broken)


def _classes(folder: Path, cases: Sequence[_Case], options: Options, told: Told) -> Classes:
    drawn = [case for case in cases if case.drawn]
    if drawn and len(drawn) < len(cases):
        told.problem(
            "masks are DICOM in some cases and volume files in others; a dataset has one kind",
            [case.mask for case in min(drawn, [c for c in cases if not c.drawn], key=len)],
            "--masks GLOB",
        )
    if not drawn:
        stored = [VolumeCase(case.name, (case.slices[0],), {"": case.mask}) for case in cases]
        return choose_classes(look_at_masks(folder, stored, told), stored, options, told)
    there = {case.mask: _labels(folder, case.mask, told) for case in drawn}
    if options.classes:
        names = {label: class_name(name) for label, name in options.classes.items()}
    else:
        labels = sorted({label for own in there.values() for label in own})
        names = {label: class_name(label) for label in labels}
        shown = ", ".join(f"{label}: {name}" for label, name in names.items())
        told.guesses.append(Guess("classes", shown, "--class LABEL=NAME for those you want"))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names.values()), 1)}
    for name in numbers:
        wanted = {label for label, other in names.items() if other == name}
        lacking = [
            f"{mask}: {listed(own, 5)}" for mask, own in there.items() if not wanted & {*own}
        ]
        if lacking:
            told.problem(
                f"masks without {' or '.join(sorted(wanted))}; name every label of this class, or "
                "leave the class out",
                lacking,
                "--class LABEL=NAME for each class",
            )
    segments = {label: numbers[name] for label, name in names.items()}
    return Classes({number: name for name, number in numbers.items()}, {"segments": segments})


def _labels(folder: Path, mask: str, told: Told) -> list[str]:
    try:
        kind = class_of(folder / mask)
        names = (structure_names if kind == STRUCTURES else segment_names)(folder / mask)
    except UNREADABLE as error:
        told.problem(f"the mask cannot be read: {error}", [mask])
        return []
    return list(names.values())


def _groups(cases: Sequence[_Case], options: Options, told: Told) -> Groups:
    if options.groups is not None:
        files = [VolumeCase(case.name, case.slices[:1], {"": case.mask}) for case in cases]
        return group_cases(files, options, told)
    patients = {case.patient for case in cases}
    if len(patients) == 1 < len(cases) or "" in patients:
        told.problem(
            f"{len(cases)} series have the PatientID {', '.join(map(repr, sorted(patients)))}: "
            "anonymised? Cases of one patient must not be split across folds",
            (),
            "--groups REGEX, CSV, case or unknown",
        )
    told.notes.append("PatientID names groups and cases, in the list of files and in results")
    return Groups({case.name: case.patient for case in cases}, "PatientID", inferred=False)


def _rows(case: _Case, group: str) -> Iterable[FoundFile]:
    for path in case.slices:
        yield FoundFile(path, "image_slice", case.name, group)
    yield FoundFile(case.mask, "mask", case.name, group)
