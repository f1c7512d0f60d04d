"""The scores as challengeR reads them: one row per task, case and algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

COLUMNS = ("task", "case", "algorithm", "score")


def rank_input(results: Results) -> pd.DataFrame:
    """Return the first main metric of every case, mean over classes and seeds.

    A task is a dataset, an algorithm a model. Every pair of a case and an algorithm has its row,
    as challengeR asks; the score is empty where it is missing or undefined. Wiesenfarth et al.,
    Methods and open-source toolkit for analyzing and visualizing challenge results, Scientific
    Reports 11, 2021.
    """
    values = results.case_values(results.metric)
    frames = [_task(rows, results.models) for _, rows in values.groupby("dataset", sort=False)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def _task(rows: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    scored = [name for name in models if name in set(rows["model"])]
    pairs = pd.MultiIndex.from_product([rows["case"].unique(), scored], names=["case", "model"])
    full = rows.set_index(["case", "model"])["value"].reindex(pairs).reset_index()
    renamed = full.rename(columns={"model": "algorithm", "value": "score"})
    return renamed.assign(task=rows["dataset"].iloc[0])[list(COLUMNS)]
