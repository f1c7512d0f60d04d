"""The entry of a user's dataset: what it says, and its small YAML file with a comment per line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.intake.found import Found, Normalisation

NOT_STATED = "not stated"
NO_MIRROR = (
    "Nobody said along which axes mirrored images occur, so none is mirrored; change it where no "
    "direction is special, as under a microscope."
)
SAID_MIRROR = "Said when the dataset was added."


@dataclass(frozen=True)
class Statements:
    """What nobody can find out from files; None: not stated."""

    title: str | None = None
    task: str | None = None
    modality: str | None = None
    licence: str | None = None
    citation: str | None = None
    mirror_axes: tuple[int, ...] | None = None
    normalisation: Normalisation | None = None


def entry_content(
    name: str, found: Found, said: Statements, folder: Path, cases: int, groups: int | None
) -> dict[str, Any]:
    """Content of the entry's YAML.

    Args:
        name: the dataset's.
        found: what was recognised.
        said: what the user stated.
        folder: of the files, as the YAML names it.
        cases: how many there are.
        groups: how many there are; None: unknown.
    """
    return {
        "name": name,
        "short": name,
        "title": said.title or name,
        "task": said.task or NOT_STATED,
        "modality": said.modality or found.modality or NOT_STATED,
        "ndim": found.ndim,
        "channels": found.channels,
        "classes": dict(found.classes),
        "spacing": list(found.spacing) if found.spacing else None,
        "spacing_unit": found.spacing_unit,
        "axes": list(found.axes),
        "mirror": {
            "axes": list(said.mirror_axes or ()),
            "reason": NO_MIRROR if said.mirror_axes is None else SAID_MIRROR,
        },
        "normalisation": said.normalisation or found.normalisation,
        "cases": cases,
        "groups": "unknown" if groups is None else groups,
        "groups_inferred": found.groups_inferred,
        "licence": said.licence or NOT_STATED,
        "citation": said.citation or NOT_STATED,
        "origin": {"kind": "local", "folder": folder.as_posix()},
        "reader": found.reader.model_dump(exclude_none=True),
    }


_WORDS_OF_YAML = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
_COMMENTS = {
    "short": "what tables and figures call it",
    "title": "what the report calls it",
    "task": "what is segmented in what, for the report",
    "channels": "of every image; --channels",
    "classes": "by number; rename them, but never a number; --class VALUE=NAME",
    "spacing": "of every case, in the order of `axes`; null: as each file says, or unknown; "
    "--spacing",
    "spacing_unit": "mm, um, or px where the size is unknown; --unit",
    "axes": "what each axis of an array is, in its order",
    "mirror": "axes along which training mirrors images, from 0, and why these; --mirror-axes",
    "normalisation": "ct, z_score, percentile or none; --normalisation",
    "cases": "as many as the list of files has",
    "groups": "patients, animals, slides: never split across folds; `unknown`: nobody knows; "
    "--groups",
    "groups_inferred": "true: guessed from names, not stated",
    "licence": "shown with every result",
    "citation": "shown with every result",
    "origin": "where the files lie, from this file; nothing is copied",
    "reader": "how files become cases; it follows from the other flags",
}


def entry_text(content: Mapping[str, Any], typed: str) -> str:
    """The entry as YAML with comments; `typed` is the command that wrote it.

    Values are written as JSON, which is YAML whatever characters a name or folder has.
    """
    lines = [
        "# A dataset of your own, for a study with `catalog: [<this folder>]`. Written by",
        f"#   {typed}",
        "# and yours to change: a study reads it anew. What says a flag needs the command again,",
        "# with that flag and --replace.",
    ]
    for key, value in content.items():
        if value is None and key != "spacing":
            continue
        comment = _COMMENTS.get(key)
        lines += [f"# {comment}"] if comment else []
        lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def folder_from(catalog: Path, folder: Path) -> Path:
    """The data's folder as an entry in `catalog` names it: relative where the two lie together.

    Beside or below the catalog's parent the path is relative, so that both may be moved; a folder
    elsewhere is named in full.
    """
    home = catalog.resolve()
    target = folder.resolve()
    if target.is_relative_to(home.parent):
        return Path(os.path.relpath(target, home))
    return target


def _flow(value: Any) -> str:
    """Flow style: mappings may have whole numbers as keys, which JSON has not."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)}: {_flow(item)}" for key, item in value.items())
        return f"{{{inside}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_flow, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: Any) -> str:
    plain = isinstance(key, int) or (key.isidentifier() and key.lower() not in _WORDS_OF_YAML)
    return str(key) if plain else json.dumps(key, ensure_ascii=False)
