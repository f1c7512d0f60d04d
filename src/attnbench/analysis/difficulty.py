"""Where attention helps: the benefit of a model against how hard a case is, known before any
training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import by_defined_groups, group_totals, mean_defined
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.effects import Pair, compared, comparisons, paired
from attnbench.analysis.resample import MIN_GROUPS, bootstrap_interval, group_weights, widened_tail
from attnbench.analysis.significance import holm_by_family, sign_flip_p
from attnbench.data.difficulty import MEASURES
from attnbench.scoring.definitions import METRICS
from attnbench.study.paths import Layout
from attnbench.study.settings import AnalysisSettings

KNOWN_TRUTH = ("blur", "contrast", "clutter")
SAME_SIZE = "parameters"
"""The control that is a plain U-Net of the variant's size."""

STRATA = ("low", "middle", "high")
COLUMNS = (
    "dataset", "metric", "unit", "model", "baseline", "measure", "known_truth", "slope", "low", "high",
    "p", "p_holm", "family", "family_size", "benefit", "significant", "verdict", "measure_mean", "measure_sd", "groups", "cases",
)  # fmt: skip
STRATA_COLUMNS = (
    "dataset", "metric", "unit", "model", "baseline", "measure", "known_truth", "stratum", "from", "to",
    "benefit", "low", "high", "groups", "cases",
)  # fmt: skip
SLOPE_RESAMPLES, STRATA_RESAMPLES = 2000, 1000
"""At most so many: there are as many slopes as models times measures, and three times as many
strata.
"""

Difficulty = Mapping[str, pd.DataFrame]
"""Measures by dataset: one row per case (the index), one column per measure in the words of the
tables.
"""


