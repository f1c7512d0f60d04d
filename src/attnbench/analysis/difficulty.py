"""Benefit of a model against how hard a case is, which is known before any training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attnbench.analysis.averages import (
    group_means,
    mean_defined,
    mean_over_groups,
)
from attnbench.analysis.blocks import DatasetScores, Floats
from attnbench.analysis.effects import Pair, compared, comparisons, withheld_reasons
from attnbench.analysis.frames import joined
from attnbench.analysis.resample import student_interval
from attnbench.analysis.retraining import MIN_TRAININGS, of_groups
from attnbench.analysis.significance import holm_by_family, sign_flip_p
from attnbench.analysis.verdicts import ONE_SPLIT, TOO_FEW_TRAININGS, directions, judge
from attnbench.data.difficulty import MEASURES
from attnbench.scoring.definitions import METRICS
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout
from attnbench.study.settings import Study

KNOWN_TRUTH = ("blur", "contrast", "clutter")
SAME_SIZE = "parameters"
"""The control that is a plain U-Net of the variant's size."""

STRATA = ("low", "middle", "high")

Difficulty = Mapping[str, pd.DataFrame]
"""Measures by dataset: one row per case (the index), one column per measure.

Columns `voxels_<class>`, where there are any, say how finely a share of that class is counted.
"""
ONE_SCALE = "one scale"
"""A metric without bounds has no logit: a slope of it is shown, and nothing is claimed of it."""


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
            columns += [str(name) for name in measured if str(name).startswith("voxels_")]
            measures[name] = measured[[column for column in columns if column in measured]].astype(
                "float64"
            )
    return measures


@dataclass(frozen=True)
class _Measured:
    """Benefits of every metric and pair of one dataset against one measure of difficulty.

    `labels`: (rows); `x`: the measure (cases,); `raw` and `logit`: benefits (rows, cases, repeats)
    over the classes that the reference has, the second on the logit scale.
    """

    block: DatasetScores
    labels: pd.DataFrame
    x: Floats
    raw: Floats
    logit: Floats


def compute_difficulty(
    scores: Sequence[DatasetScores],
    baseline: str,
    settings: AnalysisSettings,
    difficulty: Difficulty,
    controls: Sequence[Pair] = (),
) -> pd.DataFrame:
    """One row per dataset, metric, comparison and measure; columns: docs/files.md.

    Models are compared with the study's baseline, variants also with the plain U-Net of their size.
    The slope is that of the least-squares line of the cases' benefits (paired, mean over seeds,
    above 0 the model is better) on the measure, per standard deviation of it, groups weighted
    alike. Its interval is Student's of the groups' influences. p is a score test: under the
    hypothesis of no slope the groups' contributions to it are flipped in sign (Kline and Santos, A
    score based approach to wild bootstrap inference, Journal of Econometric Methods 1, 2012).

    A constant gain in odds is a smaller gain in Dice where the baseline is near 1, which looks like
    an interaction. So all of it is done on the logit scale too, and a verdict needs both: `p_both`
    is the larger p, and 1 where the signs differ. Shares of 0 and 1 are moved half a voxel inwards.

    Args:
        scores: the scores of each dataset.
        baseline: the model that every other one is compared with.
        settings: confidence, resamples and seed.
        difficulty: measures of every case, by dataset.
        controls: pairs (variant, control) that are compared as well: those of `same_size`.
    """
    frames = [_rows(one, settings) for one in _measured(scores, baseline, difficulty, controls)]
    if not frames:
        return joined("difficulty", [])
    frame = pd.concat(frames, ignore_index=True)
    return joined("difficulty", [_corrected(frame, baseline, 1 - settings.confidence)])


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
    for one in _measured(scores, baseline, difficulty, controls):
        edges = np.nanquantile(one.x, [1 / 3, 2 / 3])
        # A value on an edge belongs to the lower stratum, as all cases that share it.
        member = np.where(np.isnan(one.x), -1, np.searchsorted(edges, one.x, side="left"))
        benefits = mean_defined(one.raw, 2)
        for number in np.unique(member[member >= 0]):
            inside = member == number
            limits = one.x[inside].min(), one.x[inside].max()
            chosen = np.where(inside, benefits, np.nan)
            frames.append(_stratum(one, limits, chosen, settings, number))
    return joined("difficulty_strata", frames)


