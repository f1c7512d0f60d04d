"""Verdicts: the one place where a p meets the study's level and a metric's direction a sign."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import Floats
from attnbench.scoring.definitions import METRICS

FAILURES_DIFFER = "failures differ"
"""One model failed where the other did not: what is left flatters the one that failed."""
DIVERGED = "runs diverged"
"""Trainings of one of the two diverged and have no score: the others cannot speak for them."""
TOO_FEW_GROUPS = "too few groups"
"""Even the smallest p that so many groups can give would not pass."""
TOO_FEW_TRAININGS = "too few trainings"
"""So few folds say nothing about the luck of training."""
ONE_SPLIT = "one fixed split"
"""One training set says nothing about others, however often it is trained on."""
GROUPS_CROSS = "groups cross"
"""Cases of one group lie in training and test: no score speaks about new patients."""
SAME_NETWORK = "same network"
"""A control that came out as the baseline itself, with equal scores: one test, not two."""
NEAR_ZERO = "both near zero"
"""Neither model segments anything to speak of: that they do so alike shows nothing."""
MADE_ELSEWHERE = "made elsewhere"
"""Predictions by another recipe: nothing is known of training it again."""
FLOOR = 0.1
"""Mean score, of 1 where a metric's best is 1, below which a model segments next to nothing."""


def directions(metrics: Iterable[str]) -> Floats:
    """Sign of every metric: 1 where higher is better, else -1."""
    return np.array([1.0 if METRICS[name].higher_is_better else -1.0 for name in metrics])


def is_significant(p: pd.Series, level: float) -> pd.Series:
    """True where a corrected p is at most `level`; a p that is NaN is no evidence."""
    return p <= level


def first_reason(reasons: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """The first of `reasons` (a mask of `rows` each) that holds in each row; empty where none."""
    said = np.full(rows, "", dtype=object)
    for word, holds in reversed(reasons.items()):
        said[holds] = word
    return said


def judge(
    benefit: pd.Series,
    p: pd.Series,
    level: float,
    equivalent: pd.Series | bool = False,
    withheld: np.ndarray | str = "",
) -> pd.DataFrame:
    """Columns `benefit`, `significant` and `verdict` of a frame of comparisons.

    Args:
        benefit: difference whose sign is turned such that above 0 is better, one per row.
        p: p corrected for all comparisons, NaN where nothing was tested.
        level: the study's level, 1 - confidence.
        equivalent: whether a test showed the difference to be negligible.
        withheld: why there is no verdict, a text per row; empty where there is one.
    """
    free = pd.Series(withheld == "", index=p.index)
    significant = is_significant(p, level) & free
    cases = {
        "undefined": free & p.isna(),
        "better": significant & (benefit > 0),
        "worse": significant & (benefit < 0),
        "equivalent": free & equivalent & p.notna(),
        "undecided": free,
    }
    # The first that holds counts: a difference both significant and negligible is not equivalent.
    verdict = np.select(list(cases.values()), list(cases), withheld).astype(object)
    return pd.DataFrame({"benefit": benefit, "significant": significant, "verdict": verdict})
