"""A study joined with what exists: catalog, mechanisms, metrics; without torch and medpy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnbench.catalog import Entry, catalog_names, entry_files, load_entry, share_images
from attnbench.errors import CatalogError, StudyError, nearest
from attnbench.models.names import known_models
from attnbench.scoring.definitions import METRICS
from attnbench.study.names import DatasetFacts, Known
from attnbench.study.settings import Study, parse_study, read_yaml

LEAST_RATE_STEPS = 1.5
"""Learning rate times steps of AdamW below which every set was left far behind."""


def check_study(content: Any, source: str = "study") -> Study:
    """The study in `content`, checked, its models and mirror axes resolved; raises `StudyError`."""
    try:
        known = _known(content)
    except CatalogError as error:
        raise StudyError(f"{source}: {error}") from error
    study = parse_study(content, known, source)
    problems = [*_unknown_names(study), *_not_accepted(study), *_tested_on_their_own(study)]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise StudyError(f"{source}: {len(problems)} problem(s)\n{lines}")
    return _with_mirror_axes(study)


def load_study(path: Path) -> Study:
    """The study in a YAML file, checked; raises `StudyError` with every problem found."""
    return check_study(read_yaml(path), str(path))


def warnings_of(study: Study) -> list[str]:
    """Lines on what a checked study may do, but against the catalog or what was measured."""
    return [
        *_against_the_catalog(study),
        *_same_images(study),
        *_mirrored_by_nothing(study),
        *_too_short(study),
    ]


def _unknown_names(study: Study) -> Iterator[str]:
    """Yield datasets that keys name and that the catalog does not have."""
    files = entry_files(study.catalog)
    known = {*files, *(path.stem for path in files.values())}
    for key, names in (
        ("accept_licences", study.accept_licences),
        ("data.mirrors", study.data.mirrors),
    ):
        for name in names:
            if name not in known:
                yield f"{key}: no such dataset; {nearest(name, known)}, found {name!r}"


def _not_accepted(study: Study) -> Iterator[str]:
    """Yield datasets whose licence has to be accepted by name, with its text."""
    asked = {}
    for entry in _entries(study):
        family = entry.family or entry.name
        if entry.licence_terms != "open" and not {entry.name, family} & {*study.accept_licences}:
            asked[family] = entry
    names = ", ".join([*study.accept_licences, *asked])
    for family, entry in asked.items():
        yield (
            f"datasets: the licence of {family} is {_TERMS[entry.licence_terms]}. It says: "
            f"{entry.licence} If you may use these images under it, say so in the study: "
            f"`accept_licences: [{names}]`"
        )


_TERMS = {
    "non_commercial": "for non-commercial use only",
    "unclear": "unclear: what it allows is not said",
}


def _tested_on_their_own(study: Study) -> Iterator[str]:
    """Yield transfers between datasets with the same images, which test what was trained on."""
    for number, transfer in enumerate(study.transfer):
        pair = (load_entry(name, study.catalog) for name in (transfer.train, transfer.test))
        if share_images(*pair):
            yield (
                f"transfer[{number}]: {transfer.train} and {transfer.test} have images in common; "
                "an external test set has none that a model was trained on"
            )


def _same_images(study: Study) -> Iterator[str]:
    for one, other in itertools.combinations(_entries(study), 2):
        if share_images(one, other):
            yield (
                f"{one.name} and {other.name} have images in common: results on them are no two "
                "independent results"
            )


def _entries(study: Study) -> list[Entry]:
    return [load_entry(dataset.name, study.catalog) for dataset in study.datasets]


def _against_the_catalog(study: Study) -> Iterator[str]:
    for entry in _entries(study):
        of_models = (
            study.mirror_axes(entry.name, entry.ndim, model.name) for model in study.models
        )
        axes = set().union(*of_models) - set(entry.mirror.axes)
        if axes:
            named = ", ".join(f"{entry.axes[axis]} (axis {axis})" for axis in sorted(axes))
            yield (
                f"{entry.name} is mirrored along {named}, which the catalog advises against: "
                f"{entry.mirror.reason}"
            )


def _too_short(study: Study) -> Iterator[str]:
    """Yield budgets of AdamW by whose rate no set was learned in the experiment."""
    found: dict[tuple[str, tuple[float, ...], int], list[str]] = {}
    for dataset, model in itertools.product(study.datasets, study.models):
        training = study.training_of(dataset.name, model.name)
        rates = (training.sweep or {}).get("learning_rate", (training.learning_rate,))
        small = tuple(rate for rate in rates if rate * training.steps < LEAST_RATE_STEPS)
        if training.optimiser == "adamw" and small:
            found.setdefault((dataset.name, small, training.steps), []).append(model.name)
    for (dataset_name, small, steps), models in found.items():
        of = "" if len(models) == len(study.models) else f" of {', '.join(models)}"
        named = " and ".join(f"{rate:g}" for rate in small)
        enough = math.ceil(LEAST_RATE_STEPS / max(small))
        yield (
            f"{dataset_name}: {steps} steps{of} are few for a learning rate of {named}: models "
            f"will hardly be trained by it; {max(small):g} takes {enough} steps or more "
            "(docs/decisions/default-recipe.md)"
        )


def _mirrored_by_nothing(study: Study) -> Iterator[str]:
    """Yield datasets that are to be mirrored at test time and have no axis for it."""
    for dataset in study.datasets if study.inference.mirroring else ():
        if not any(
            study.mirror_axes(dataset.name, _ndim(study, dataset.name), model.name)
            for model in study.models
        ):
            yield (
                f"{dataset.name}: `inference.mirroring` averages over the axes that patches are "
                "mirrored along in training, and there is none"
            )


def _with_mirror_axes(study: Study) -> Study:
    """Write into every dataset which axes it is mirrored along: so they are part of its recipe."""
    augmentation = study.training.augmentation
    datasets = []
    for dataset in study.datasets:
        entry = load_entry(dataset.name, study.catalog)
        unsaid = dataset.mirror_axes is None and augmentation.flip is None
        axes = entry.mirror.axes if unsaid else study.mirror_axes(entry.name, entry.ndim)
        datasets.append(dataset.model_copy(update={"mirror_axes": axes}))
    # Said once: a recipe with `flip` beside the axes would differ where the training does not.
    augmentation = augmentation.model_copy(update={"flip": None})
    training = study.training.model_copy(update={"augmentation": augmentation})
    return study.model_copy(update={"datasets": tuple(datasets), "training": training})


def _known(content: Any) -> Known:
    """All names; facts of the datasets that the study uses."""
    used = content.get("datasets") if isinstance(content, Mapping) else None
    names = {
        str(item.get("name") if isinstance(item, Mapping) else item)
        for item in (used if isinstance(used, list | tuple) else ())
    }
    folders = _folders(content)
    # Only entries in use are read; of the others the names are enough to suggest them.
    datasets = {
        name: _facts(name, folders) if name in names else DatasetFacts(0, 0)
        for name in catalog_names(folders)
    }
    return replace(known_models(), datasets=datasets, metrics=tuple(METRICS))


def _folders(content: Any) -> tuple[Path, ...]:
    """The study's own catalog folders; what is no list of paths is refused with the other keys."""
    given = content.get("catalog") if isinstance(content, Mapping) else None
    paths = given if isinstance(given, list | tuple) else ()
    return tuple(Path(path) for path in paths if isinstance(path, str | Path))


def _ndim(study: Study, dataset: str) -> int:
    return load_entry(dataset, study.catalog).ndim


def _facts(dataset: str, folders: tuple[Path, ...]) -> DatasetFacts:
    entry = load_entry(dataset, folders)
    return DatasetFacts(entry.ndim, entry.count_groups(), entry.channels, entry.classes)
