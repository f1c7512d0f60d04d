"""Whether a training had come to rest: the rise of its validation over the end of its schedule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.runs import RUN_COLUMNS

MIN_POINTS = 2
"""Validations that either of the last two quarters needs, so that their means can be compared."""


def rise_at_end(steps: Sequence[float], dice: Sequence[float], length: float) -> float:
    """Mean validation Dice of the last quarter of the schedule, minus that of the third quarter.

    NaN with fewer than two validations in either: it cannot be told.

    Args:
        steps: optimiser steps done at each validation.
        dice: validation Dice at each of them.
        length: steps of the whole schedule.
    """
    at, values = np.asarray(steps, np.float64) / length, np.asarray(dice, np.float64)
    third, last = values[(at >= 0.5) & (at <= 0.75)], values[at > 0.75]
    if min(len(third), len(last)) < MIN_POINTS:
        return float("nan")
    return float(last.mean() - third.mean())


def with_rise(runs: pd.DataFrame, learning: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Fill the columns `rise` and `still_rising` of the frame `runs` from their histories.

    A run still rises where its validation Dice gained more than the margin of equivalence between
    the last two quarters; empty where that cannot be told.
    """
    validated = learning.dropna(subset="validation_dice")
    rise = {
        key: rise_at_end(
            rows["step"].tolist(), rows["validation_dice"].tolist(), rows["step"].max()
        )
        for key, rows in validated.groupby(list(RUN_COLUMNS), sort=False)
    }
    keys = runs[list(RUN_COLUMNS)].itertuples(index=False, name=None)
    # The schedule of a run that diverged ended early: it has no last quarter.
    values = pd.Series([rise.get(key, np.nan) for key in keys], runs.index, "float64")
    values = values.where(runs["diverged"].isna())
    told = (values > margin).astype("boolean").where(values.notna())
    return runs.assign(rise=values, still_rising=told)
