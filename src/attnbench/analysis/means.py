"""Mean of every model on every dataset, class and metric, with its interval and its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import (
    group_means,
    mean_defined,
    median_defined,
    sd_defined,
    support,
    with_all_classes,
)
from attnbench.analysis.blocks import ALL_CLASSES, STATUSES, DatasetScores
from attnbench.analysis.frames import joined
from attnbench.analysis.resample import bootstrap_interval
from attnbench.study.groups import AnalysisSettings

ClassNames = Mapping[str, Mapping[str, str]]
"""Name of each class by dataset and class, from `dataset.json`."""


def compute_means(
    scores: Sequence[DatasetScores], settings: AnalysisSettings, class_names: ClassNames
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), metric and scored model; columns: docs/files.md.

    The estimate is the mean over groups of the mean over their cases of the case's mean over
    trainings; `all` is first averaged over the classes in which the metric is defined in that case
    and training. The interval resamples groups; median and sd are those of the cases.
    """
    frames = [_means_of(block, settings, class_names.get(block.dataset, {})) for block in scores]
    return joined("means", frames)


def _means_of(
    block: DatasetScores, settings: AnalysisSettings, names: Mapping[str, str]
) -> pd.DataFrame:
    # Classes first, then trainings, cases and groups: where some are undefined, the order counts.
    values = with_all_classes(block.values)
    per_training = values.reshape(-1, len(block.cases), values.shape[-1])
    per_case = mean_defined(per_training, 2)
    groups = group_means(per_case, block.case_group, len(block.groups))
    low, high = bootstrap_interval(groups, settings.confidence, settings.bootstrap, settings.seed)
    behind = support(block, ~np.isnan(per_training))
    frame = row_labels(block, block.models, names).assign(
        mean=mean_defined(groups, 1),
        low=low,
        high=high,
        median=median_defined(per_case),
        sd=sd_defined(per_case),
        cases=behind.cases,
        groups=behind.groups,
        folds=behind.folds,
        seeds=behind.seeds,
        undefined=_count(block, _without_value(block)),
        **{name: _count(block, block.status == STATUSES.index(name)) for name in STATUSES[1:]},
    )
    return frame[_count(block, block.status >= 0) > 0]


def _without_value(block: DatasetScores) -> np.ndarray:
    """Score rows without a value, but those of runs that diverged, which are counted apart."""
    lost = block.status == STATUSES.index("diverged")
    without: np.ndarray = (block.status >= 0) & np.isnan(block.values) & ~lost
    return without


def _count(block: DatasetScores, marked: np.ndarray) -> np.ndarray:
    """Score rows that are marked, per row of the table; `all` counts those of every class."""
    counts = marked.sum(axis=(3, 4))
    return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1).reshape(-1)


def row_labels(
    block: DatasetScores, models: Sequence[str], names: Mapping[str, str]
) -> pd.DataFrame:
    """Names of each row of (metrics, classes and `all`, models), the last axis fastest."""
    metric, class_, model = np.indices(
        (len(block.metrics), len(block.classes) + 1, len(models))
    ).reshape(3, -1)
    classes = np.array(block.class_words, dtype=object)[class_]
    return pd.DataFrame(
        {
            "dataset": block.dataset,
            "class": classes,
            "class_name": [
                names.get(name, "mean over classes" if name == ALL_CLASSES else name)
                for name in classes
            ],
            "metric": np.array(block.metrics, dtype=object)[metric],
            "unit": np.array(block.units, dtype=object)[metric],
            "model": np.array(models, dtype=object)[model],
        }
    )
