"""Differences across datasets and retrainings: mixed models, and datasets as units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.averages import mean_defined, support
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.effects import Pair, comparisons, paired
from attnbench.analysis.frames import of_rows
from attnbench.analysis.mixed import fit_mixed, unfitted
from attnbench.study.groups import AnalysisSettings

MOST_FITS = 300
# Offset between datasets, above the cases, groups and runs that one can have.
_APART = 1_000_000
_KEYS = ("metric", "unit", "model", "baseline")
_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class _Differences:
    """Paired differences (cases, seeds) of one dataset, metric and pair, mean over classes.

    `counts` says how many datasets, groups, cases, runs (fold and seed) and differences they are.
    """

    block: DatasetScores
    index: int
    values: Floats
    counts: dict[str, int]

    def case_mean(self) -> float:
        """Mean over cases of their mean over seeds."""
        return float(mean_defined(mean_defined(self.values, 1)[None], 1)[0])

    def rows(self) -> pd.DataFrame:
        """One row per case and seed; datasets share no integer of fold, run, group or case."""
        case, seed = np.nonzero(~np.isnan(self.values))
        fold, start = self.block.case_fold[case], _APART * self.index
        return pd.DataFrame(
            {
                "dataset": self.index,
                "fold": start + fold,
                "run": start + fold * len(self.block.seeds) + seed,
                "group": start + self.block.case_group[case],
                "case": start + case,
                "value": self.values[case, seed],
            }
        )


def compute_across(
    scores: Sequence[DatasetScores],
    baseline: str,
    settings: AnalysisSettings,
    controls: Sequence[Pair] = (),
) -> pd.DataFrame:
    """One row per dataset (and `all`), metric, comparison and method; columns: docs/files.md.

    `mixed` fits the paired differences of all cases and seeds with random effects of fold, run,
    group and case, and of the dataset in the rows `all`: its interval speaks about other
    patients, trainings and data, that of the effects only about other patients. `datasets` is
    Student's t of the datasets' differences. Across datasets a metric is averaged only where all
    have the same unit. In a large study only the first 300 models are fitted: those of the
    comparisons with the study's baseline come before those of the variants with their controls.

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence of the intervals.
        controls: pairs (variant, control) that are compared as well, as `Study.control_pairs`.
    """
    rows: list[dict[str, Any]] = []
    # In this order, so that the limit on fits cuts comparisons with controls first.
    for of_baseline in (True, False):
        measured = [
            (block.dataset, _differences(block, pairs, index))
            for index, block in enumerate(scores)
            if (
                pairs := [
                    pair
                    for pair in comparisons(block.models, baseline, controls)
                    if (pair[1] == baseline) is of_baseline
                ]
            )
        ]
        if len(measured) > 1:
            together = _comparable([differences for _, differences in measured])
            rows += [*_fits("all", together, settings, len(rows)), *_by_dataset(together, settings)]
        for name, differences in measured:
            single = {key: [one] for key, one in differences.items()}
            rows += _fits(name, single, settings, len(rows))
    return of_rows("across", rows)


def _differences(
    block: DatasetScores, pairs: Sequence[Pair], index: int
) -> dict[_Key, _Differences]:
    """Differences of every metric and pair that have any, by key."""
    values = paired(block, pairs)[0][:, -1]
    shape = values.shape
    rows = values.reshape(-1, *shape[2:])
    defined = ~np.isnan(rows)
    behind = support(defined, block.case_group, block.case_fold)
    run = block.case_fold[:, None] * len(block.seeds) + np.arange(len(block.seeds))
    runs = [np.unique(run[mask]).size for mask in defined]
    keys = [
        (metric, unit, *pair)
        for metric, unit in zip(block.metrics, block.units, strict=True)
        for pair in pairs
    ]
    return {
        key: _Differences(
            block,
            index,
            # A view would keep the array of all keys.
            rows[i].copy(),
            {
                "datasets": 1,
                "groups": int(behind.groups[i]),
                "cases": int(behind.cases[i]),
                "runs": runs[i],
                "differences": int(defined[i].sum()),
            },
        )
        for i, key in enumerate(keys)
        if defined[i].any()
    }


def _comparable(measured: Sequence[Mapping[_Key, _Differences]]) -> dict[_Key, list[_Differences]]:
    """Differences of all datasets by key, of metrics whose unit is the same in all."""
    units: dict[str, set[str]] = {}
    together: dict[_Key, list[_Differences]] = {}
    for key, one in chain.from_iterable(differences.items() for differences in measured):
        units.setdefault(key[0], set()).add(key[1])
        together.setdefault(key, []).append(one)
    return {key: parts for key, parts in together.items() if len(units[key[0]]) == 1}


def _fits(
    name: str,
    by_key: Mapping[_Key, Sequence[_Differences]],
    settings: AnalysisSettings,
    before: int,
) -> Iterator[dict[str, Any]]:
    for number, (key, parts) in enumerate(by_key.items(), start=before):
        if number < MOST_FITS:
            fit = fit_mixed(
                pd.concat([one.rows() for one in parts], ignore_index=True), settings.confidence
            )
        else:
            fit = unfitted("not fitted: the study is too large")
        yield {**_behind(name, key, parts), "method": "mixed", **fit}


def _by_dataset(
    by_key: Mapping[_Key, Sequence[_Differences]], settings: AnalysisSettings
) -> Iterator[dict[str, Any]]:
    for key, parts in by_key.items():
        means = np.array([one.case_mean() for one in parts])
        yield {
            **_behind("all", key, parts),
            "method": "datasets",
            **student(means, settings.confidence),
        }


def _behind(name: str, key: _Key, parts: Sequence[_Differences]) -> dict[str, Any]:
    counts = {count: sum(one.counts[count] for one in parts) for count in parts[0].counts}
    return {"dataset": name, **dict(zip(_KEYS, key, strict=True)), **counts}


def student(means: Floats, confidence: float) -> dict[str, Any]:
    """Mean of independent values with Student's interval and p; of one value the mean alone."""
    estimate, free = float(means.mean()), means.size - 1
    if free < 1:
        return {
            "difference": estimate,
            "free": 0,
            "note": "one dataset: no interval across datasets",
        }
    error = float(stats.sem(means))
    half = stats.t.ppf((1 + confidence) / 2, free) * error
    # Without variation any difference is certain, and none at all is p = 1.
    t = abs(estimate) / error if error else (np.inf if estimate else 0.0)
    p = float(2 * stats.t.sf(t, free))
    interval = {"low": estimate - half, "high": estimate + half, "p": p, "free": free}
    return {"difference": estimate, **interval, "sd_dataset": float(means.std(ddof=1)), "note": ""}
