"""What has to be said beside every result about how datasets are split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.catalog import load_entry

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.groups import DatasetSettings
    from attnbench.study.settings import Study
    from attnbench.study.split import Split

DRAWN = "cross-validation, folds drawn by group"


def split_notes(results: Results) -> list[str]:
    """Return sentences on splits that are not drawn by group, and what cannot be said for them.

    Empty where every dataset is cross-validated by groups that are known.
    """
    study = results.study
    notes = [
        f"{results.dataset_label(dataset.name)}: {text}"
        for dataset in study.datasets
        for text in dataset_notes(results, dataset)
    ]
    if notes:
        plain = [
            results.dataset_label(dataset.name)
            for dataset in study.trained_datasets
            if dataset.split is None and not any(dataset_notes(results, dataset))
        ]
        notes += [f"{', '.join(plain)}: {DRAWN}."] if plain else []
    return notes


def split_in_words(dataset: DatasetSettings, split: Split) -> str:
    """Return how a dataset is split, in a few words."""
    if split.kind == "official":
        words = "official split of its authors, one fixed split"
    elif split.kind == "leave_one_group_out":
        words = f"leave-one-group-out, {split.outer} folds"
    elif isinstance(dataset.split, Path):
        folds = "one fixed split" if split.fixed else f"{split.outer} folds"
        words = f"{folds} as given in {dataset.split.name}"
    else:
        words = DRAWN
    if dataset.stratify:
        words += f", balanced by the label {dataset.stratify}"
    return words


def splits_of(study: Study) -> Iterator[str]:
    """Yield a line per dataset: what it has, and how it is split, before anything is run."""
    for dataset in study.datasets:
        entry = load_entry(dataset.name, study.catalog)
        units = f"{entry.groups} groups" if entry.groups_known else "groups unknown, each a unit"
        if dataset.test_only:
            words = "external test set only"
        else:
            split = study.split_of(dataset.name)
            words = split_in_words(dataset, split)
            if split.kind == "cross_validation":
                repeats = f" x {split.repeats} repeats" if split.repeats > 1 else ""
                words += f": {split.outer} folds{repeats}"
        if dataset.held_out is not None:
            words += f"; beside them {_held_out(dataset)}"
        yield f"  {dataset.name}: {entry.cases} cases, {units}; {words}"


def dataset_notes(results: Results, dataset: DatasetSettings) -> Iterator[str]:
    """Yield sentences on one dataset; none where it is cross-validated by known groups."""
    if dataset.test_only:
        yield "external test set only; no model was trained on it."
    else:
        yield from _of_split(results, dataset)
    if not load_entry(dataset.name, results.study.catalog).groups_known:
        yield (
            "groups are unknown, so that each image counts as a unit; whether images are "
            "independent of each other was not checked."
        )


def _of_split(results: Results, dataset: DatasetSettings) -> Iterator[str]:
    split = results.study.split_of(dataset.name)
    if split.fixed:
        yield (
            f"{split_in_words(dataset, split)}. That is one training set, so nothing is claimed of "
            "models trained on others."
        )
    elif split.kind != "cross_validation" or dataset.stratify:
        yield f"{split_in_words(dataset, split)}."
    if dataset.held_out is not None:
        yield f"beside its folds {_held_out(dataset)}, whose groups are in no fold."
    if split.crossing:
        yield (
            "groups cross the split, which the study accepts: cases of one group are trained on "
            "and tested, scores are too high by an unknown amount, and no verdict is given."
        )


def _held_out(dataset: DatasetSettings) -> str:
    if isinstance(dataset.held_out, float):
        return f"{100 * dataset.held_out:.12g} % of the groups are held out"
    if dataset.held_out == "official":
        return "the official test part is held out"
    return f"the cases of {Path(str(dataset.held_out)).name} are held out"
