"""Scores of a run, from its predictions."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from attnbench.data.folds import load_folds
from attnbench.data.sealed import open_store
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, OwnCodeError, listed
from attnbench.files import write_csv
from attnbench.scoring.calibration import calibration_rows, read_calibration
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import SCORE_COLUMNS, of_masks
from attnbench.scoring.diverged import rows_of_diverged
from attnbench.scoring.predictions import open_predictions
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.diverged import divergence_of
from attnbench.training.sealed import remedy_of, seal_run, sealed_files

log = logging.getLogger(__name__)


def score_run(study: Study, run: Run) -> None:
    """Score a run's predictions, with their calibration for `ece`, and write `scores.csv`.

    Reads `predictions.npz` and `calibration.csv` of the run's folder. One row per test case, class
    and metric of the study, with `SCORE_COLUMNS`. Where the dataset has a field of view, voxels
    outside it do not count. Of a run that diverged no row has a value.

    Raises:
        DataError: the predictions are missing, are not exactly those of the fold's test cases,
            lie on another grid than the reference, or have other values than classes.
        SealError: a file is not as its job left it, or that of another run, recipe or data.
        OwnCodeError: an own metric has changed since the study was planned, fails, or returns what
            it must not; with case and class.
    """
    store = open_store(study.layout, run.dataset)
    folds = load_folds(study.layout.folds(run.dataset), store)
    tested = folds.fold(run.fold).test
    path = study.layout.run(run) / "predictions.npz"
    if not path.is_file():
        raise DataError(f"{path}: no such file; predict the run before scoring it")
    calibrated = ["calibration.csv"][: int("ece" in study.metrics)]
    expected = {"data_hash": store.info.content_hash, "folds_hash": folds.hash}
    seal = sealed_files(study, run, path.name, *calibrated, expected=expected)
    bins = read_calibration(path.with_name("calibration.csv")) if calibrated else None
    remedy = remedy_of(run, "predict")
    lost = divergence_of(study.layout, run)
    with open_predictions(path, store.info.classes, remedy) as predictions:
        refuse_other_cases(path, predictions.cases, [] if lost else tested, remedy)
        try:
            rows = [
                row
                for case in tested
                for row in (
                    _rows_without_value(study, run, store, case)
                    if lost
                    else _case_rows(study, run, store, case, predictions.mask(case), bins)
                )
            ]
        except (DataError, OwnCodeError) as error:
            raise type(error)(f"{path}: {error}") from error
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    write_csv(path.with_name("scores.csv"), scores)
    seal_run(study, run, "score", seal.stamp)
    said = failures_in_words(scores) + _undefined(scores)
    said += "; none has a value: the training diverged" if lost else ""
    log.info("%s: %d cases scored%s", run, len(tested), said)


def origin_of(run: Run) -> dict[str, Any]:
    """The columns that say of a score which run it belongs to."""
    return {"dataset": run.dataset, "model": run.model, "fold": run.fold, "seed": run.seed}


def case_scores(
    store: CaseStore,
    index: int,
    prediction: NDArray[Any],
    study: Study,
    bins: pd.DataFrame | None,
    classes: Collection[int] | None = None,
) -> list[dict[str, Any]]:
    """Score one prediction of a case: rows of case, group, class, metric, value and the rest.

    Voxels outside the field of view do not count.

    Args:
        store: the prepared dataset.
        index: the case's position in the store.
        prediction: integer mask (*original_shape).
        study: it has the metrics, of which those of probabilities need `bins`, and their rules.
        bins: the case's rows of `calibration.csv`; without them only masks are scored.
        classes: numbers of the classes to score, by default all of the dataset.

    Raises:
        DataError: the masks or bins do not fit the case.
    """
    reference, fov, numbers = (
        store.reference(index),
        store.fov(index),
        tuple(classes or store.info.classes),
    )
    spacing, unit = store.original_spacing(index), store.info.spacing_unit
    metrics = of_masks(study.metrics)
    origin = {key: store.cases[key].iloc[index] for key in ("case", "group")}
    try:
        rows = score_masks(
            prediction, reference, spacing, unit, numbers, metrics, fov, study.scoring
        )
        if bins is not None:
            rows += calibration_rows(bins, prediction, reference, numbers, fov)
    except (DataError, OwnCodeError) as error:
        raise type(error)(f"case {origin['case']!r}: {error}") from error
    return [{**origin, **row} for row in rows]


def _case_rows(
    study: Study,
    run: Run,
    store: CaseStore,
    case: str,
    prediction: NDArray[Any],
    bins: pd.DataFrame | None,
) -> list[dict[str, Any]]:
    own = None if bins is None else bins[bins["case"] == case]
    rows = case_scores(store, store.index(case), prediction, study, own)
    return [origin_of(run) | row for row in rows]


def _rows_without_value(
    study: Study, run: Run, store: CaseStore, case: str
) -> list[dict[str, Any]]:
    (rows,) = rows_of_diverged(study, store, [store.index(case)])
    return [origin_of(run) | row for row in rows]


def refuse_other_cases(
    path: Path, predicted: Collection[str], tested: Collection[str], remedy: str
) -> None:
    """Raise `DataError` unless exactly the `tested` cases are `predicted` in `path`."""
    absent, extra = sorted(set(tested) - set(predicted)), sorted(set(predicted) - set(tested))
    if absent or extra:
        raise DataError(
            f"{path}: not the predictions of this fold's {len(tested)} test cases: "
            f"{len(absent)} missing ({listed(absent)}), {len(extra)} not tested here "
            f"({listed(extra)}); {remedy}"
        )


def failures_in_words(scores: pd.DataFrame) -> str:
    """Counts of empty masks in words; nothing when no mask was empty."""
    of_masks_only = scores[~scores["status"].isin(["not_a_number", "diverged"])]
    counts = of_masks_only.drop_duplicates(["case", "class"])["status"].value_counts()
    empty = [f"{status} {number}" for status, number in counts.items() if status != "ok"]
    return f"; cases and classes with empty masks: {', '.join(empty)}" if empty else ""


def _undefined(scores: pd.DataFrame) -> str:
    """Counts of values that are no numbers, by metric, in words; nothing without any."""
    counts = scores.loc[scores["status"] == "not_a_number", "metric"].value_counts()
    said = [f"{name} {number}" for name, number in counts.items()]
    return f"; values that are no numbers: {', '.join(said)}" if said else ""
