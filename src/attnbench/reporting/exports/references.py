"""BibTeX of the datasets, the U-Net, the mechanisms and the external networks of a study."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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

_PAPER = ("mechanism", "authors", "year", "title", "source")
# Authors, year, title and source of external networks, and of the packages that they are from.
_EXTERNAL = {
    "monai": (
        "Cardoso et al.", 2022, "MONAI: An Open-Source Framework for Deep Learning in Healthcare",
        "arXiv:2211.02701",
    ),
    "monai.networks.nets.AttentionUnet": (
        "Oktay et al.", 2018, "Attention U-Net: Learning Where to Look for the Pancreas",
        "arXiv:1804.03999",
    ),
    "monai.networks.nets.BasicUNet": (
        "Falk et al.", 2019, "U-Net: Deep Learning for Cell Counting, Detection, and Morphometry",
        "Nature Methods 16:67-70",
    ),
    "monai.networks.nets.DynUNet": (
        "Isensee et al.", 2021, "nnU-Net: A Self-Configuring Method for Deep Learning-Based "
        "Biomedical Image Segmentation", "Nature Methods 18:203-211",
    ),
    "monai.networks.nets.SegResNet": (
        "Myronenko", 2018, "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization",
        "BrainLes, MICCAI 2018, arXiv:1810.11654",
    ),
    "monai.networks.nets.SwinUNETR": (
        "Hatamizadeh et al.", 2022, "Swin UNETR: Swin Transformers for Semantic Segmentation of "
        "Brain Tumors in MRI Images", "BrainLes, MICCAI 2021, arXiv:2201.01266",
    ),
    "monai.networks.nets.UNETR": (
        "Hatamizadeh et al.", 2022, "UNETR: Transformers for 3D Medical Image Segmentation",
        "WACV 2022, arXiv:2103.10504",
    ),
    "segmentation_models_pytorch": (
        "Iakubovskii", 2019, "Segmentation Models PyTorch",
        "github.com/qubvel-org/segmentation_models.pytorch",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """BibTeX entries, and their keys, of the dataset, U-Net, mechanism or network called `name`.

    An external network is called by its dotted path.
    """

    name: str
    keys: tuple[str, ...]
    bibtex: str


def collect_references(study: Study) -> list[Reference]:
    """Return the references of datasets, U-Net, mechanisms and external networks, in this order.

    Some share an entry. Mechanisms are those of the models that have been described (`models/`);
    external networks are cited together with their package, where either is known.
    """
    mechanisms = {reference.name: reference for reference in _mechanisms(study)}
    ndims = sorted({load_entry(dataset.name, study.catalog).ndim for dataset in study.datasets})
    unet = Reference(UNET, *_keys_and_text("\n\n".join(_UNETS[ndim] for ndim in ndims)))
    return [
        *(_dataset(study, dataset.name) for dataset in study.datasets),
        unet,
        *mechanisms.values(),
        *_networks(study),
    ]


def bibliography(references: Sequence[Reference]) -> str:
    """Return the text of `references.bib`: what several references share stands there once."""
    entries = (
        entry.strip()
        for reference in references
        for entry in re.split(r"^(?=@)", reference.bibtex, flags=re.MULTILINE)
    )
    return "\n\n".join(dict.fromkeys(filter(None, entries))) + "\n"


def uncited_networks(study: Study) -> list[str]:
    """Return the paths of the external networks whose paper is not known here."""
    paths = dict.fromkeys(model.network for model in study.models if model.network)
    return [path for path in paths if path not in _EXTERNAL]


def _networks(study: Study) -> Iterator[Reference]:
    for path in dict.fromkeys(model.network for model in study.models if model.network):
        for source in (path, path.partition(".")[0]):
            if source in _EXTERNAL:
                facts = dict(zip(_PAPER, (path, *_EXTERNAL[source]), strict=True))
                yield _paper(facts)


def _keys_and_text(bibtex: str) -> tuple[tuple[str, ...], str]:
    return tuple(re.findall(r"^@\w+\{\s*([^,\s]+)\s*,", bibtex, re.MULTILINE)), bibtex


def _dataset(study: Study, name: str) -> Reference:
    entry = load_entry(name, study.catalog)
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