def read_difficulty(layout: Layout, datasets: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Measured difficulty and known truths of every prepared dataset, from its `cases.csv`."""
    found = {}
    for name in datasets:
        path = layout.prepared(name) / "cases.csv"
        if path.is_file():
            cases = pd.read_csv(
                path, dtype={"case": "str"}, keep_default_na=False, na_values=[""]
            ).set_index("case")
            measured = cases.rename(
                columns={f"difficulty_{measure}": f"measured_{measure}" for measure in MEASURES}
            )
            words = [f"measured_{measure}" for measure in MEASURES] + list(KNOWN_TRUTH)
            found[name] = measured[[word for word in words if word in measured]].astype("float64")
    return found


def interactions(
    scores: Sequence[DatasetScores], baseline: str, part: AnalysisSettings, difficulty: Difficulty
) -> pd.DataFrame:
    """One row per dataset, metric, comparison and measure of difficulty, mean over classes;
    columns: docs/files.md.

    Models are compared with the study's baseline, variants also with the plain U-Net of their
    size. The slope is that of the least-squares line of the cases' benefits (paired, mean over
    seeds, above 0 the model is better) on the measure, per standard deviation of it over the
    scored cases. Its interval resamples groups. p is a score test: under the hypothesis of no
    slope the groups' contributions to it are flipped in sign (Kline and Santos, A score based
    approach to wild bootstrap inference, Journal of Econometric Methods 1, 2012).
    """
    frames = [
        _rows(block, labels, values, benefits, part)
        for block, labels, values, benefits in _measured(scores, baseline, difficulty)
    ]
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    frame = _corrected(pd.concat(frames, ignore_index=True), baseline)
    frame = frame.assign(
        benefit=frame["slope"],
        significant=frame["p_holm"] <= 1 - part.confidence,
        verdict="undecided",
    )
    return frame.loc[:, list(COLUMNS)]


def strata(
    scores: Sequence[DatasetScores], baseline: str, part: AnalysisSettings, difficulty: Difficulty
) -> pd.DataFrame:
    """Mean benefit in each third of the cases by a measure, with its interval over groups; columns
    as in docs/files.md.

    Cases with the same value share a stratum, so that the thirds may differ in size.
    """
    frames = []
    for block, labels, values, benefits in _measured(scores, baseline, difficulty):
        edges = np.nanquantile(values, [1 / 3, 2 / 3])
        member = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="left"))
        for number in np.unique(member[member >= 0]):
            inside = member == number
            frames.append(
                _stratum(
                    block, labels, values[inside], np.where(inside, benefits, np.nan), part, number
                )
            )
    if not frames:
        return pd.DataFrame(columns=list(STRATA_COLUMNS))
    return pd.concat(frames, ignore_index=True).loc[:, list(STRATA_COLUMNS)]


def _measured(
    scores: Sequence[DatasetScores], baseline: str, difficulty: Difficulty
) -> Iterator[tuple[DatasetScores, pd.DataFrame, Floats, Floats]]:
    """Block, labels, measure (cases,) and benefits (rows, cases), for every measure that differs
    between cases.
    """
    for block in scores:
        table = difficulty.get(block.dataset, pd.DataFrame())
        pairs = [
            (model, other)
            for model, other in comparisons(block.models, baseline)
            if other in (baseline, f"{model}-{SAME_SIZE}")
        ]
        if table.empty or not pairs:
            continue
        labels, benefits = _benefits(block, pairs)
        for column in table:
            values = table[column].reindex(block.cases).to_numpy(np.float64)
            scored = np.where(np.isnan(benefits).all(axis=0), np.nan, values)
            if np.unique(scored[~np.isnan(scored)]).size > 1:
                word = str(column).removeprefix("measured_")
                known = not str(column).startswith("measured_")
                yield block, labels.assign(measure=word, known_truth=known), scored, benefits


def _benefits(block: DatasetScores, pairs: Sequence[Pair]) -> tuple[pd.DataFrame, Floats]:
    """Labels and benefits (rows, cases) of every metric and pair, mean over classes and seeds."""
    differences = mean_defined(paired(block, pairs)[0][:, -1], 3)
    metric, model = np.indices(differences.shape[:2]).reshape(2, -1)
    names = np.array(block.metrics, dtype=object)[metric]
    sign = np.array([1.0 if METRICS[name].higher_is_better else -1.0 for name in names])
    labels = pd.DataFrame(
        {
            "dataset": block.dataset,
            "metric": names,
            "unit": np.array(block.units, dtype=object)[metric],
            "model": np.array([name for name, _ in pairs], dtype=object)[model],
            "baseline": np.array([other for _, other in pairs], dtype=object)[model],
        }
    )
    return labels, sign[:, None] * differences.reshape(len(labels), -1)


def _rows(
    block: DatasetScores,
    labels: pd.DataFrame,
    values: Floats,
    benefits: Floats,
    part: AnalysisSettings,
) -> pd.DataFrame:
    mean, sd = float(np.nanmean(values)), float(np.nanstd(values))
    totals = _totals(block, (values - mean) / sd, benefits)
    slope = _slope(totals.sum(axis=2))
    low, high = _interval(totals, slope, part)
    return labels.assign(
        slope=slope,
        low=low,
        high=high,
        p=np.where(
            np.isnan(slope),
            np.nan,
            sign_flip_p(_contributions(totals), totals[0], part.bootstrap, part.seed),
        ),
        measure_mean=mean,
        measure_sd=sd,
        groups=(totals[0] > 0).sum(axis=1),
        cases=totals[0].sum(axis=1).astype(np.int64),
    )


def _totals(block: DatasetScores, x: Floats, y: Floats) -> Floats:
    """Number of pairs and sums of x, y, xy, xx in every group, (5, rows, groups); `x` (cases,),
    `y` (rows, cases).
    """
    x = np.where(np.isnan(y), np.nan, x)
    y = np.where(np.isnan(x), np.nan, y)
    sums = [
        group_totals(values, block.case_group, len(block.groups)) for values in (x, y, x * y, x * x)
    ]
    return np.stack([sums[0][1], *(total for total, _ in sums)])


def _slope(totals: Floats, otherwise: Floats | None = None) -> Floats:
    """Least-squares slopes from five sums (5, ...); `otherwise` (or NaN) where x does not vary."""
    n, x, y, xy, xx = totals
    n = np.maximum(n, 1)
    spread = xx - x * x / n
    slope = (
        np.full(spread.shape, np.nan)
        if otherwise is None
        else np.broadcast_to(otherwise, spread.shape).copy()
    )
    return np.divide(xy - x * y / n, spread, out=slope, where=spread > 1e-9 * n)


def _interval(totals: Floats, slope: Floats, part: AnalysisSettings) -> tuple[Floats, Floats]:
    """Interval of every slope, groups resampled; a resample in which x does not vary keeps the
    observed slope.
    """
    low, high = np.full((2, totals.shape[1]), np.nan)
    for rows, kept in by_defined_groups(totals[0]):
        if kept.size >= MIN_GROUPS:
            weights = group_weights(kept.size, min(part.bootstrap, SLOPE_RESAMPLES), part.seed)
            resampled = np.stack([weights @ total[np.ix_(rows, kept)].T for total in totals])
            tail = widened_tail(part.confidence, kept.size)
            low[rows], high[rows] = np.quantile(
                _slope(resampled, slope[rows]), (tail, 1 - tail), axis=0
            )
    return low, high


def _contributions(totals: Floats) -> Floats:
    """Every group's share of the covariance of x and y about their means over cases, (rows,
    groups).
    """
    n, x, y, xy, _ = totals
    cases = np.maximum(n.sum(axis=1, keepdims=True), 1)
    mean_x, mean_y = x.sum(axis=1, keepdims=True) / cases, y.sum(axis=1, keepdims=True) / cases
    return xy - mean_x * y - mean_y * x + n * mean_x * mean_y


def _corrected(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Add Holm's p over all datasets, comparisons and measures of one metric, measured and known
    difficulty apart.
    """
    families = frame.groupby(["metric", "known_truth"], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    corrected, size = holm_by_family(frame["p"].to_numpy(), code)
    words = [
        f"{metric}, {'known' if known else 'measured'} difficulty: {compared(rows, baseline)} x "
        f"{rows['measure'].nunique()} measures x {rows['dataset'].nunique()} datasets"
        for (metric, known), rows in families
    ]
    return frame.assign(
        p_holm=corrected, family=np.array(words, dtype=object)[code], family_size=size
    )


def _stratum(
    block: DatasetScores,
    labels: pd.DataFrame,
    values: Floats,
    benefits: Floats,
    part: AnalysisSettings,
    number: int,
) -> pd.DataFrame:
    groups = len(block.groups)
    resamples = min(part.bootstrap, STRATA_RESAMPLES)
    low, high = bootstrap_interval(
        benefits, block.case_group, groups, part.confidence, resamples, part.seed
    )
    counts = group_totals(benefits, block.case_group, groups)[1]
    return labels.assign(
        stratum=STRATA[number],
        **{"from": values.min(), "to": values.max()},
        benefit=mean_defined(benefits, 1),
        low=low,
        high=high,
        groups=(counts > 0).sum(axis=1),
        cases=counts.sum(axis=1).astype(np.int64),
    )
