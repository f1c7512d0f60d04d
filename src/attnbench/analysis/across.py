"""Whether a difference holds across datasets and retrainings: mixed models, and datasets as units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.effects import paired, with_baseline
from attnbench.analysis.mixed import fit_mixed, unfitted
from attnbench.analysis.table import DatasetScores, Floats
from attnbench.study import AnalysisPart

COLUMNS = (
    "dataset", "metric", "unit", "model", "baseline", "method", "difference", "low", "high", "p", "free",
    "sd_dataset", "sd_fold", "sd_run", "sd_group", "sd_case", "sd_rest",
    "datasets", "groups", "cases", "runs", "differences", "converged", "note",
)  # fmt: skip
MOST_FITS = 300
_APART = 1_000_000
_KEYS = ["metric", "unit", "model"]


def across(scores: Sequence[DatasetScores], baseline: str, part: AnalysisPart) -> pd.DataFrame:
    """One row per dataset (and `all`), metric, model and method, mean over classes; columns as in docs/files.md.

    `mixed` fits the paired differences of all cases and seeds with random effects of fold, run, group and case, and of
    the dataset in the rows `all`: its interval speaks about other patients, trainings and data, that of the effects
    only about other patients. `datasets` is Student's t of the datasets' differences. Across datasets a metric is
    averaged only where all have the same unit. In a large study only the first 300 models are fitted.
    """
    frames = [
        (block.dataset, differences(block, baseline, i)) for i, block in enumerate(scores) if baseline in block.models
    ]
    rows: list[dict[str, Any]] = []
    if len(frames) > 1:
        together = pd.concat([frame for _, frame in frames], ignore_index=True)
        comparable = together[together.groupby("metric", observed=True)["unit"].transform("nunique") == 1]
        rows += [*_fits("all", comparable, part, 0), *_by_dataset(comparable, part)]
    for name, frame in frames:
        rows += _fits(name, frame, part, len(rows))
    return pd.DataFrame(rows).assign(baseline=baseline).reindex(columns=list(COLUMNS))


def differences(block: DatasetScores, baseline: str, index: int) -> pd.DataFrame:
    """Every paired difference of the mean over classes, one row per metric, model, case and seed.

    `fold`, `run` (fold and seed), `group` and `case` are integers that no two datasets with different `index` share.
    """
    pairs = with_baseline(block.models, baseline)
    values = paired(block, pairs)[0][:, -1]
    metric, model, case, seed = np.nonzero(~np.isnan(values))
    models = [name for name, _ in pairs]
    fold = block.case_fold[case]
    return pd.DataFrame(
        {
            "dataset": index,
            "metric": np.array(block.metrics, dtype=object)[metric],
            "unit": np.array(block.units, dtype=object)[metric],
            "model": np.array(models, dtype=object)[model],
            "fold": _APART * index + fold,
            "run": _APART * index + fold * len(block.seeds) + seed,
            "group": _APART * index + block.case_group[case],
            "case": _APART * index + case,
            "value": values[metric, model, case, seed],
        }
    )


def _fits(name: str, frame: pd.DataFrame, part: AnalysisPart, before: int) -> Iterator[dict[str, Any]]:
    for number, (key, rows) in enumerate(frame.groupby(_KEYS, sort=False), start=before):
        fit = fit_mixed(rows, part.confidence) if number < MOST_FITS else unfitted("not fitted: the study is too large")
        yield {**_behind(name, key, rows), "method": "mixed", **fit}


def _by_dataset(frame: pd.DataFrame, part: AnalysisPart) -> Iterator[dict[str, Any]]:
    for key, rows in frame.groupby(_KEYS, sort=False):
        means = rows.groupby(["dataset", "case"])["value"].mean().groupby("dataset").mean()
        yield {**_behind("all", key, rows), "method": "datasets", **student(means.to_numpy(), part.confidence)}


def _behind(name: str, key: Any, rows: pd.DataFrame) -> dict[str, Any]:
    counts = {f"{level}s": rows[level].nunique() for level in ("dataset", "group", "case", "run")}
    return {"dataset": name, **dict(zip(_KEYS, key, strict=True)), **counts, "differences": len(rows)}


def student(means: Floats, confidence: float) -> dict[str, Any]:
    """Mean of independent values with Student's interval and p; without an interval for fewer than two."""
    estimate, free = float(means.mean()), means.size - 1
    if free < 1:
        return {"difference": estimate, "free": 0, "note": "one dataset: no interval across datasets"}
    error = float(stats.sem(means))
    half = stats.t.ppf((1 + confidence) / 2, free) * error
    t = abs(estimate) / error if error else (np.inf if estimate else 0.0)
    p = float(2 * stats.t.sf(t, free))
    interval = {"low": estimate - half, "high": estimate + half, "p": p, "free": free}
    return {"difference": estimate, **interval, "sd_dataset": float(means.std(ddof=1)), "note": ""}
