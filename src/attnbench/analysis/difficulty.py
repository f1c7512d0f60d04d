"""Benefit of a model against how hard a case is, which is known before any training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from attnbench.analysis.averages import by_defined_groups, group_totals, mean_defined
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.effects import Pair, compared, comparisons, paired
from attnbench.analysis.frames import joined
from attnbench.analysis.resample import MIN_GROUPS, bootstrap_interval, group_weights, widened_tail
from attnbench.analysis.significance import holm_by_family, sign_flip_p
from attnbench.analysis.verdicts import directions, judge
from attnbench.data.difficulty import MEASURES
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout
from attnbench.study.settings import Study

KNOWN_TRUTH = ("blur", "contrast", "clutter")
SAME_SIZE = "parameters"
"""The control that is a plain U-Net of the variant's size."""

STRATA = ("low", "middle", "high")
SLOPE_RESAMPLES, STRATA_RESAMPLES = 2000, 1000
"""At most so many: there are models times measures slopes, and three times as many strata."""

Difficulty = Mapping[str, pd.DataFrame]
"""Measures by dataset: one row per case (the index), one column per measure."""


def same_size(study: Study) -> list[Pair]:
    """Every variant of a study with the plain U-Net of its size."""
    return [pair for pair in study.control_pairs if study.model(pair[1]).control == SAME_SIZE]


def read_difficulty(layout: Layout, datasets: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Measured difficulty and known truths of every prepared dataset, from its `cases.csv`."""
    measures = {}
    for name in datasets:
        path = layout.prepared(name) / "cases.csv"
        if path.is_file():
            # Only an empty cell is no value: a case may be called `NA`.
            cases = pd.read_csv(
                path, dtype={"case": "str"}, keep_default_na=False, na_values=[""]
            ).set_index("case")
            measured = cases.rename(
                columns={f"difficulty_{measure}": f"measured_{measure}" for measure in MEASURES}
            )
            columns = [f"measured_{measure}" for measure in MEASURES] + list(KNOWN_TRUTH)
            measures[name] = measured[[column for column in columns if column in measured]].astype(
                "float64"
            )
    return measures


def compute_difficulty(
    scores: Sequence[DatasetScores],
    baseline: str,
    settings: AnalysisSettings,
    difficulty: Difficulty,
    controls: Sequence[Pair] = (),
) -> pd.DataFrame:
    """One row per dataset, metric, comparison and measure; columns: docs/files.md.

    Models are compared with the study's baseline, variants also with the plain U-Net of their
    size. The slope is that of the least-squares line of the cases' benefits (paired, mean over
    seeds, above 0 the model is better) on the measure, per standard deviation of it over the
    scored cases. Its interval resamples groups. p is a score test: under the hypothesis of no
    slope the groups' contributions to it are flipped in sign (Kline and Santos, A score based
    approach to wild bootstrap inference, Journal of Econometric Methods 1, 2012).

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence, resamples and seed.
        difficulty: measures of every case, by dataset.
        controls: pairs (variant, control) that are compared as well: those of `same_size`.
    """
    frames = [
        _rows(block, labels, values, benefits, settings)
        for block, labels, values, benefits in _measured(scores, baseline, difficulty, controls)
    ]
    if not frames:
        return joined("difficulty", [])
    frame = _corrected(pd.concat(frames, ignore_index=True), baseline)
    verdicts = judge(frame["slope"], frame["p_holm"], 1 - settings.confidence)
    return joined("difficulty", [frame.assign(**verdicts)])


def compute_difficulty_strata(
    scores: Sequence[DatasetScores],
    baseline: str,
    settings: AnalysisSettings,
    difficulty: Difficulty,
    controls: Sequence[Pair] = (),
) -> pd.DataFrame:
    """Mean benefit in each third of the cases by a measure; columns: docs/files.md.

    Cases with the same value share a stratum, so that the thirds may differ in size.

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence, resamples and seed.
        difficulty: measures of every case, by dataset.
        controls: pairs (variant, control) that are compared as well: those of `same_size`.
    """
    frames = []
    for block, labels, values, benefits in _measured(scores, baseline, difficulty, controls):
        edges = np.nanquantile(values, [1 / 3, 2 / 3])
        # A value on an edge belongs to the lower stratum, as all cases that share it.
        member = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="left"))
        for number in np.unique(member[member >= 0]):
            inside = member == number
            frames.append(
                _stratum(
                    block,
                    labels,
                    values[inside],
                    np.where(inside, benefits, np.nan),
                    settings,
                    number,
                )
            )
    return joined("difficulty_strata", frames)


def _measured(
    scores: Sequence[DatasetScores], baseline: str, difficulty: Difficulty, controls: Sequence[Pair]
) -> Iterator[tuple[DatasetScores, pd.DataFrame, Floats, Floats]]:
    """Block, labels, measure (cases,) and benefits (rows, cases) of every measure that differs."""
    for block in scores:
        table = difficulty.get(block.dataset, pd.DataFrame())
        pairs = comparisons(block.models, baseline, controls)
        if table.empty or not pairs:
            continue
        labels, benefits = _benefits(block, pairs)
        for column in table:
            values = table[column].reindex(block.cases).to_numpy(np.float64)
            # Only scored cases count: a measure that is the same in all of them has no slope.
            scored = np.where(np.isnan(benefits).all(axis=0), np.nan, values)
            if np.unique(scored[~np.isnan(scored)]).size > 1:
                measure = str(column).removeprefix("measured_")
                known = not str(column).startswith("measured_")
                yield block, labels.assign(measure=measure, known_truth=known), scored, benefits


def _benefits(block: DatasetScores, pairs: Sequence[Pair]) -> tuple[pd.DataFrame, Floats]:
    """Labels and benefits (rows, cases) of every metric and pair, mean over classes and seeds."""
    differences = mean_defined(paired(block, pairs)[0][:, -1], 3)
    metric, model = np.indices(differences.shape[:2]).reshape(2, -1)
    names = np.array(block.metrics, dtype=object)[metric]
    labels = pd.DataFrame(
        {
            "dataset": block.dataset,
            "metric": names,
            "unit": np.array(block.units, dtype=object)[metric],
            "model": np.array([name for name, _ in pairs], dtype=object)[model],
            "baseline": np.array([other for _, other in pairs], dtype=object)[model],
        }
    )
    return labels, directions(names)[:, None] * differences.reshape(len(labels), -1)


def _rows(
    block: DatasetScores,
    labels: pd.DataFrame,
    values: Floats,
    benefits: Floats,
    settings: AnalysisSettings,
) -> pd.DataFrame:
    mean, sd = float(np.nanmean(values)), float(np.nanstd(values))
    # Standardised before the sums, whose differences lose fewer digits the nearer x is to 0.
    totals = _totals(block, (values - mean) / sd, benefits)
    slope = _slope(totals.sum(axis=2))
    low, high = _interval(totals, slope, settings)
    return labels.assign(
        slope=slope,
        low=low,
        high=high,
        p=np.where(
            np.isnan(slope),
            np.nan,
            sign_flip_p(_contributions(totals), totals[0], settings.bootstrap, settings.seed),
        ),
        measure_mean=mean,
        measure_sd=sd,
        groups=(totals[0] > 0).sum(axis=1),
        cases=totals[0].sum(axis=1).astype(np.int64),
    )


def _totals(block: DatasetScores, x: Floats, y: Floats) -> Floats:
    """Number of pairs and sums of x, y, xy, xx in every group, (5, rows, groups).

    `x` is (cases,), `y` (rows, cases); a pair counts where both are defined.
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
    # x has variance 1 over all cases: 1e-9 of that is rounding.
    return np.divide(xy - x * y / n, spread, out=slope, where=spread > 1e-9 * n)


