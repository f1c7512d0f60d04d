"""Words for a reader: labels of models, datasets and measures, and units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.catalog import catalog_names, load_entry
from attnbench.models.names import short_name
from attnbench.study.base import is_own_code

if TYPE_CHECKING:
    from attnbench.study.models import ModelSettings

ELSEWHERE = "§"
"""Stands behind the label of every model whose predictions were made elsewhere."""

_UNITS = {"um": "µm", "1": "", "count": ""}
_MEASURES = {
    "blur": "Boundary blur",
    "contrast_to_noise": "Contrast to noise",
    "size": "Size of the classes",
}


def display_name(name: str) -> str:
    """Return a name that has no label of its own as words.

    >>> display_name("bias_field")
    'Bias field'
    """
    return name.replace("_", " ").capitalize()


def mechanism_label(name: str) -> str:
    """Return what a reader sees for a mechanism, or for a model called by its name."""
    return short_name(name) or display_name(name)


def mechanism_labels(names: Iterable[str]) -> dict[str, str]:
    """Return the label of each mechanism; own code that shares one has its reference behind it."""
    labels = {name: mechanism_label(name) for name in names}
    shared = Counter(labels.values())
    return {
        name: f"{label} ({name})" if shared[label] > 1 and is_own_code(name) else label
        for name, label in labels.items()
    }


def model_label(settings: ModelSettings) -> str:
    """Return what a reader sees for a model; a control stands behind its variant.

    Predictions made elsewhere are marked.

    >>> from attnbench.study.models import ModelSettings
    >>> [model_label(ModelSettings(name=name)) for name in ("cbam", "cbam-random")]
    ['CBAM', 'CBAM (random)']
    """
    if settings.control_of:
        return f"{mechanism_label(settings.control_of)} ({settings.control})"
    return mechanism_label(settings.name) + (ELSEWHERE if settings.predictions else "")


def whole_networks(models: Iterable[ModelSettings]) -> list[str]:
    """What a difference of the external networks among some models says; empty without any.

    >>> from attnbench.study.models import ModelSettings
    >>> whole_networks([ModelSettings(name="unet")])
    []
    """
    labels = [model_label(model) for model in models if model.is_external]
    if not labels:
        return []
    one = len(labels) == 1
    return [
        f"{', '.join(labels)}: {'an external network' if one else 'external networks'}, so that a "
        f"difference is one of whole networks, never of attention alone; controls of "
        f"{'its' if one else 'their'} size are plain U-Nets and rule out size, nothing else"
    ]


def dataset_label(name: str, folders: tuple[Path, ...] = ()) -> str:
    """Return what a reader sees for a dataset, one that catalog and `folders` lack included."""
    if name not in catalog_names(folders):
        return display_name(name)
    return load_entry(name, folders).short


def display_measure(measure: str, known: bool) -> str:
    """Return a measure of difficulty as it is printed.

    `known`: it is a phantom's truth, not measured on the image.

    >>> display_measure("clutter", known=True), display_measure("size", known=False)
    ('Clutter (known)', 'Size of the classes')
    """
    label = _MEASURES.get(measure) or display_name(measure)
    return f"{label} (known)" if known else label


def display_unit(unit: str) -> str:
    """Return a unit as it is printed; empty for plain numbers and counts."""
    return _UNITS.get(unit, unit)
