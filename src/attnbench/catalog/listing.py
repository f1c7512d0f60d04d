"""The catalog as a list: filtered, for the terminal, for programs, and as the page of datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from typing import Any

from attnbench.addresses import without_secrets
from attnbench.catalog import (
    ENTRIES,
    ArchiveOrigin,
    EmbeddedOrigin,
    Entry,
    LocalOrigin,
    entry_files,
    load_entry,
    read_entries,
)
from attnbench.catalog.entry import LICENCE_TERMS
from attnbench.errors import CatalogError, listed, nearest

Family = tuple[Entry, ...]
"""Entries of one file: one dataset, or the same images in several sizes."""

COLUMNS = (
    "name", "ndim", "cases", "groups", "classes", "licence", "download", "fetched", "title",
)  # fmt: skip
MARKS = "groups: * inferred, not stated by the authors; ? unknown, every case counts as a unit"
MADE_FILES = "no; its reader was tested on files of the same layout that tests make"
MOST_CLASSES = 4
WIDTH = 100


@dataclass(frozen=True)
class Filters:
    """What a listed dataset has: words are sought in any part, small and capital letters alike.

    `task` is sought among classes too; `licence` is one of the terms.
    """

    modality: str | None = None
    task: str | None = None
    ndim: int | None = None
    licence: str | None = None
    name: str | None = None


def list_families(folders: tuple[Path, ...] = (), filters: Filters | None = None) -> list[Family]:
    """Return the families that pass the filters, by name.

    Args:
        folders: a user's own catalog folders.
        filters: what they have; None: all.

    Raises:
        CatalogError: an entry is wrong, or nothing is found, with the nearest word.
    """
    files = dict.fromkeys(entry_files(folders).values())
    every = sorted((read_entries(path) for path in files), key=lambda family: family[0].name)
    found = every
    for field in fields(Filters):
        word = getattr(filters, field.name) if filters else None
        if word is None:
            continue
        having = [family for family in every if _has(family, field.name, word)]
        if not having:
            raise CatalogError(_unknown(field.name, word, every))
        found = [family for family in found if family in having]
    if not found:
        raise CatalogError("no dataset has all of that; leave one filter out")
    return found


def _has(family: Family, key: str, word: str | int) -> bool:
    if key == "ndim":
        return family[0].ndim == word
    if key == "licence":
        return family[0].licence_terms == word
    return any(str(word).lower() in text.lower() for text in _texts(family, key))


def _texts(family: Family, key: str) -> tuple[str, ...]:
    first = family[0]
    match key:
        case "modality":
            return (first.modality,)
        case "task":
            named = tuple(name.replace("_", " ") for name in first.classes.values())
            return (first.task, *named, *first.classes.values())
    return tuple(entry.name for entry in family)


def _unknown(key: str, word: str | int, every: Sequence[Family]) -> str:
    if key == "licence":
        return f"--licence: found {word!r}; {nearest(str(word), LICENCE_TERMS)}"
    if key == "ndim":
        return f"--ndim: no dataset has {word} axes"
    texts = (text.lower() for family in every for text in _texts(family, key))
    words = sorted({part.strip(",()") for text in texts for part in (text, *text.split())})
    close = get_close_matches(str(word).lower(), words, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"--{key}: no dataset has {word!r} in it; {hint}`attnbench datasets` lists all"


def as_table(families: Iterable[Family]) -> str:
    """Columns for the terminal, one line per family."""
    lines = [COLUMNS, *map(_row, families)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    shown = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join([*shown, MARKS, "`attnbench datasets NAME` says everything about one."])


def as_json(families: Iterable[Family]) -> str:
    """The families for programs: a list of objects; groups are null where they are unknown."""
    return json.dumps([_object(family) for family in families], indent=2, ensure_ascii=False)


def describe_dataset(name: str, folders: tuple[Path, ...] = (), in_json: bool = False) -> str:
    """Say everything about the dataset or family of a name, or of a name as the list writes it.

    Raises:
        CatalogError: no such dataset, with the nearest name.
    """
    stem = name.partition("_{")[0]
    path = next((path for path in entry_files(folders).values() if path.stem == stem), None)
    family = read_entries(path) if path else (load_entry(name, folders),)
    if in_json:
        return json.dumps(_object(family), indent=2, ensure_ascii=False)
    lines = [f"{family_name(family)}: {family_title(family)}", ""]
    for key, texts in _facts(family):
        for number, text in enumerate(texts):
            label = "" if number else key
            rows = wrap(text, WIDTH - 16, break_long_words=False, break_on_hyphens=False)
            lines += [f"{label if not row else '':<16}{part}" for row, part in enumerate(rows)]
    return "\n".join(lines)


def family_name(family: Family) -> str:
    """The name, or `<family>_{128,256}`, which a shell expands."""
    if len(family) == 1:
        return family[0].name
    sizes = ",".join(entry.name.removeprefix(f"{entry.family}_") for entry in family)
    return f"{family[0].family}_{{{sizes}}}"


def family_title(family: Family) -> str:
    """The title, without the size where there are several."""
    return family[0].title if len(family) == 1 else family[0].title.rpartition(", ")[0]


def as_markdown() -> str:
    """The page `docs/datasets.md`, of the catalog that is shipped."""
    families = list_families()
    datasets = sum(map(len, families))
    lines = [_HEAD.format(entries=len(families), datasets=datasets, marks=MARKS)]
    lines += [f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"]
    for family in families:
        name, *cells = _row(family)
        lines.append(f"| [{name}](#{_anchor(family)}) | {' | '.join(cells)} |\n")
    for family in families:
        lines.append(f"\n## {_anchor(family)}\n\n{family_title(family)}.\n\n")
        for key, texts in _facts(family):
            lines.append(f"- {key}: {' '.join(_sentences(texts))}\n")
    return "".join(lines)


def _anchor(family: Family) -> str:
    return family[0].family or family[0].name


def _sentences(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        # In a path or formula a star multiplies; Markdown would read it as emphasis.
        escaped = text.replace("*", "\\*")
        yield escaped if len(texts) == 1 or escaped.endswith((".", ";")) else f"{escaped}."


def _row(family: Family) -> tuple[str, ...]:
    first = family[0]
    return (
        family_name(family),
        str(first.ndim),
        str(first.cases),
        _groups(first),
        listed(list(first.classes.values()), MOST_CLASSES),
        first.licence_terms,
        _download(family),
        _fetched(first).partition(";")[0],
        family_title(family),
    )


def _object(family: Family) -> dict[str, Any]:
    first = family[0]
    content = first.model_dump(mode="json", exclude={"origin", "reader", "name", "short", "title"})
    return {
        "name": family_name(family),
        "title": family_title(family),
        **content,
        "groups": first.count_groups() if first.groups_known else None,
        "sizes": [_of_size(entry) for entry in family],
    }


def _of_size(entry: Entry) -> dict[str, Any]:
    keys = {"name", "short", "title", "download_mb", "at_most_mb", "origin"}
    content = entry.model_dump(mode="json", include=keys)
    for key in {"url", "page"} & content["origin"].keys():
        content["origin"][key] = without_secrets(content["origin"][key])
    return content


def _groups(entry: Entry) -> str:
    if not entry.groups_known:
        return "?"
    return f"{entry.count_groups()}{'*' if entry.groups_inferred else ''}"


def _fetched(entry: Entry) -> str:
    if isinstance(entry.origin, EmbeddedOrigin | LocalOrigin):
        return "-; nothing is downloaded"
    return "yes; in full, file by file" if entry.fetched else MADE_FILES


def _download(family: Family) -> str:
    if isinstance(family[0].origin, EmbeddedOrigin | LocalOrigin):
        return "none"
    known = [entry.download_mb for entry in family]
    most = [entry.at_most_mb for entry in family]
    if all(known):
        return ", ".join(size_text(size) for size in known if size)
    return f"<= {', '.join(size_text(size) for size in most if size)}" if all(most) else "?"


def size_text(megabytes: float) -> str:
    """Megabytes in two digits, from a thousand on gigabytes.

    >>> size_text(1049.2), size_text(65.6), size_text(0.4)
    ('1 GB', '66 MB', '0.4 MB')
    """
    if megabytes >= 1000:
        return f"{megabytes / 1000:.2g} GB"
    return f"{megabytes:.0f} MB" if megabytes >= 10 else f"{megabytes:.2g} MB"


def _facts(family: Family) -> Iterator[tuple[str, Sequence[str]]]:
    """Every fact with its words, for terminal and page alike."""
    first = family[0]
    yield "task", (first.task,)
    yield "modality", (f"{first.modality}, {first.ndim}-D, channels: {first.channels}",)
    yield "classes", (", ".join(f"{value} {name}" for value, name in first.classes.items()),)
    yield "cases", (str(first.cases),)
    yield "groups", (_groups_in_words(first),)
    spacing = " x ".join(f"{side:g}" for side in first.spacing or ())
    sides = spacing or "of every case its own, or unknown"
    yield "spacing", (f"{sides} ({first.spacing_unit})",)
    yield "axes", (", ".join(first.axes),)
    mirrored = ", ".join(first.axes[axis] for axis in first.mirror.axes) or "none"
    yield "mirrored along", (f"{mirrored}: {first.mirror.reason}",)
    yield "normalised", (first.normalisation,)
    yield "licence", (_licence_in_words(first),)
    yield "citation", (first.citation,)
    yield "origin", tuple(_origins(family))
    yield "download", (_download(family),)
    yield "fetched by us", (_fetched(first),)
    yield "reader", (first.reader.name,)
    if shared := sorted({*first.shares_images}):
        yield "same images in", (", ".join(shared),)
    if first.traps:
        yield "traps", first.traps


def _groups_in_words(entry: Entry) -> str:
    if not entry.groups_known:
        return "unknown; every case counts as a unit"
    inferred = ", inferred, not stated by the authors" if entry.groups_inferred else ""
    return f"{entry.count_groups()}{inferred}"


def _licence_in_words(entry: Entry) -> str:
    if entry.licence_terms == "open":
        return entry.licence
    name = entry.family or entry.name
    terms = entry.licence_terms.replace("_", "-")
    return f"{terms}, to be accepted by name (accept_licences: [{name}]): {entry.licence}"


def _origins(family: Family) -> Iterator[str]:
    for entry in family:
        match entry.origin:
            case EmbeddedOrigin():
                yield "generated by this package"
            case LocalOrigin():
                shipped = entry.origin.folder.is_relative_to(ENTRIES)
                yield "shipped with this package" if shipped else str(entry.origin.folder)
            case ArchiveOrigin():
                yield f"{without_secrets(entry.origin.url)} (MD5 {entry.origin.md5})"
            case _:
                yield without_secrets(entry.origin.url)


_HEAD = """# Datasets

Written by `make docs` from the catalog: {entries} entries, {datasets} datasets; an entry in several
sizes is a dataset per size, as `medseg_kvasir_256`. `attnbench datasets --modality ultrasound`
filters, `attnbench datasets NAME` says of one all that stands here. Your own images:
[your-data.md](your-data.md).

- {marks}
- licence: what is not `open` is non-commercial, or nobody says what it allows; it has to be
  accepted by name before a download (`accept_licences: [medseg_kvasir]` in the study)
- download: `<=` where only the size of the arrays without compression is known
- fetched: whether this project has fetched and read the set in full; where not, its reader was
  tested on files of the same layout that tests make, and what is wrong in the real files is said
  when they are prepared
- a folder that has the files already, as `~/.medsegbench`, is named in the study by
  `data: {{mirrors: {{medseg_kvasir: ~/.medsegbench}}}}`; what lies there is verified the same

"""
