"""Scores of single cases, as the analysis averages them over classes and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attnbench.analysis.averages import mean_defined, with_all_classes
from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores
from attnbench.analysis.gathered import gathered_blocks
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study.settings import Study

COLUMNS = ("dataset", "model", "case", "group", "fold", "value")


def case_values(
    study: Study, metric: str, seed: int | None = None, class_: str = ALL_CLASSES
) -> pd.DataFrame:
    """One row per dataset, model and case: `metric` averaged over classes, then seeds.

    The averages behind `means.csv`. Columns `dataset, model, case, group, fold, value`, the fold
    that of the first split; undefined values are left out. Empty without scores.

    Args:
        study: the study.
        metric: one of its metrics.
        seed: only that seed's run in the first split.
        class_: a class by its number, instead of the mean over classes.
    """
    frames = [
        values_of(block, metric, seed, class_) for block in gathered_blocks(study, study.metrics)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))


def values_of(
    block: DatasetScores, metric: str, seed: int | None, class_: str = ALL_CLASSES
) -> pd.DataFrame:
    """Rows of `case_values` of one dataset."""
    if metric not in block.metrics or class_ not in block.class_words:
        return pd.DataFrame(columns=list(COLUMNS))
    position = block.metrics.index(metric)
    per_class = with_all_classes(block.values[[position]])[0]
    per_training = per_class[block.class_words.index(class_)]
    # The first split's trainings come first: one of them is the run whose mask can be shown.
    chosen = (
        slice(None) if seed is None else [i for i, own in enumerate(block.seeds) if own == seed]
    )
    values = mean_defined(per_training[..., chosen], axis=-1)
    model, case = (index.ravel() for index in np.indices(values.shape))
    groups = np.array(block.groups, dtype=object)[block.case_group]
    frame = pd.DataFrame(
        {
            "dataset": block.dataset,
            "model": np.array(block.models, dtype=object)[model],
            "case": np.array(block.cases, dtype=object)[case],
            "group": groups[case],
            "fold": block.case_fold[case, 0],
            "value": values.ravel(),
        }
    )
    return frame.dropna(subset="value").reset_index(drop=True)


def case_benefits(values: pd.DataFrame, metric: str, baseline: str) -> pd.DataFrame:
    """Return values (a column per model) minus the baseline's, above 0 where a model is better."""
    difference = values.sub(values[baseline], axis=0)
    return difference * (1 if METRICS[metric].higher_is_better else -1)


def case_gains(values: pd.DataFrame, metric: str, baseline: str) -> pd.DataFrame:
    """Rows `dataset, model, case, group, gain`: the benefit of a model over the baseline on a case.

    `values` are those of `case_values`; a gain is a benefit as `case_benefits` computes it.
    """
    base = values.loc[values["model"] == baseline, ["dataset", "case", "value"]]
    pairs = values[values["model"] != baseline].merge(
        base, on=["dataset", "case"], suffixes=("", "_baseline")
    )
    table = pairs[["value", "value_baseline"]].astype(float)
    gain = case_benefits(table, metric, "value_baseline")["value"]
    return pairs[["dataset", "model", "case", "group"]].assign(gain=gain)
