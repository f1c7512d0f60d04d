"""Scores of predictions that were made elsewhere, by the rules of the study's own runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attnbench.catalog import load_entry
from attnbench.data.folds import load_folds
from attnbench.data.masks import ENDINGS, mask_files, read_mask
from attnbench.data.readers.grid import Refused
from attnbench.data.sealed import open_store
from attnbench.data.targets import Target, targets_of
from attnbench.errors import DataError, StudyError, nearest
from attnbench.files import sha256_of, whole_file, write_csv, write_json
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.predictions import append_mask
from attnbench.scoring.run import case_scores, failures_in_words, origin_of
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.sealed import seal_run
from attnbench.training.stamp import identity

log = logging.getLogger(__name__)


def external_run(study: Study, dataset: str, model: str, fold: int, seed: int | None) -> Run:
    """Return the run of predictions made elsewhere; the study's first seed where none is given.

    Raises:
        StudyError: the model's predictions were not made elsewhere, or it has no such run.
    """
    if study.model(model).predictions is None:
        raise StudyError(
            f"--model {model}: it is trained by this study; predictions made elsewhere are those "
            f"of {', '.join(study.elsewhere) or 'no model: `predictions` in the study says so'}"
        )
    run = Run(dataset, model, fold, study.seeds[0] if seed is None else seed)
    planned = list(study.runs_of(study.dataset(dataset).name, model))
    if run not in planned:
        raise StudyError(
            f"{run}: the study has no such run; {nearest(str(run), map(str, planned))}"
        )
    return run


def score_external(study: Study, run: Run) -> None:
    """Score the masks of one fold's test cases that were made elsewhere.

    Writes into the run's folder what a training, its predictions and its scores leave behind, as
    far as there is such a thing: `predictions.npz`, `scores.csv` with `SCORE_COLUMNS`, and last
    `run.json`, which has `origin`, the SHA-256 of every file and the cases that were `missing`
    instead of a recipe. Metrics of probabilities are left out.

    Raises:
        DataError: there is no such folder; or, all at once, masks are missing, of other cases or
            twice there, unreadable, on another grid or place, or hold other values than classes.
    """
    elsewhere = study.model(run.model).predictions
    if elsewhere is None:
        raise StudyError(f"{run}: it is trained by this study, not predicted elsewhere")
    layout, folder = study.layout, elsewhere.folder_of(run)
    store = open_store(layout, run.dataset)
    folds = load_folds(layout.folds(run.dataset), store)
    tested = folds.fold(run.fold).test
    entry = load_entry(run.dataset, study.catalog)
    targets = targets_of(entry, layout.raw(run.dataset), store, tested)
    # One folder for all folds has the cases of others; one folder for each has not.
    others = () if "{fold}" in elsewhere.folder else store.columns["case"]
    files, problems = _files_of_cases(folder, targets, others)
    missing = [case for case in tested if case not in files]
    if missing and elsewhere.missing == "refuse":
        problems.append(
            f"{len(missing)} of {len(tested)} test cases have no file: {', '.join(missing)}; "
            "predict them, or say `missing: empty`, by which they count as failures"
        )
    rows: list[dict[str, Any]] = []
    with whole_file(layout.run(run) / "predictions.npz") as temporary:
        with ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
            masks = _read(files, targets, tuple(store.info.classes), problems)
            for case, mask in masks:
                append_mask(archive, case, mask)
                scored = case_scores(store, store.index(case), mask, study, None)
                rows += (origin_of(run) | row for row in scored)
        if problems:
            lines = "\n".join(f"  {line}" for line in problems)
            raise DataError(f"{folder}: not the masks of {run}:\n{lines}")
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    write_csv(layout.run(run) / "scores.csv", scores)
    facts = {
        **origin_of(run),
        "origin": elsewhere.origin,
        "folder": str(folder),
        "data_hash": store.info.content_hash,
        "folds_hash": folds.hash,
        "sha256": {case: sha256_of(files[case]) for case in tested if case in files},
        "missing": missing,
    }
    write_json(layout.run(run) / "run.json", facts)
    hashes = {name: facts[name] for name in ("data_hash", "folds_hash")}
    # Last: it says that the run is whole.
    seal_run(study, run, "score_external", {**identity(study, run), **hashes})
    log.info(
        "%s: %d cases predicted elsewhere, scored%s", run, len(tested), failures_in_words(scores)
    )
    if missing:
        log.warning("%s: no file, counted as empty masks: %s", run, ", ".join(missing))


def _files_of_cases(
    folder: Path, targets: Mapping[str, Target], others: tuple[str, ...] | list[str]
) -> tuple[dict[str, Path], list[str]]:
    """The one file of each case that has one, and lines on files that are none or too many."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; it holds one mask per test case, named as the case: "
            "<case>.nii.gz or <case>.png"
        )
    found = mask_files(folder)
    if not found:
        raise DataError(
            f"{folder}: no file of a mask in it; it holds one per test case, named as the case, "
            f"with one of the endings {', '.join(ENDINGS)}"
        )
    # As `attnbench export-predictions` names files: by the original.
    names = {target.stem: case for case, target in targets.items()}
    names |= {case: case for case in targets}
    own: dict[str, list[Path]] = {}
    for name, paths in found.items():
        if name in names:
            own.setdefault(names[name], []).extend(paths)
    problems = [
        f"several files of one case, keep one: {', '.join(path.name for path in paths)}"
        for paths in own.values()
        if len(paths) > 1
    ]
    if foreign := [
        path.name for name in found if name not in names and name not in others
        for path in found[name]
    ]:  # fmt: skip
        problems.append(
            f"{len(foreign)} file(s) of no case that is tested here: {', '.join(foreign)}; is it "
            "the folder of another fold or dataset? Remove or rename them"
        )
    return {case: paths[0] for case, paths in own.items()}, problems


def _read(
    files: Mapping[str, Path],
    targets: Mapping[str, Target],
    classes: tuple[int, ...],
    problems: list[str],
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the mask of each case, empty without a file, one at a time.

    Adds a line to `problems` for everything that is wrong with some of the files.
    """
    wrong: dict[str, list[str]] = {}
    for case, target in targets.items():
        if case not in files:
            yield case, np.zeros(target.shape, np.uint8)
            continue
        try:
            yield case, read_mask(files[case], target, classes)
        except Refused as error:
            wrong.setdefault(str(error), []).append(files[case].name)
    problems += [f"{', '.join(names)}: {problem}" for problem, names in wrong.items()]
