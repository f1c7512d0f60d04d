"""Predictions of a run: a mask per test case, its calibration, and how far mechanisms are open."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from attnbench.files import whole_file, write_rows
from attnbench.inference.gates import gates_of_run
from attnbench.inference.trained import as_mask, case_reliability, lost_run, trained_network
from attnbench.models.gate_readings import COLUMNS as GATE_COLUMNS
from attnbench.scoring.calibration import CALIBRATION_COLUMNS
from attnbench.scoring.predictions import append_mask
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.sealed import seal_run

log = logging.getLogger("attnbench")


def predict_run(study: Study, run: Run) -> None:
    """Predict a run's test cases: write `predictions.npz`, one mask per case on its own grid.

    Beside it, `calibration.csv` has the `reliability` of every case, inside its field of view, and
    `gates.csv` what `gates_of_run` reads of the mechanisms. Of a run that diverged all three are
    empty.
    """
    folder = study.layout.run(run)
    if lost := lost_run(study, run):
        _predict_nothing(folder)
        seal_run(study, run, "predict", lost.stamp)
        study.layout.checkpoint(run).unlink(missing_ok=True)
        log.warning("%s  diverged in training: nothing to predict", run)
        return
    started = time.perf_counter()
    calibration: list[dict[str, Any]] = []
    with trained_network(study, run) as trained, whole_file(folder / "predictions.npz") as path:
        store, cases = trained.inputs.store, trained.inputs.fold.test
        indices = [store.index(case) for case in cases]
        predicted = trained.predict(store, indices)
        with ZipFile(path, "w", ZIP_DEFLATED) as archive:
            for case, index, own in zip(cases, indices, predicted, strict=True):
                append_mask(archive, case, as_mask(own))
                calibration += (
                    {"case": case, **row}
                    for row in case_reliability(own, store, index, store.info.classes)
                )
        # The predictions get their name last: it says that the others are there.
        write_rows(folder / "gates.csv", GATE_COLUMNS, gates_of_run(trained))
        write_rows(folder / "calibration.csv", CALIBRATION_COLUMNS, calibration)
    seal_run(study, run, "predict", trained.stamp)
    study.layout.removed(run).unlink(missing_ok=True)
    # Snakemake has taken the trained files, else it would have asked for no predictions.
    study.layout.checkpoint(run).unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    log.info("%s  predicted %d cases in %.0f s", run, len(cases), seconds)


def _predict_nothing(folder: Path) -> None:
    with whole_file(folder / "predictions.npz") as path, ZipFile(path, "w"):
        write_rows(folder / "gates.csv", GATE_COLUMNS, [])
        write_rows(folder / "calibration.csv", CALIBRATION_COLUMNS, [])
