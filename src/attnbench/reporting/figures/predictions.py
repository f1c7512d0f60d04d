"""The predictions that figures show: those of the first seed, with their score by the first main
metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.analysis.case_values import case_values
from attnbench.reporting.frames import records
from attnbench.scoring.definitions import main_metrics
from attnbench.study.paths import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnbench.study.settings import Study


def scored_runs(study: Study, dataset: str) -> dict[tuple[str, str], tuple[Run, float]]:
    """The run that predicted each (model, case) of a dataset, and the case's score, mean over
    classes.
    """
    seed = study.seeds[0]
    values = case_values(study, main_metrics(study.metrics)[0], seed)
    return {
        (row["model"], row["case"]): (
            Run(dataset, row["model"], int(row["fold"]), seed),
            float(row["value"]),
        )
        for row in records(values[values["dataset"] == dataset])
    }


def read_prediction(study: Study, run: Run, case: str) -> NDArray[np.uint8] | None:
    """What a run predicted for a case, on the case's own grid; None where the file or the case
    is missing.
    """
    path = study.layout.run(run) / "predictions.npz"
    if not path.exists():
        return None
    with np.load(path) as predictions:
        return predictions.get(case)
