"""BibTeX of the datasets and mechanisms that a study used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.catalog import load_entry
from attnbench.files import read_json

if TYPE_CHECKING:
    from attnbench.study import Study

_SPECIAL, _ESCAPED = re.compile(r"([&%#_$])"), r"\\\1"


@dataclass(frozen=True)
class Reference:
    """What stands for `word`, a dataset or a mechanism: its BibTeX entries and their keys."""

    word: str
    keys: tuple[str, ...]
    bibtex: str


def references(study: Study) -> list[Reference]:
    """One reference per dataset, then one per mechanism of the models that have been described; some share an entry."""
    mechanisms = {entry.word: entry for entry in _mechanisms(study)}
    return [*(_dataset(part.name) for part in study.datasets), *mechanisms.values()]


def _dataset(name: str) -> Reference:
    entry = load_entry(name)
    text = entry.bibtex or _misc(f"{name}_dataset", title=entry.title, note=entry.citation)
    return Reference(name, tuple(re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", text, re.MULTILINE)), text)


def _mechanisms(study: Study) -> Iterator[Reference]:
    for dataset in study.datasets:
        for model in study.models:
            path = study.layout.model(dataset.name, model.name)
            if path.is_file():
                yield from (_paper(paper) for paper in read_json(path).get("papers", []))


def _paper(paper: dict[str, Any]) -> Reference:
    names = [name.strip() for name in paper["authors"].replace(" et al.", ", others").split(",")]
    words = re.findall(r"[a-z0-9]{3,}", f"{names[0]} {paper['year']} {paper['title']}".lower())
    key = "".join(words[:3])
    text = _misc(
        key,
        author=" and ".join(names),
        title=f"{{{paper['title']}}}",
        year=str(paper["year"]),
        howpublished=paper["source"],
    )
    return Reference(paper["mechanism"], (key,), text)


def _misc(key: str, **fields: str) -> str:
    lines = [f"  {name} = {{{_SPECIAL.sub(_ESCAPED, value)}}}" for name, value in fields.items()]
    return "\n".join([f"@misc{{{key},", ",\n".join(lines), "}"])