def _measured(
    scores: Sequence[DatasetScores], baseline: str, difficulty: Difficulty, controls: Sequence[Pair]
) -> Iterator[_Measured]:
    """Benefits against every measure that differs between the scored cases of a dataset."""
    for block in scores:
        table = difficulty.get(block.dataset, pd.DataFrame())
        pairs = comparisons(block.models, baseline, controls)
        measures = [column for column in table if not str(column).startswith("voxels_")]
        if table.empty or not pairs or not measures:
            continue
        labels = _labels(block, pairs)
        raw = _benefits(block, pairs, block.values)
        logit = _benefits(block, pairs, _logits(block, table))
        for column in measures:
            values = table[column].reindex(block.cases).to_numpy(np.float64)
            # Only scored cases count: a measure that is the same in all of them has no slope.
            scored = np.where(np.isnan(raw).all(axis=(0, 2)), np.nan, values)
            if np.unique(scored[~np.isnan(scored)]).size > 1:
                measure = str(column).removeprefix("measured_")
                known = not str(column).startswith("measured_")
                named = labels.assign(measure=measure, known_truth=known)
                yield _Measured(block, named, scored, raw, logit)


def _labels(block: DatasetScores, pairs: Sequence[Pair]) -> pd.DataFrame:
    metric, pair = np.indices((len(block.metrics), len(pairs))).reshape(2, -1)
    model, baseline = (np.array([one[side] for one in pairs], dtype=object) for side in (0, 1))
    return pd.DataFrame(
        {
            "dataset": block.dataset,
            "metric": np.array(block.metrics, dtype=object)[metric],
            "unit": np.array(block.units, dtype=object)[metric],
            "model": model[pair],
            "baseline": baseline[pair],
        }
    )


def _benefits(block: DatasetScores, pairs: Sequence[Pair], values: Floats) -> Floats:
    """Benefits (rows, cases, repeats) of every metric and pair, mean over classes and seeds.

    Only classes that the reference has: whether a case without the class gets a false alarm says
    nothing about how hard its borders are.
    """
    present = np.where(block.reference_absent, np.nan, values)
    model, other = ([block.models.index(pair[side]) for pair in pairs] for side in (0, 1))
    differences = mean_defined(present[:, :, model] - present[:, :, other], 1)
    shape = (*differences.shape[:3], block.repeats, -1)
    benefits = mean_defined(differences.reshape(shape), 4)
    return (directions(block.metrics)[:, None, None, None] * benefits).reshape(
        -1, *benefits.shape[2:]
    )


