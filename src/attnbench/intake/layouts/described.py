"""`dataset.json` as nnU-Net and the Medical Segmentation Decathlon write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnbench.intake.found import Normalisation
from attnbench.intake.volume_cases import Told

FILE = "dataset.json"


def read_description(folder: Path) -> dict[str, Any] | str | None:
    """The content; what is wrong with it, in words; None where there is no such file."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        return f"{FILE} cannot be read: {error}"
    return content if isinstance(content, dict) else f"{FILE} is no object of keys and values"


def declared_classes(content: Mapping[str, Any], told: Told) -> dict[float, str] | None:
    """Name by value, without the background; None where `labels` says nothing.

    nnU-Net 2 writes `{"liver": 1}`, the Decathlon and nnU-Net 1 write `{"1": "liver"}`. Regions,
    where a voxel has several classes, and nnU-Net's `ignore` are problems.
    """
    labels = content.get("labels")
    if not isinstance(labels, dict) or not labels:
        told.problem(f"{FILE} has no `labels`: no name of a class", [FILE])
        return None
    classes: dict[float, str] = {}
    for key, value in labels.items():
        number, name = (key, value) if isinstance(value, str) else (value, key)
        if isinstance(number, list):
            told.problem(
                f"{FILE}: {name!r} is a region of the values {number}; voxels would have several "
                "classes at once, a case here has one class per voxel: declare the values "
                "themselves",
                [FILE],
                "--class VALUE=NAME for each value",
            )
            continue
        if str(name).lower() == "ignore":
            told.problem(
                f"{FILE}: the label `ignore` ({number}) marks voxels that nobody annotated; "
                "cases that are annotated in part cannot be scored: leave them out",
                [FILE],
            )
            continue
        try:
            classes[float(number)] = str(name)
        except (TypeError, ValueError):
            told.problem(f"{FILE}: label {key!r}: {value!r} is no number and name", [FILE])
    return {value: name for value, name in classes.items() if value != 0}


def declared_channels(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the channels in their order; none where nothing is said."""
    names = content.get("channel_names") or content.get("modality")
    if not isinstance(names, dict):
        return ()
    try:
        ordered = sorted(names, key=int)
    except ValueError:
        ordered = list(names)
    return tuple(str(names[key]) for key in ordered)


def modality_of(channels: tuple[str, ...], told: Told) -> tuple[str, Normalisation]:
    """The modality in words, and how its intensities are normalised: `ct` for CT alone."""
    known = [name for name in channels if name.lower() not in ("image", "")]
    words = ", ".join(dict.fromkeys(known))
    tomography = [name for name in channels if name.upper() == "CT"]
    if tomography and len(tomography) < len(channels):
        told.notes.append(f"channels of CT and others are mixed ({words}); none is read as CT")
    return words, "ct" if tomography and len(tomography) == len(channels) else "z_score"
