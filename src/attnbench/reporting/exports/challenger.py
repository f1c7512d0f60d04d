"""The scores as challengeR reads them: one row per task, case and algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.analysis.case_values import case_values
from attnbench.scoring.definitions import main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study

COLUMNS = ("task", "case", "algorithm", "score")


def challenger_frame(study: Study) -> pd.DataFrame:
    """The study's first main metric, mean over classes and seeds; a task is a dataset, an algorithm
    a model.

    Every pair of a case and an algorithm has its row, as challengeR asks; the score is empty
    where it is missing or undefined. Wiesenfarth et al., Methods and open-source toolkit for
    analyzing and visualizing challenge results, Scientific Reports 11, 2021.
    """
    values = case_values(study, main_metrics(study.metrics)[0])
    frames = [
        _task(rows, [part.name for part in study.models])
        for _, rows in values.groupby("dataset", sort=False)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _task(rows: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    scored = [name for name in models if name in set(rows["model"])]
    every = pd.MultiIndex.from_product([rows["case"].unique(), scored], names=["case", "model"])
    full = rows.set_index(["case", "model"])["value"].reindex(every).reset_index()
    renamed = full.rename(columns={"model": "algorithm", "value": "score"})
    return renamed.assign(task=rows["dataset"].iloc[0])[list(COLUMNS)]
