"""Agreement of a second rater with the reference, beside the models on the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from attnbench.analysis.blocks import arrange
from attnbench.analysis.frames import joined
from attnbench.analysis.means import ClassNames, compute_means
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout
from attnbench.study.split import Split

SECOND_RATER = "second rater"
"""Stands where tables have a model; no model of a study can have this name."""


def read_second_raters(layout: Layout, datasets: Sequence[str]) -> pd.DataFrame:
    """Score rows of the second rater of every dataset that has them; empty without any."""
    paths = [path for path in map(layout.second_rater, datasets) if path.is_file()]
    text = {"case": "str", "group": "str"}
    frames = [
        pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": [""]})
        for path in paths
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def compute_second_rater(
    scores: pd.DataFrame,
    observed: pd.DataFrame,
    models: Sequence[str],
    metrics: Sequence[str],
    settings: AnalysisSettings,
    names: ClassNames,
    splits: Mapping[str, Split] | None = None,
) -> pd.DataFrame:
    """Rows of `means` on the cases that a second rater annotated, as one more model.

    A case that no model was scored on is left out, so that all rows of a dataset speak about the
    same cases.

    Args:
        scores: the table of the models' scores.
        observed: score rows of the second raters, as `read_second_raters` returns them.
        models: names of the models, in the order of the rows.
        metrics: names of the metrics, in the order of the rows.
        settings: confidence, resamples and seed.
        names: name of each class by dataset and class.
        splits: how the datasets are split.
    """
    if observed.empty:
        return joined("second_rater", [])
    cases = observed[["dataset", "case"]].drop_duplicates()
    rows = scores[scores["dataset"].isin(cases["dataset"])].astype(
        {"dataset": "str", "case": "str"}
    )
    rows = rows.merge(cases, on=["dataset", "case"])
    if rows.empty:
        return joined("second_rater", [])
    folds = rows[["dataset", "case", "fold"]].drop_duplicates(["dataset", "case"])
    # A second rater has no training: the fold is the case's, the seed any one of the models'.
    human = observed.merge(folds, on=["dataset", "case"]).assign(
        model=SECOND_RATER, seed=rows["seed"].min()
    )
    datasets = list(dict.fromkeys(observed["dataset"]))
    blocks = arrange(
        pd.concat([rows, human], ignore_index=True),
        datasets,
        [*models, SECOND_RATER],
        metrics,
        splits,
    )
    return compute_means(blocks, settings, names)