def _interval(totals: Floats, slope: Floats, settings: AnalysisSettings) -> tuple[Floats, Floats]:
    """Interval of every slope, groups resampled with all their cases.

    A resample in which x does not vary keeps the observed slope.
    """
    low, high = np.full((2, totals.shape[1]), np.nan)
    for rows, kept in by_defined_groups(totals[0]):
        if kept.size >= MIN_GROUPS:
            weights = group_weights(
                kept.size, min(settings.bootstrap, SLOPE_RESAMPLES), settings.seed
            )
            # A resample's sums are weighted sums of its groups': one product serves all slopes.
            resampled = np.stack([weights @ total[np.ix_(rows, kept)].T for total in totals])
            tail = widened_tail(settings.confidence, kept.size)
            low[rows], high[rows] = np.quantile(
                _slope(resampled, slope[rows]), (tail, 1 - tail), axis=0
            )
    return low, high


def _contributions(totals: Floats) -> Floats:
    """Share of every group in the covariance of x and y over cases, (rows, groups)."""
    n, x, y, xy, _ = totals
    cases = np.maximum(n.sum(axis=1, keepdims=True), 1)
    mean_x, mean_y = x.sum(axis=1, keepdims=True) / cases, y.sum(axis=1, keepdims=True) / cases
    return xy - mean_x * y - mean_y * x + n * mean_x * mean_y


def _corrected(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Add Holm's p over all tests of one metric, measured and known difficulty apart."""
    families = frame.groupby(["metric", "known_truth"], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    corrected, size = holm_by_family(frame["p"].to_numpy(), code)
    titles = [
        f"{metric}, {'known' if known else 'measured'} difficulty: {compared(rows, baseline)} x "
        f"{rows['measure'].nunique()} measures x {rows['dataset'].nunique()} datasets"
        for (metric, known), rows in families
    ]
    return frame.assign(
        p_holm=corrected, family=np.array(titles, dtype=object)[code], family_size=size
    )


def _stratum(
    block: DatasetScores,
    labels: pd.DataFrame,
    values: Floats,
    benefits: Floats,
    settings: AnalysisSettings,
    number: int,
) -> pd.DataFrame:
    groups = len(block.groups)
    resamples = min(settings.bootstrap, STRATA_RESAMPLES)
    low, high = bootstrap_interval(
        benefits, block.case_group, groups, settings.confidence, resamples, settings.seed
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
