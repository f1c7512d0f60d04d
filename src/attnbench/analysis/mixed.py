"""Mixed model of paired differences, with random effects of folds, trainings and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from attnbench.analysis.blocks import Floats, Integers
from attnbench.analysis.retraining import MIN_TRAININGS

# A fit works on dense matrices of the levels (a few hundred): its time grows with their cube.
MOST_DIFFERENCES = 1200
MIN_DATASETS = 3
TERMS = ("fold", "run", "group")
"""Random effects, each nested in its dataset: luck that the rows of a fold or group share."""
# Ratio of a variance to that of the rest, beyond which the rest is rounding.
_LARGEST_RATIO = 1e6


def fit_mixed(rows: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Fit the mean difference, its interval and the sd of each random effect by REML.

    `rows` has `dataset, fold, run, group, value`: one row per group and training. Every effect that
    the data can tell from the others is kept, also where its variance is estimated as 0: to leave
    one out is to count dependent trainings as independent. The interval uses t with Satterthwaite's
    degrees of freedom, at most one less than there are folds (or datasets, across these). Nothing
    is fitted below five folds, nor above 1,200 differences; `note` says so, and `converged` is
    false where there is no fit. Patterson and Thompson, Biometrika 58, 1971.
    """
    if np.ptp(rows["value"]) == 0:
        same = {"difference": float(rows["value"].iloc[0])}
        return {**same, **unfitted("every difference is the same: nothing to model")}
    sizes = {level: int(rows[level].nunique()) for level in ("dataset", *TERMS)}
    if sizes["fold"] < MIN_TRAININGS:
        return unfitted(
            f"not fitted: {sizes['fold']} folds cannot tell the luck of training from the effect; "
            f"{MIN_TRAININGS} can"
        )
    if 1 < sizes["dataset"] < MIN_DATASETS:
        return unfitted(f"not fitted: the spread of datasets takes {MIN_DATASETS} of them")
    if len(rows) > MOST_DIFFERENCES:
        return unfitted(f"not fitted: {len(rows)} differences are too many")
    terms = _distinct_terms(sizes, len(rows))
    if not terms:
        return unfitted("not fitted: no fold, run or group repeats")
    return {**_fit(rows, sizes, terms, confidence), "converged": True, "note": ""}


def unfitted(note: str) -> dict[str, Any]:
    """The result of a model that was not fitted, and why."""
    return {"converged": False, "note": note}


def _distinct_terms(sizes: Mapping[str, int], rows: int) -> list[str]:
    """Random effects that the data can separate: repeated, and no copy of a coarser one."""
    kept: list[str] = []
    for level in ("dataset", *TERMS):
        if 1 < sizes[level] < rows and sizes[level] not in [sizes[other] for other in kept]:
            kept.append(level)
    return kept


def _fit(
    rows: pd.DataFrame, sizes: Mapping[str, int], terms: list[str], confidence: float
) -> dict[str, Any]:
    scale = float(rows["value"].std())
    # Centred: the sums of products then lose fewer digits.
    centre = float(rows["value"].mean())
    products = _multiplied(
        (rows["value"].to_numpy(np.float64) - centre) / scale,
        [np.unique(rows[level], return_inverse=True)[1] for level in terms],
    )
    # From both a small and a large share of every effect: the likelihood may have two hills.
    fits = [
        optimize.minimize(
            _deviance,
            np.full(len(terms), start),
            args=(products,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, _LARGEST_RATIO)] * len(terms),
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
        )
        for start in (0.1, 1.0)
    ]
    ratios = min(fits, key=lambda fit: float(fit.fun)).x
    found = _solved(ratios, products)
    rest = float(np.sqrt(found.squares / (len(rows) - 1)))
    mean, error = found.mean + centre / scale, rest / float(np.sqrt(found.information))
    spread = {
        level: float(np.sqrt(ratio) * rest) for level, ratio in zip(terms, ratios, strict=True)
    }
    free = min(
        _satterthwaite([*((sd, sizes[level]) for level, sd in spread.items()), (rest, len(rows))]),
        sizes["dataset" if sizes["dataset"] > 1 else "fold"] - 1,
    )
    half = stats.t.ppf((1 + confidence) / 2, free) * error * scale
    return {
        "difference": mean * scale,
        "low": mean * scale - half,
        "high": mean * scale + half,
        "p": float(2 * stats.t.sf(abs(mean) / error, free)),
        "free": free,
        **{f"sd_{level}": sd * scale for level, sd in spread.items()},
        "sd_rest": rest * scale,
    }


