"""Seals of the jobs that make data, and a study's case store with its arrays checked."""

from __future__ import annotations

from pathlib import Path

from attnbench.data.store import CaseStore
from attnbench.errors import SealError
from attnbench.files import read_json
from attnbench.seals import read_seal, refuse_changed, untouched, write_seal
from attnbench.study.paths import Layout

INSPECTED = ("pairs.csv", "findings.csv", "inspected.json", "pairs.png")


def seal_inspection(layout: Layout, dataset: str) -> None:
    """Seal what the inspection of a dataset left."""
    folder = layout.inspected(dataset)
    files = [folder / name for name in INSPECTED]
    write_seal(layout.seal(f"inspect/{dataset}"), layout.output, files, {"dataset": dataset})


def seal_prepared(layout: Layout, dataset: str) -> None:
    """Seal the case store of a dataset; `open_store` need not read large arrays for it."""
    folder = layout.prepared(dataset)
    stamp = {"dataset": dataset, "data_hash": read_json(folder / "dataset.json")["content_hash"]}
    files = sorted(folder.iterdir())
    write_seal(layout.seal(f"prepare/{dataset}"), layout.output, files, stamp)


def seal_folds(layout: Layout, dataset: str) -> None:
    """Seal the folds of a dataset and the statistics of their training cases."""
    folds = read_json(layout.folds(dataset))
    stamp = {"dataset": dataset, "data_hash": folds["data_hash"], "folds_hash": folds["hash"]}
    files = [layout.folds(dataset), layout.statistics(dataset)]
    write_seal(layout.seal(f"folds/{dataset}"), layout.output, files, stamp)


def refuse_changed_pairs(
    layout: Layout, dataset: str, duplicates: str, folder: Path | None
) -> None:
    """Refuse pairs of copies that are not those which the inspection found, where they count.

    Raises:
        SealError: `pairs.csv` has changed, with what to do.
    """
    if folder is None or duplicates == "keep":
        return
    path = folder / "pairs.csv"
    remedy = f"remove {path} and run the study again, which inspects the dataset anew"
    refuse_changed(layout.seal(f"inspect/{dataset}"), layout.output, [path], remedy)


def open_store(layout: Layout, dataset: str) -> CaseStore:
    """The case store of a dataset of a study, for a job that reads its arrays.

    They are compared with the hashes in `dataset.json`; large ones are taken as unchanged where
    their size and time of change are as sealed.

    Raises:
        DataError: a file is missing or not as it was written, with what to do.
    """
    store = CaseStore.open(layout.prepared(dataset))
    paths = {name: store.folder / f"{name}.npy" for name in store.info.arrays}
    try:
        seal = read_seal(layout.seal(f"prepare/{dataset}"))
        known = {name for name, path in paths.items() if untouched(seal, layout.output, path)}
    except SealError:
        # The store has hashes of its own: without a seal it is only read in full.
        known = set()
    store.check_arrays(name for name in paths if name not in known)
    return store
