"""Parts of a study made again: chosen runs, or what was deleted behind their results."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attnbench.errors import DataError, StudyError
from attnbench.study.chosen import chosen
from attnbench.training.stamp import read_facts

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study
    from attnbench.upkeep.gone import Gone

Stage = Literal["train", "predict", "score"]
_FIRST_FILE: dict[Stage, str] = {
    "train": "model.pt",
    "predict": "predictions.npz",
    "score": "scores.csv",
}
log = logging.getLogger("attnbench")


def runs_again(study: Study, **asked: str | int | None) -> list[Run]:
    """Return the runs that `chosen` finds among all of a study, those on fewer groups too.

    Raises:
        StudyError: nothing is asked for, or as of `chosen`.
    """
    if all(value is None for value in asked.values()):
        raise StudyError(
            "which runs? name --model, --dataset, --fold or --seed, or give --missing; all runs "
            "again are a new study: remove its `runs` folder"
        )
    return chosen([*study.runs(), *study.data_efficiency_runs()], **asked)


def words_for(study: Study, runs: Iterable[Run], stage: Stage) -> list[str]:
    """Words for Snakemake that make `runs` again from a stage on, and all that follows of them.

    Predictions made elsewhere have one stage, which scores them.
    """
    elsewhere = study.elsewhere
    first = {run: _FIRST_FILE["score" if run.model in elsewhere else stage] for run in runs}
    return ["--forcerun", *(str(study.layout.run(run) / file) for run, file in first.items())]


def forget_checkpoints(study: Study, runs: Iterable[Run]) -> None:
    """Have `runs` train from their first step: a checkpoint would give what they were again."""
    for run in runs:
        study.layout.checkpoint(run).unlink(missing_ok=True)


def targets_of(gone: Sequence[Gone], kind: str) -> list[str]:
    """Files of one kind that are gone, as targets for Snakemake: one of every run."""
    name = {"weights": "model.pt", "predictions": "predictions.npz"}[kind]
    folders = (path.parent for one in gone if one.kind == kind for path in one.files)
    return [str(folder / name) for folder in dict.fromkeys(folders)]


def restore_data(study: Study, dataset: str) -> bool:
    """Prepare a dataset again whose prepared data or folds were deleted; return whether they are
    the same as those that its runs were trained on.

    Where they are, their times are set before those of the runs, so that nothing is made again.
    Where the originals are gone too, they are fetched first.

    Raises:
        DataError: no run of the dataset is trained, which would say what the data were.
        FetchError: the originals cannot be fetched.
    """
    from attnbench.catalog import load_entry
    from attnbench.data.folds import load_folds
    from attnbench.data.make import make_data
    from attnbench.data.sealed import seal_prepared
    from attnbench.data.store import CaseStore

    layout, entry = study.layout, load_entry(dataset, study.catalog)
    stated = [layout.run(run) / "run.json" for run in study.trainings() if run.dataset == dataset]
    trained = [path for path in stated if path.is_file()]
    if not trained:
        raise DataError(f"{dataset}: no run of it is trained; `snakemake` prepares it")
    raw, prepared, split = layout.raw(dataset), layout.prepared(dataset), layout.folds(dataset)
    inspected = None if entry.generated else layout.inspected(dataset)
    make_data(study, dataset, again=True)
    store = CaseStore.open(prepared)
    found = {"data_hash": store.info.content_hash, "folds_hash": load_folds(split, store).hash}
    facts = [read_facts(path) for path in trained]
    same = all(found[key] == one[key] for one in facts for key in found)
    if same:
        # From the last to the first, each before what was made from it.
        _set_before([split, layout.statistics(dataset)], [*_made_of(study, dataset), *trained])
        _set_before(prepared.iterdir(), [split])
        earlier = [*inspected.iterdir()] if inspected else []
        _set_before(earlier, [prepared / "dataset.json"])
        _set_before([raw / "receipt.json"], earlier or [prepared / "dataset.json"])
        seal_prepared(layout, dataset)  # with these times
    log.info(
        "%s: prepared again%s",
        dataset,
        ", the same data and folds as before"
        if same
        else "; NOT the data or folds that its runs were trained on, which train again",
    )
    return same


def _made_of(study: Study, dataset: str) -> list[Path]:
    """What there is that was made from the prepared data or folds, trainings left out."""
    layout, model = study.layout, study.models[0].name
    folders = [
        path.parent for path in (layout.model(dataset, model), layout.measured(dataset, model))
    ]
    files = [path for folder in folders for path in folder.glob("*.json")]
    files += layout.choice(dataset, model, 0).parent.parent.rglob("*.json")
    return [*files, *_existing([layout.second_rater(dataset)])]


def weights_of(study: Study, runs: Iterable[Run]) -> dict[Run, str]:
    """Hashes of the weights of runs, as far as their `run.json` is there."""
    trained = (run for run in runs if run.model not in study.elsewhere)
    paths = {run: study.layout.run(run) / "run.json" for run in trained}
    return {
        run: read_facts(path)["weights_sha256"] for run, path in paths.items() if path.is_file()
    }


def settle_weights(study: Study, before: dict[Run, str]) -> list[Run]:
    """Let runs whose weights came back the same keep what was made from them; return the others.

    Args:
        study: the study.
        before: hashes that the weights had.
    """
    others: list[Run] = []
    for run, digest in before.items():
        folder = study.layout.run(run)
        if weights_of(study, [run]).get(run) != digest:
            others.append(run)
            continue
        later = [
            folder / name
            for name in ("predictions.npz", "scores.csv", "transfer.csv")
            if (folder / name).is_file()
        ]
        if later:
            _set_before([folder / "model.pt", folder / "run.json", folder / "history.csv"], later)
    return others


def _set_before(files: Iterable[Path], others: Sequence[Path]) -> None:
    """Set the times of `files` a second before those of the oldest of `others`."""
    earliest = min(path.stat().st_mtime for path in others) - 1
    for path in _existing(files):
        os.utime(path, (earliest, earliest))


def _existing(files: Iterable[Path]) -> Iterator[Path]:
    return (path for path in files if path.exists())
