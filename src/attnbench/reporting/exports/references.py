"""BibTeX of the datasets, the U-Net and the mechanisms that a study used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.catalog import load_entry
from attnbench.files import read_json
from attnbench.models.authors import split_name

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_SPECIAL, _ESCAPED = re.compile(r"([&%#_$])"), r"\\\1"


UNET = "unet"
_UNETS = {
    2: """@inproceedings{ronneberger2015unet,
  author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  series = {LNCS},
  volume = {9351},
  pages = {234--241},
  year = {2015},
  doi = {10.1007/978-3-319-24574-4_28}
}""",
    3: """@inproceedings{cicek2016unet,
  author = {{\\c{C}}i{\\c{c}}ek, {\\"O}zg{\\"u}n and Abdulkadir, Ahmed and Lienkamp, Soeren S. \
and Brox, Thomas and
    Ronneberger, Olaf},
  title = {{3D} {U-Net}: Learning Dense Volumetric Segmentation from Sparse Annotation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  series = {LNCS},
  volume = {9901},
  pages = {424--432},
  year = {2016},
  doi = {10.1007/978-3-319-46723-8_49}
}""",
}


@dataclass(frozen=True)
class Reference:
    """BibTeX entries, and their keys, of the dataset, U-Net or mechanism called `name`."""

    name: str
    keys: tuple[str, ...]
    bibtex: str


def collect_references(study: Study) -> list[Reference]:
    """Return the references of datasets, U-Net and mechanisms, in this order; some share an entry.

    Mechanisms are those of the models that have been described (`models/`).
    """
    mechanisms = {reference.name: reference for reference in _mechanisms(study)}
    ndims = sorted({load_entry(dataset.name).ndim for dataset in study.datasets})
    unet = Reference(UNET, *_keys_and_text("\n\n".join(_UNETS[ndim] for ndim in ndims)))
    return [*(_dataset(dataset.name) for dataset in study.datasets), unet, *mechanisms.values()]


def _keys_and_text(bibtex: str) -> tuple[tuple[str, ...], str]:
    return tuple(re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", bibtex, re.MULTILINE)), bibtex


def _dataset(name: str) -> Reference:
    entry = load_entry(name)
    text = entry.bibtex or _misc(f"{name}_dataset", title=entry.title, note=entry.citation)
    return Reference(name, *_keys_and_text(text))


def _mechanisms(study: Study) -> Iterator[Reference]:
    for dataset in study.datasets:
        for model in study.models:
            path = study.layout.model(dataset.name, model.name)
            if path.is_file():
                yield from (_paper(paper) for paper in read_json(path).get("papers", []))


def _paper(paper: dict[str, Any]) -> Reference:
    # BibTeX's word for "et al." is an author called "others".
    authors = paper["authors"].replace(" et al.", ", others").split(", ")
    names = [split_name(author) for author in authors]
    family = re.sub(r"[^a-z0-9]", "", names[0][0].lower())
    words = re.findall(r"[a-z0-9]{3,}", paper["title"].lower())
    key = f"{family}{paper['year']}{words[0]}"
    text = _misc(
        key,
        author=" and ".join(", ".join(filter(None, name)) for name in names),
        title=f"{{{paper['title']}}}",
        year=str(paper["year"]),
        howpublished=paper["source"],
    )
    return Reference(paper["mechanism"], (key,), text)


def _misc(key: str, **fields: str) -> str:
    lines = [f"  {name} = {{{_SPECIAL.sub(_ESCAPED, value)}}}" for name, value in fields.items()]
    return "\n".join([f"@misc{{{key},", ",\n".join(lines), "}"])
