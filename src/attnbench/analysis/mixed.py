"""Mixed model of paired differences, with random effects of folds, trainings and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from attnbench.analysis.blocks import Floats
from attnbench.analysis.retraining import MIN_TRAININGS

# A fit works on dense matrices of the differences: its time grows faster than their number.
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
    y = rows["value"].to_numpy(np.float64) / scale
    codes = [np.unique(rows[level], return_inverse=True)[1] for level in terms]
    alike = np.stack([(code[:, None] == code).astype(np.float64) for code in codes])
    # From both a small and a large share of every effect: the likelihood may have two hills.
    fits = [
        optimize.minimize(
            _deviance,
            np.full(len(terms), start),
            args=(y, alike),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, _LARGEST_RATIO)] * len(terms),
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
        )
        for start in (0.1, 1.0)
    ]
    ratios = min(fits, key=lambda fit: float(fit.fun)).x
    mean, error, rest = _estimates(ratios, y, alike)
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


def _deviance(ratios: Floats, y: Floats, alike: Floats) -> tuple[float, Floats]:
    """Minus twice the restricted log likelihood, but for constants, and its gradient.

    Args:
        ratios: variances of the effects over that of the rest, (effects,).
        y: differences, (rows,).
        alike: 1 where two rows share a level of an effect, (effects, rows, rows).
    """
    inverse, log_determinant = _inverted(ratios, alike)
    ones = inverse.sum(axis=1)
    information = ones.sum()
    # Removes the mean as REML does: P = V^-1 - V^-1 1 (1' V^-1 1)^-1 1' V^-1.
    projection = inverse - np.outer(ones, ones) / information
    pulled = projection @ y
    squares, free = float(y @ pulled), len(y) - 1
    value = free * np.log(squares) + log_determinant + np.log(information)
    gradient = np.tensordot(alike, projection - np.outer(pulled, pulled) * free / squares, 2)
    return float(value), gradient


def _inverted(ratios: Floats, alike: Floats) -> tuple[Floats, float]:
    """Inverse of the covariance of the rows in units of the rest, and log of its determinant."""
    covariance = np.eye(alike.shape[1]) + np.tensordot(ratios, alike, axes=1)
    factor = np.linalg.cholesky(covariance)
    half = np.linalg.inv(factor)
    return half.T @ half, float(2 * np.log(np.diag(factor)).sum())


def _estimates(ratios: Floats, y: Floats, alike: Floats) -> tuple[float, float, float]:
    """Mean, its standard error and the sd of the rest."""
    inverse, _ = _inverted(ratios, alike)
    ones = inverse.sum(axis=1)
    mean = float(ones @ y / ones.sum())
    rest = float(np.sqrt((y - mean) @ inverse @ (y - mean) / (len(y) - 1)))
    return mean, rest / float(np.sqrt(ones.sum())), rest


def _satterthwaite(components: Iterable[tuple[float, int]]) -> float:
    """Degrees of freedom of a mean whose variance is the sum of sd^2 / n, as in a balanced design.

    `components` are the pairs (sd, n).
    """
    shares = [(sd**2 / count, count - 1) for sd, count in components]
    return float(
        sum(share for share, _ in shares) ** 2 / sum(share**2 / free for share, free in shares)
    )
