"""Scores of a run, and the scores of all runs in one table."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from attnbench.data.folds import load_folds
from attnbench.data.store import CaseStore
from attnbench.errors import DataError
from attnbench.files import whole_file, write_csv
from attnbench.layout import Run
from attnbench.scoring.calibration import calibration_rows, read_calibration
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import MASK_METRICS, SCORE_COLUMNS
from attnbench.study import Study

log = logging.getLogger(__name__)

_HEADER = ",".join(SCORE_COLUMNS).encode() + b"\n"
_NAMED_AT_MOST = 20


def score_run(study: Study, run: Run) -> None:
    """Score a run's `predictions.npz`, and `calibration.csv` for `ece`, and write `scores.csv` beside them.

    One row per test case, class and metric of the study, with `SCORE_COLUMNS`. Where the dataset has a field of
    view, voxels outside it do not count. Raises `DataError` when the predictions are missing, are not exactly
    those of the fold's test cases, or lie on another grid than the reference.
    """
    store = CaseStore.open(study.layout.prepared(run.dataset))
    tested = load_folds(study.layout.folds(run.dataset), store).fold(run.fold).test
    path = study.layout.run(run) / "predictions.npz"
    if not path.is_file():
        raise DataError(f"{path}: no such file; predict the run before scoring it")
    bins = read_calibration(path.with_name("calibration.csv")) if "ece" in study.metrics else None
    with np.load(path) as predictions:
        _refuse_other_cases(path, predictions.files, tested)
        rows = [row for case in tested for row in _case_rows(study, run, store, case, predictions[case], bins)]
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    write_csv(path.with_name("scores.csv"), scores)
    log.info("%s: %d cases scored%s", run, len(tested), _failures(scores))


def gather_scores(study: Study) -> tuple[Run, ...]:
    """Join the `scores.csv` of all finished runs into the study's one table; return the runs that are missing.

    Files are copied byte for byte in the order of `study.runs()`, so memory does not grow with the study. Missing
    runs are named in the log. Raises `DataError` when no run is finished or a file has other columns.
    """
    missing: list[Run] = []
    finished = 0
    with whole_file(study.layout.scores) as temporary, temporary.open("wb") as table:
        table.write(_HEADER)
        for run in study.runs():
            try:
                with (study.layout.run(run) / "scores.csv").open("rb") as scores:
                    _append(scores, table)
                finished += 1
            except FileNotFoundError:
                missing.append(run)
        if not finished:
            raise DataError(f"none of the {len(missing)} runs of the study has scores; the first would be {missing[0]}")
    if missing:
        log.warning("%d of %d runs have no scores yet: %s", len(missing), finished + len(missing), _named(missing))
    log.info("%s: the scores of %d runs", study.layout.scores, finished)
    return tuple(missing)


def _case_rows(
    study: Study, run: Run, store: CaseStore, case: str, prediction: Any, bins: pd.DataFrame | None
) -> Iterator[dict[str, Any]]:
    index = store.index(case)
    origin = {
        "dataset": run.dataset,
        "model": run.model,
        "fold": run.fold,
        "seed": run.seed,
        "case": case,
        "group": store.cases["group"].iloc[index],
    }
    reference, classes, fov = store.reference(index), tuple(store.info.classes), store.fov(index)
    metrics = [name for name in study.metrics if name in MASK_METRICS]
    try:
        rows = score_masks(
            prediction, reference, store.original_spacing(index), store.info.spacing_unit, classes, metrics, fov
        )
        if bins is not None:
            rows += calibration_rows(bins[bins["case"] == case], prediction, reference, classes, fov)
    except DataError as error:
        raise DataError(f"{study.layout.run(run) / 'predictions.npz'}: case {case!r}: {error}") from error
    return ({**origin, **row} for row in rows)


def _refuse_other_cases(path: Path, found: Collection[str], tested: Collection[str]) -> None:
    absent, extra = sorted(set(tested) - set(found)), sorted(set(found) - set(tested))
    if absent or extra:
        raise DataError(
            f"{path}: not the predictions of this fold's {len(tested)} test cases: "
            f"{len(absent)} missing ({_named(absent)}), {len(extra)} not tested here ({_named(extra)}); "
            "predict the run again"
        )


def _failures(scores: pd.DataFrame) -> str:
    """What was empty, in words; nothing when no mask was."""
    counts = scores.drop_duplicates(["case", "class"])["status"].value_counts()
    empty = [f"{status} {number}" for status, number in counts.items() if status != "ok"]
    return f"; cases and classes with empty masks: {', '.join(empty)}" if empty else ""


def _append(scores: IO[bytes], table: IO[bytes]) -> None:
    header = scores.readline()
    if header != _HEADER:
        raise DataError(
            f"{scores.name}: has columns {header.decode(errors='replace').strip()!r}, expected "
            f"{_HEADER.decode().strip()!r}; score the run again"
        )
    shutil.copyfileobj(scores, table)


def _named(items: Collection[object]) -> str:
    words = [str(item) for item in items]
    more = len(words) - _NAMED_AT_MOST
    return ", ".join(words[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "") if words else "none"
