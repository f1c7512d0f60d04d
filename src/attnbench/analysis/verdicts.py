"""Verdicts: the one place where a p meets the study's level and a metric's direction a sign."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import Floats
from attnbench.scoring.definitions import METRICS


def directions(metrics: Iterable[str]) -> Floats:
    """Sign of every metric: 1 where higher is better, else -1."""
    return np.array([1.0 if METRICS[name].higher_is_better else -1.0 for name in metrics])


def is_significant(p: pd.Series, level: float) -> pd.Series:
    """True where a corrected p is at most `level`; a p that is NaN is no evidence."""
    return p <= level


def judge(
    benefit: pd.Series, p: pd.Series, level: float, equivalent: pd.Series | bool = False
) -> pd.DataFrame:
    """Columns `benefit`, `significant` and `verdict` of a frame of comparisons.

    Args:
        benefit: difference whose sign is turned such that above 0 is better, one per row.
        p: p corrected for all comparisons, NaN where nothing was tested.
        level: the study's level, 1 - confidence.
        equivalent: whether a test showed the difference to be negligible.
    """
    significant = is_significant(p, level)
    cases = {
        "undefined": p.isna(),
        "better": significant & (benefit > 0),
        "worse": significant & (benefit < 0),
        "equivalent": equivalent & p.notna(),
    }
    # The first that holds counts: a difference both significant and negligible is not equivalent.
    verdict = np.select(list(cases.values()), list(cases), "undecided").astype(object)
    return pd.DataFrame({"benefit": benefit, "significant": significant, "verdict": verdict})
