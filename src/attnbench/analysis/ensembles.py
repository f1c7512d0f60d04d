"""Ensembles of all trainings of a model on external test sets, beside the single models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.analysis.averages import group_means, mean_defined, with_all_classes
from attnbench.analysis.blocks import DatasetScores
from attnbench.analysis.means import row_labels
from attnbench.analysis.resample import student_interval
from attnbench.analysis.shift import Cell, compare_cells, study_blocks
from attnbench.analysis.tables import FRAMES
from attnbench.analysis.verdicts import FAILURES_DIFFER

if TYPE_CHECKING:
    from attnbench.study.settings import Study
    from attnbench.study.shift import TransferSettings

_KEYS = ["train", "test", "class", "metric", "model"]
# What a score of an ensemble and one of a single model on the same case have in common.
_SAME = ["model", "case", "group", "class", "metric", "unit"]


def compute_ensembles(study: Study, single: pd.DataFrame, ensembles: pd.DataFrame) -> pd.DataFrame:
    """One row per training set, test set, class, metric and model; columns as in docs/files.md.

    One ensemble per model is one training: intervals are over the groups of the test set, for
    these very networks, and there is no verdict.

    Args:
        study: names the transfers, models, metrics and statistics.
        single: score rows of single models with `test`, as in `transfer.csv`.
        ensembles: score rows of ensembles, with `test` and `members`, without fold and seed.
    """
    parts = []
    for pair in study.transfer:
        scored = _of_pair(ensembles, pair).assign(fold=0, seed=0)
        cells: list[Cell] = [
            ({"train": pair.train, "test": pair.test}, block)
            for block in study_blocks(study, scored, external=True)
        ]
        if cells:
            frame = compare_cells(cells, study)
            members = scored.astype({"model": "str"}).groupby("model")["members"].first()
            frame = frame.assign(
                failures_differ=frame["verdict"] == FAILURES_DIFFER,
                members=frame["model"].map(members),
            )
            gains = _gains(study, pair, _of_pair(single, pair), scored)
            parts.append(frame.merge(gains, on=_KEYS, how="left"))
    columns = list(FRAMES["ensembles"])
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _of_pair(rows: pd.DataFrame, pair: TransferSettings) -> pd.DataFrame:
    return rows[(rows["dataset"] == pair.train) & (rows["test"] == pair.test)]


def _gains(
    study: Study, pair: TransferSettings, single: pd.DataFrame, ensembles: pd.DataFrame
) -> pd.DataFrame:
    """Mean of the single models, and the ensemble minus it, over what both are defined for.

    Paired by case, class and training, then averaged as differences between models are.
    """
    # As text: the categories of the two tables differ.
    texts = dict.fromkeys(_SAME, "str") | {"class": "int64"}
    pairs = single.astype(texts).merge(
        ensembles[[*_SAME, "value"]].astype(texts), on=_SAME, suffixes=("", "_ensemble")
    )
    pairs = pairs[pairs["value"].notna() & pairs["value_ensemble"].notna()]
    gained = pairs.assign(value=pairs["value_ensemble"] - pairs["value"])
    frames = [
        _over_groups(block, name, study.analysis.confidence)
        for name, rows in (("single", pairs), ("gain", gained))
        for block in study_blocks(study, rows, external=True)
    ]
    if not frames:
        return pd.DataFrame(columns=[*_KEYS, "single", "gain", "gain_low", "gain_high"])
    means, gains = frames
    kept = gains[[*_KEYS[2:], "gain", "gain_low", "gain_high"]]
    whole = means[[*_KEYS[2:], "single"]].merge(kept, on=_KEYS[2:])
    return whole.assign(train=pair.train, test=pair.test)


def _over_groups(block: DatasetScores, name: str, confidence: float) -> pd.DataFrame:
    """Mean over groups of every row with its interval, in columns that begin with `name`."""
    values = with_all_classes(block.values)
    per_case = mean_defined(values.reshape(-1, len(block.cases), values.shape[-1]), 2)
    groups = group_means(per_case, block.case_group, len(block.groups))
    low, high = student_interval(groups, confidence)
    return row_labels(block, block.models, {}).assign(
        **{name: mean_defined(groups, 1), f"{name}_low": low, f"{name}_high": high}
    )
