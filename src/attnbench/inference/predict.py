"""Predictions of a run: one mask per test case, and the calibration of its probabilities."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from attnbench.files import whole_file, write_rows
from attnbench.inference.trained import as_mask, case_reliability, trained_network
from attnbench.scoring.calibration import CALIBRATION_COLUMNS
from attnbench.study.paths import Run
from attnbench.study.settings import Study

log = logging.getLogger("attnbench")


def predict_run(study: Study, run: Run) -> None:
    """Predict a run's test cases: write `predictions.npz`, one mask per case on its own grid.

    `calibration.csv` beside it has the `reliability` of every case, inside its field of view.
    """
    folder = study.layout.run(run)
    started = time.perf_counter()
    predictions: dict[str, Any] = {}
    calibration: list[dict[str, Any]] = []
    with trained_network(study, run) as trained:
        store = trained.inputs.store
        indices = {case: store.index(case) for case in trained.inputs.fold.test}
        predicted = trained.predict(store, indices.values(), map(store.image, indices.values()))
        for (case, index), own in zip(indices.items(), predicted, strict=True):
            predictions[case] = as_mask(own)
            calibration += (
                {"case": case, **row}
                for row in case_reliability(own, store, index, store.info.classes)
            )
    write_rows(folder / "calibration.csv", CALIBRATION_COLUMNS, calibration)
    with whole_file(folder / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **predictions)
    seconds = time.perf_counter() - started
    log.info("%s  predicted %d cases in %.0f s", run, len(predictions), seconds)
