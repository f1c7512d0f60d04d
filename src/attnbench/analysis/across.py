"""The primary differences across retrainings and datasets: mixed models, datasets as units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.averages import group_means, mean_defined, mean_over_groups, support
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.effects import Pair, comparisons, paired
from attnbench.analysis.frames import of_rows
from attnbench.analysis.mixed import fit_mixed, unfitted
from attnbench.scoring.definitions import METRICS
from attnbench.study.groups import AnalysisSettings

MOST_FITS = 300
MIN_DATASETS_RANKED = 5
"""With fewer datasets the prior decides as much as they do."""
# As the authors: half a dataset that shows no difference.
PRIOR_STRENGTH = 0.5
# Offset between datasets, above the cases, groups and runs that one can have.
_APART = 1_000_000
_KEYS = ("metric", "unit", "model", "baseline")
_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class _Differences:
    """Paired differences (cases, trainings) of one dataset and pair, mean over classes.

    `counts` says how many datasets, groups, cases, runs (fold and seed) and differences they are.
    """

    block: DatasetScores
    index: int
    values: Floats
    counts: dict[str, int]

    def mean(self) -> float:
        """Mean over groups of the mean over their cases."""
        per_case = mean_defined(self.values, 1)[None]
        return float(mean_over_groups(per_case, self.block.case_group, len(self.block.groups))[0])

    def rows(self) -> pd.DataFrame:
        """One row per group and training; datasets share no integer of fold, run or group."""
        per_group = group_means(self.values.T, self.block.case_group, len(self.block.groups))
        training, group = np.nonzero(~np.isnan(per_group))
        seeds, start = len(self.block.seeds), _APART * self.index
        fold = self.block.group_fold[group, training // seeds]
        return pd.DataFrame(
            {
                "dataset": self.index,
                "fold": start + fold,
                "run": start + fold * seeds + training % seeds,
                "group": start + group,
                "value": per_group[training, group],
            }
        )


def compute_across(
    scores: Sequence[DatasetScores],
    baseline: str,
    settings: AnalysisSettings,
    primary: str,
    controls: Sequence[Pair] = (),
) -> pd.DataFrame:
    """One row per dataset (and `all`), comparison and method in one metric; columns: docs/files.md.

    `mixed` fits the paired differences of all groups and trainings with random effects of fold, run
    and group, and of the dataset in the rows `all`: its interval speaks about other patients,
    trainings and data, that of the effects only about other patients. `datasets` is Student's t of
    the datasets' differences, `signed_rank` the Bayesian signed-rank test of them. Across datasets
    a metric is averaged only where all have the same unit. In a large study only the first 300
    models are fitted: those of the comparisons with the study's baseline come before those of the
    variants with their controls.

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence of the intervals, margin and seed.
        primary: the metric.
        controls: pairs (variant, control) that are compared as well, as `Study.control_pairs`.
    """
    rows: list[dict[str, Any]] = []
    # In this order, so that the limit on fits cuts comparisons with controls first.
    for of_baseline in (True, False):
        measured = [
            (block.dataset, _differences(block, primary, pairs, index))
            for index, block in enumerate(scores)
            if primary in block.metrics
            and (
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
    block: DatasetScores, metric: str, pairs: Sequence[Pair], index: int
) -> dict[_Key, _Differences]:
    """Differences of every pair that has any, by key."""
    number = block.metrics.index(metric)
    one = replace(
        block, metrics=(metric,), values=block.values[[number]], status=block.status[[number]]
    )
    rows = paired(one, pairs).differences[0, -1]
    defined = ~np.isnan(rows)
    behind = support(block, defined)
    training = np.arange(rows.shape[-1])
    fold = block.case_fold[:, training // len(block.seeds)]
    run = fold * len(block.seeds) + training % len(block.seeds)
    return {
        (metric, block.units[number], *pair): _Differences(
            block,
            index,
            # A view would keep the array of all keys.
            rows[i].copy(),
            {
                "datasets": 1,
                "groups": int(behind.groups[i]),
                "cases": int(behind.cases[i]),
                "runs": np.unique(run[defined[i]]).size,
                "differences": int(defined[i].sum()),
            },
        )
        for i, pair in enumerate(pairs)
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
        means, behind = np.array([one.mean() for one in parts]), _behind("all", key, parts)
        yield {**behind, "method": "datasets", **student(means, settings.confidence)}
        metric = METRICS[key[0]]
        benefits = means * (1 if metric.higher_is_better else -1)
        rope = settings.margin if metric.unit == "1" else 0.0
        yield {
            **behind,
            "method": "signed_rank",
            **signed_rank(benefits, rope, settings.bootstrap, settings.seed),
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


def signed_rank(benefits: Floats, rope: float, draws: int, seed: int) -> dict[str, Any]:
    """Bayesian signed-rank test of one benefit per dataset: which of three cases a new one shows.

    Weights of the datasets, and of a pseudo-dataset without any difference, are drawn from a
    Dirichlet distribution; in each draw better, equal (within +-`rope`) and worse pairs are weighed
    against each other. The probabilities are the shares of draws in which each weighs most.
    Benavoli, Corani, Mangili, Zaffalon and Ruggeri, A Bayesian Wilcoxon signed-rank test based on
    the Dirichlet process, ICML 2014.

    Args:
        benefits: mean benefit of each dataset, (datasets,).
        rope: half the width of the region of practical equivalence.
        draws: number of draws.
        seed: of the draws.
    """
    if benefits.size < MIN_DATASETS_RANKED:
        return {"note": f"{benefits.size} datasets are too few; {MIN_DATASETS_RANKED} are needed"}
    values = np.append(benefits, 0.0)
    sums = values[:, None] + values
    strength = np.append(np.ones(benefits.size), PRIOR_STRENGTH)
    weights = np.random.default_rng(seed).dirichlet(strength, draws)
    shares = np.stack(
        [
            np.einsum("di,ij,dj->d", weights, chosen.astype(np.float64), weights, optimize=True)
            for chosen in (sums > 2 * rope, np.abs(sums) <= 2 * rope, sums < -2 * rope)
        ]
    )
    # Without a region of equivalence, pairs that cancel are half better and half worse.
    if rope == 0:
        shares = np.stack([shares[0] + shares[1] / 2, shares[1] * 0, shares[2] + shares[1] / 2])
    best = shares == shares.max(axis=0)
    better, equal, worse = (best / best.sum(axis=0)).mean(axis=1)
    return {
        "probability_better": float(better),
        "probability_equal": float(equal),
        "probability_worse": float(worse),
        "note": "",
    }