@dataclass(frozen=True)
class _Products:
    """What a fit needs of n differences y and the indicators Z of all levels, (n, levels).

    `term`: effect that a level belongs to; `levels`: Z'Z; `ones`, `y`: Z'1 and Z'y; `total`: 1'y;
    `square`: y'y.
    """

    term: Integers
    levels: Floats
    ones: Floats
    y: Floats
    number: int
    total: float
    square: float


@dataclass(frozen=True)
class _Solved:
    """Likelihood's parts at given ratios: V is the covariance in units of the rest.

    `information`: 1'V^-1 1; `squares`: (y - mean)'V^-1 (y - mean); `shrunk`: the inner part K of
    V^-1 = I - Z K Z'; `log_determinant`: of V.
    """

    mean: float
    information: float
    squares: float
    shrunk: Floats
    log_determinant: float


def _multiplied(y: Floats, codes: list[Integers]) -> _Products:
    indicators = [np.eye(int(code.max()) + 1)[code] for code in codes]
    z = np.concatenate(indicators, axis=1)
    sizes = [one.shape[1] for one in indicators]
    return _Products(
        np.repeat(np.arange(len(codes)), sizes),
        z.T @ z,
        z.sum(axis=0),
        z.T @ y,
        y.size,
        float(y.sum()),
        float(y @ y),
    )


def _solved(ratios: Floats, of: _Products) -> _Solved:
    # Woodbury: of V only a matrix of levels is inverted; it stays regular where a ratio is 0.
    root = np.sqrt(ratios)[of.term]
    inner = np.eye(root.size) + root[:, None] * of.levels * root
    factor = np.linalg.inv(np.linalg.cholesky(inner))
    half = factor * root
    shrunk = half.T @ half
    information = of.number - float(of.ones @ shrunk @ of.ones)
    mean = (of.total - float(of.ones @ shrunk @ of.y)) / information
    squares = of.square - float(of.y @ shrunk @ of.y) - mean**2 * information
    return _Solved(mean, information, squares, shrunk, -2 * float(np.log(np.diag(factor)).sum()))


def _deviance(ratios: Floats, of: _Products) -> tuple[float, Floats]:
    """Minus twice the restricted log likelihood, but for constants, and its gradient.

    Args:
        ratios: variances of the effects over that of the rest, (effects,).
        of: products of differences and levels.
    """
    at, free = _solved(ratios, of), of.number - 1
    value = free * np.log(at.squares) + at.log_determinant + np.log(at.information)
    # P = V^-1 - V^-1 1 (1'V^-1 1)^-1 1'V^-1 removes the mean as REML does; here Z'PZ and Z'Py.
    weighed = of.levels @ at.shrunk
    ones = of.ones - weighed @ of.ones
    pulled = of.y - weighed @ of.y - ones * at.mean
    diagonal = np.diag(of.levels) - (weighed * of.levels).sum(axis=1) - ones**2 / at.information
    of_levels = diagonal - pulled**2 * free / at.squares
    gradient = np.bincount(of.term, of_levels, minlength=len(ratios))
    return float(value), gradient.astype(np.float64)


def _satterthwaite(components: Iterable[tuple[float, int]]) -> float:
    """Degrees of freedom of a mean whose variance is the sum of sd^2 / n, as in a balanced design.

    `components` are the pairs (sd, n).
    """
    shares = [(sd**2 / count, count - 1) for sd, count in components]
    return float(
        sum(share for share, _ in shares) ** 2 / sum(share**2 / free for share, free in shares)
    )
