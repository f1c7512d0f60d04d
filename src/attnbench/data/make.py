"""All that a training reads of a dataset, made outside the workflow, step by step as it does."""

from __future__ import annotations

from attnbench.catalog import load_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.folds import write_folds
from attnbench.data.intensities import write_statistics
from attnbench.data.prepare import prepare_dataset
from attnbench.data.scan.inspect import inspect_dataset
from attnbench.data.scan.merge import merged_groups
from attnbench.data.sealed import (
    refuse_changed_pairs,
    seal_folds,
    seal_inspection,
    seal_prepared,
)
from attnbench.locks import exclusive
from attnbench.study.paths import Layout
from attnbench.study.settings import Study


def make_data(study: Study, dataset: str, again: bool = False) -> None:
    """Make originals, prepared cases and folds of a dataset as far as they are not there yet.

    In this process alone: several would start a user's script anew. Who works in the output
    folder meanwhile, such as Snakemake, is waited for.

    Args:
        study: it has the output folder and how the data are prepared and split.
        dataset: one of the study's.
        again: prepared cases and folds are made even if they are there.

    Raises:
        FetchError: originals are not to be had.
        DataError: the data break their contract.
    """
    if again or not _is_made(study.layout, dataset):
        with exclusive(study.layout.lock, f"make the data of {dataset}"):
            _make(study, dataset, again)


def _is_made(layout: Layout, dataset: str) -> bool:
    files = (
        layout.prepared(dataset) / "dataset.json",
        layout.folds(dataset),
        layout.statistics(dataset),
    )
    return all(path.is_file() for path in files)


def _make(study: Study, dataset: str, again: bool) -> None:
    layout, settings = study.layout, study.dataset(dataset)
    entry = load_entry(dataset, study.catalog)
    raw, prepared, folds = layout.raw(dataset), layout.prepared(dataset), layout.folds(dataset)
    if again or not (prepared / "dataset.json").is_file():
        if not (raw / "receipt.json").is_file():
            data = study.data
            fetch_dataset(entry, raw, data.mirror, data.offline, data.mirrors)
        inspected = None if entry.generated else layout.inspected(dataset)
        if inspected and not (inspected / "pairs.csv").is_file():
            inspect_dataset(entry, raw, inspected, 1, study.compute.memory_mb)
            seal_inspection(layout, dataset)
        refuse_changed_pairs(layout, dataset, settings.duplicates, inspected)
        merged = merged_groups(dataset, settings.duplicates, inspected)
        prepare_dataset(entry, settings, raw, prepared, 1, study.compute.memory_mb, merged=merged)
        seal_prepared(layout, dataset)
    if again or not folds.is_file() or not layout.statistics(dataset).is_file():
        write_folds(prepared, study.folds, folds, settings, study.split_of(dataset).count)
        write_statistics(prepared, folds, study.normalisation(dataset), layout.statistics(dataset))
        seal_folds(layout, dataset)