def _logits(block: DatasetScores, table: pd.DataFrame) -> Floats:
    """Log odds of the values of bounded metrics, in the shape of `values`; NaN of the others."""
    bounded = np.array([METRICS[name].bounded for name in block.metrics])
    values = np.where(bounded[:, None, None, None, None], block.values, np.nan)
    columns = [f"voxels_{number}" for number in block.classes]
    counted = table.reindex(index=list(block.cases), columns=columns).to_numpy(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        # One voxel of n moves Dice by about 1 / 2n.
        edge = np.minimum(1 / (4 * counted), 0.25)[:, None, :, None]
        edge = np.where(np.isfinite(edge), edge, _finest(values)[:, None, None, None, None])
        inside = np.clip(values, edge, 1 - edge)
        return np.log(inside / (1 - inside))


def _finest(values: Floats) -> Floats:
    """Half the smallest distance from 0 or 1 that each metric has, where voxels are not known."""
    distance = np.minimum(values, 1 - values)
    distance = np.where(distance > 1e-9, distance, np.inf)
    return (
        np.minimum(distance.min(axis=(1, 2, 3, 4), initial=np.inf, where=~np.isnan(distance)), 0.5)
        / 2
    )


def _rows(one: _Measured, settings: AnalysisSettings) -> pd.DataFrame:
    mean, sd = float(np.nanmean(one.x)), float(np.nanstd(one.x))
    # Standardised before the sums, whose differences lose fewer digits the nearer x is to 0.
    x = (one.x - mean) / sd
    scales = {"": one.raw, "_logit": one.logit}
    columns: dict[str, Floats] = {}
    for suffix, benefits in scales.items():
        found = _scale(one.block, x, benefits, settings)
        columns |= {f"{name}{suffix}": values for name, values in found.items()}
    used = np.where(np.isnan(x), np.nan, mean_defined(one.raw, 2))
    groups = group_means(used, one.block.case_group, len(one.block.groups))
    return one.labels.assign(
        **columns,
        fixed=one.block.fixed,
        measure_mean=mean,
        measure_sd=sd,
        groups=(~np.isnan(groups)).sum(axis=1),
        cases=(~np.isnan(used)).sum(axis=1),
    )


def _scale(
    block: DatasetScores, x: Floats, benefits: Floats, settings: AnalysisSettings
) -> dict[str, Floats]:
    """Slope, interval and p values of benefits (rows, cases, repeats) on x (cases,)."""
    per_case = mean_defined(benefits, 2)
    totals = _totals(block, x, per_case)
    slope = _slope(totals)
    low, high = student_interval(_pseudo_values(totals, slope), settings.confidence)
    p = sign_flip_p(_contributions(totals, totals), settings.bootstrap, settings.seed)
    repeats = [
        _influence(_totals(block, x, benefits[:, :, repeat]), totals, slope)
        for repeat in range(block.repeats)
    ]
    again = of_groups(block, np.stack(repeats, axis=2), slope)
    told = again.trainings >= MIN_TRAININGS
    retrained_low, retrained_high = again.interval(settings.confidence)
    return {
        "slope": slope,
        "low": low,
        "high": high,
        "p": np.where(np.isnan(slope), np.nan, p),
        "retrained_low": retrained_low,
        "retrained_high": retrained_high,
        "p_retrained": np.where(told & ~np.isnan(slope), again.p(), np.nan),
        "trainings": again.trainings,
    }


def _totals(block: DatasetScores, x: Floats, y: Floats) -> Floats:
    """1 and the means of x, y, xy, xx over every group's cases, (5, rows, groups); NaN without any.

    `x` is (cases,), `y` (rows, cases); a pair counts where both are defined.
    """
    x = np.where(np.isnan(y), np.nan, x)
    y = np.where(np.isnan(x), np.nan, y)
    means = [
        group_means(values, block.case_group, len(block.groups)) for values in (x, y, x * y, x * x)
    ]
    return np.stack([np.where(np.isnan(means[0]), np.nan, 1.0), *means])


def _slope(totals: Floats) -> Floats:
    """Least-squares slopes (rows,) from the groups' `_totals`; NaN where x does not vary."""
    x, y, xy, xx = (mean_defined(values, 1) for values in totals[1:])
    spread = xx - x * x
    # x has variance 1 over all cases: 1e-9 of that is rounding.
    return np.divide(xy - x * y, spread, out=np.full(spread.shape, np.nan), where=spread > 1e-9)


def _contributions(own: Floats, totals: Floats) -> Floats:
    """Share of every group in the covariance of x and y, (rows, groups); NaN without a pair.

    `own` are the groups' `_totals` of one repeat or of all, `totals` those of all.
    """
    mean_x, mean_y = (mean_defined(values, 1)[:, None] for values in totals[1:3])
    return own[3] - mean_x * own[2] - mean_y * own[1] + mean_x * mean_y


def _influence(own: Floats, totals: Floats, slope: Floats) -> Floats:
    """The slope plus every group's influence on it, (rows, groups); their mean is the slope.

    To first order a slope is a mean of such values, which intervals and tests take as they take
    scores (Hampel, JASA 69, 1974).
    """
    mean_x = mean_defined(totals[1], 1)[:, None]
    spread = mean_defined(totals[4], 1)[:, None] - mean_x**2
    # Deviations from the line through the means: only they say how uncertain the slope is.
    line = slope[:, None] * (own[4] - 2 * mean_x * own[1] + mean_x**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return slope[:, None] + (_contributions(own, totals) - line) / spread


def _pseudo_values(totals: Floats, slope: Floats) -> Floats:
    """The jackknife's value of every group, (rows, groups), shifted such that their mean is the
    slope.

    Groups with an extreme measure pull the line towards themselves, so that influences on it make
    intervals too narrow with few groups; leaving each out does not (Efron and Stein, Annals of
    Statistics 9, 1981).
    """
    defined = ~np.isnan(totals[0])
    sums = np.where(defined, totals, 0.0)
    rest = sums.sum(axis=2, keepdims=True) - sums
    number = np.maximum(rest[0], 1)
    x, y, xy, xx = rest[1:] / number
    spread = xx - x * x
    without = np.divide(
        xy - x * y, spread, out=np.full(spread.shape, np.nan), where=(spread > 1e-9) & defined
    )
    left = number * (slope[:, None] - without)
    return slope[:, None] + left - mean_defined(left, 1)[:, None]


def _corrected(frame: pd.DataFrame, baseline: str, level: float) -> pd.DataFrame:
    """Add Holm's p over all tests of one metric, measured and known difficulty apart; verdicts."""
    families = frame.groupby(["metric", "known_truth"], sort=False)
    code = families.ngroup().to_numpy().astype(np.int64)
    agree = np.sign(frame["slope"]) == np.sign(frame["slope_logit"])
    both = {
        name: frame[[name, f"{name}_logit"]]
        .max(axis=1, skipna=False)
        .where(agree | frame[f"{name}_logit"].isna(), 1.0)
        for name in ("p", "p_retrained")
    }
    withheld = withheld_reasons(
        both["p"].to_numpy(),
        frame["groups"].to_numpy(),
        code,
        level,
        {ONE_SCALE: (frame["slope"].notna() & frame["slope_logit"].isna()).to_numpy()},
    )
    corrected, size = holm_by_family(both["p"].where(withheld == "").to_numpy(), code)
    again = holm_by_family(both["p_retrained"].where(withheld == "").to_numpy(), code)[0]
    titles = [
        f"{metric}, {'known' if known else 'measured'} difficulty: {compared(rows, baseline)} x "
        f"{rows['measure'].nunique()} measures x {rows['dataset'].nunique()} datasets"
        for (metric, known), rows in families
    ]
    frame = frame.assign(
        p_both=both["p"],
        p_both_retrained=both["p_retrained"],
        p_holm=corrected,
        p_retrained_holm=again,
        family=np.array(titles, dtype=object)[code],
        family_size=size,
    )
    few = (withheld == "") & (frame["trainings"] < MIN_TRAININGS) & frame["p"].notna()
    trained = judge(frame["slope"], frame["p_holm"], level, withheld=withheld)
    retrained = judge(
        frame["slope"],
        frame[["p_holm", "p_retrained_holm"]].max(axis=1, skipna=False),
        level,
        withheld=np.where(few, np.where(frame["fixed"], ONE_SPLIT, TOO_FEW_TRAININGS), withheld),
    )
    return frame.assign(**trained, **retrained[["significant", "verdict"]].add_suffix("_retrained"))


def _stratum(
    one: _Measured,
    limits: tuple[float, float],
    benefits: Floats,
    settings: AnalysisSettings,
    number: int,
) -> pd.DataFrame:
    block = one.block
    groups = group_means(benefits, block.case_group, len(block.groups))
    low, high = student_interval(groups, settings.confidence)
    return one.labels.assign(
        stratum=STRATA[number],
        **{"from": limits[0], "to": limits[1]},
        benefit=mean_over_groups(benefits, block.case_group, len(block.groups)),
        low=low,
        high=high,
        groups=(~np.isnan(groups)).sum(axis=1),
        cases=(~np.isnan(benefits)).sum(axis=1),
    )
