"""Models that the scores cannot distinguish from the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import group_means, mean_defined, with_all_classes
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.frames import joined
from attnbench.analysis.significance import attainable_level, holm, signed_rank_p
from attnbench.scoring.definitions import METRICS


def compute_best(
    scores: Sequence[DatasetScores], averages: pd.DataFrame, level: float
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and model: paired difference from the best.

    The best has the best mean in `averages`, the table of means. `p` is the signed-rank test of the
    groups' mean differences, `p_holm` corrected over the models of the row's dataset, class and
    metric; `as_good` where it is above `level`, and for the best itself; empty where so few groups
    cannot distinguish any model from the best. A model alone has no row.
    """
    frames = [
        _against_best(block, str(class_), str(metric), rows, level)
        for block in scores
        for (class_, metric), rows in averages[averages["dataset"] == block.dataset]
        .dropna(subset="mean")
        .groupby(["class", "metric"], sort=False)
        if len(rows) > 1
    ]
    return joined("best", frames)


def _against_best(
    block: DatasetScores, class_: str, metric: str, rows: pd.DataFrame, level: float
) -> pd.DataFrame:
    models = rows["model"].tolist()
    order = rows["mean"].to_numpy()
    best = int(order.argmax() if METRICS[metric].higher_is_better else order.argmin())
    per_case = _differences(block, class_, metric, models, models[best])
    groups = group_means(per_case, block.case_group, len(block.groups))
    behind = (~np.isnan(groups)).sum(axis=1)
    p = signed_rank_p(groups)
    # The best against itself is no test and must not count in Holm's correction.
    p[best] = np.nan
    corrected = holm(p)
    is_best = np.arange(len(models)) == best
    # Holm's smallest p has to reach level / tests before any model falls behind.
    testable = np.array(
        [attainable_level(int(number), level / (len(models) - 1)) > 0 for number in behind]
    )
    return pd.DataFrame(
        {
            "dataset": block.dataset,
            "class": class_,
            "metric": metric,
            "model": models,
            "best": models[best],
            "difference": mean_defined(per_case, 1),
            "p": p,
            "p_holm": corrected,
            "groups": behind,
            "as_good": pd.Series((corrected > level) | is_best, dtype="boolean").where(
                testable | is_best
            ),
        }
    )


def _differences(
    block: DatasetScores, class_: str, metric: str, models: Sequence[str], best: str
) -> Floats:
    """Model minus best by case, class and seed, averaged over classes (for `all`) and seeds."""
    values = block.values[[block.metrics.index(metric)]]
    chosen = values[:, :, [block.models.index(name) for name in models]]
    differences = chosen - values[:, :, [block.models.index(best)]]
    return mean_defined(with_all_classes(differences)[0, block.class_words.index(class_)], 2)
