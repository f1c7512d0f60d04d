"""Reliability: share of voxels that are of a class, by the probability that a model gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores
from attnbench.analysis.frames import joined
from attnbench.analysis.means import ClassNames
from attnbench.analysis.resample import interval_of_totals
from attnbench.scoring.calibration import expected_calibration_error, read_calibration
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout, Run


def compute_reliability(
    layout: Layout,
    runs: Iterable[Run],
    blocks: Sequence[DatasetScores],
    settings: AnalysisSettings,
    names: ClassNames,
) -> pd.DataFrame:
    """One row per dataset, class (and `all`), model and bin with voxels; columns: docs/files.md.

    Voxels of a bin are pooled over cases, folds, seeds and, for `all`, classes; the interval of
    the share observed resamples groups. `ece` is the mean of the metric of that name, as in
    `means.csv`.

    Args:
        layout: where the runs' `calibration.csv` lie.
        runs: the study's runs, those of a dataset and model next to each other.
        blocks: the scores of each dataset, which know the group of every case.
        settings: confidence, resamples and seed.
        names: name of each class by dataset and class.
    """
    groups = {block.dataset: _group_of_case(block) for block in blocks}
    frames = []
    for (dataset, model), own in groupby(runs, lambda run: (run.dataset, run.model)):
        bins = _bins_of(layout, own, groups.get(dataset, {}))
        if len(bins):
            frame = pd.concat(_curves(bins, settings), ignore_index=True)
            titles = {**names.get(dataset, {}), ALL_CLASSES: "all classes together"}
            class_name = [titles.get(name, name) for name in frame["class"]]
            frames.append(frame.assign(dataset=dataset, model=model, class_name=class_name))
    return joined("reliability", frames)


def _group_of_case(block: DatasetScores) -> dict[str, str]:
    return {
        case: block.groups[group] for case, group in zip(block.cases, block.case_group, strict=True)
    }


def _bins_of(layout: Layout, runs: Iterable[Run], groups: dict[str, str]) -> pd.DataFrame:
    """The bins of one model's scored cases, with `fold`, `seed` and `group`."""
    paths = {run: layout.run(run) / "calibration.csv" for run in runs}
    tables = [
        read_calibration(path).assign(fold=run.fold, seed=run.seed)
        for run, path in paths.items()
        if path.is_file()
    ]
    if not tables:
        return pd.DataFrame()
    bins = pd.concat(tables, ignore_index=True)
    # A case without a score has no group to be resampled with.
    return bins.assign(group=bins["case"].map(groups)).dropna(subset="group")


def _curves(bins: pd.DataFrame, settings: AnalysisSettings) -> Iterator[pd.DataFrame]:
    """The curve of every class, then that of all."""
    # An error per case and seed, as the metric: that of the pooled bins is another quantity.
    errors = pd.Series(
        {
            key: expected_calibration_error(own["voxels"], own["probability"], own["observed"])
            for key, own in bins.groupby(["class", "case", "seed"], sort=False)
        }
    ).rename_axis(["class", "case", "seed"])
    for number in sorted(bins["class"].unique()):
        yield _curve(bins[bins["class"] == number], str(number), errors[number], settings)
    yield _curve(bins, ALL_CLASSES, errors.groupby(["case", "seed"]).mean(), settings)


def _curve(
    bins: pd.DataFrame, class_: str, errors: pd.Series, settings: AnalysisSettings
) -> pd.DataFrame:
    """The rows of one class; `errors` has the calibration error of each case and seed."""
    weighted = {
        "voxels": bins["voxels"],
        **{name: bins["voxels"] * bins[name] for name in ("probability", "observed")},
    }
    totals = bins.assign(**weighted).pivot_table(
        index="bin", columns="group", values=list(weighted), aggfunc="sum", fill_value=0
    )
    voxels, hits = (totals[name].to_numpy(np.float64) for name in ("voxels", "observed"))
    low, high = interval_of_totals(
        hits, voxels, settings.confidence, settings.bootstrap, settings.seed
    )
    number = voxels.sum(axis=1)
    return pd.DataFrame(
        {
            "class": class_,
            "bin": totals.index,
            "voxels": number.astype(np.int64),
            "probability": totals["probability"].to_numpy(np.float64).sum(axis=1) / number,
            "observed": hits.sum(axis=1) / number,
            "low": low,
            "high": high,
            "ece": errors.groupby("case").mean().mean(),
            "cases": bins.groupby("bin")["case"].nunique().to_numpy(),
            "groups": (voxels > 0).sum(axis=1),
            "folds": bins.groupby("bin")["fold"].nunique().to_numpy(),
            "seeds": bins.groupby("bin")["seed"].nunique().to_numpy(),
        }
    )
