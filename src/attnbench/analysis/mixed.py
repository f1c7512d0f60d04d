"""Mixed model of paired differences, with random effects of folds, trainings and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from attnbench.analysis.blocks import Floats, Integers
from attnbench.analysis.retraining import MIN_TRAININGS

# A fit works on dense matrices of the effects' levels: its time grows faster than their number.
MOST_LEVELS = 500
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
    is fitted below five folds, nor above 500 levels of the effects; `note` says so, and `converged`
    is false where there is no fit. Patterson and Thompson, Biometrika 58, 1971.
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
    terms = _distinct_terms(sizes, len(rows))
    if (levels := sum(sizes[level] for level in terms)) > MOST_LEVELS:
        return unfitted(f"not fitted: {levels} folds, trainings and groups are too many")
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


@dataclass(frozen=True)
class _Crossproducts:
    """All that the likelihood needs of the rows, whatever the variances are.

    With q levels of all effects together: `levels` Z'Z (q, q), `ones` Z'1 and `values` Z'y (q,);
    `effect` says which effect a level belongs to. `total` is 1'y, `squares` y'y, of `rows` rows.
    """

    levels: Floats
    ones: Floats
    values: Floats
    effect: Integers
    total: float
    squares: float
    rows: int


def _crossproducts(rows: pd.DataFrame, terms: list[str], y: Floats) -> _Crossproducts:
    codes = [np.unique(rows[level], return_inverse=True)[1] for level in terms]
    design = np.concatenate([np.eye(int(code.max()) + 1)[code] for code in codes], axis=1)
    effect = np.concatenate(
        [np.full(int(code.max()) + 1, number) for number, code in enumerate(codes)]
    )
    return _Crossproducts(
        design.T @ design,
        design.sum(axis=0),
        design.T @ y,
        effect,
        float(y.sum()),
        float(y @ y),
        len(y),
    )


def _fit(
    rows: pd.DataFrame, sizes: Mapping[str, int], terms: list[str], confidence: float
) -> dict[str, Any]:
    scale = float(rows["value"].std())
    products = _crossproducts(rows, terms, rows["value"].to_numpy(np.float64) / scale)
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
    solved = _solve(ratios, products)
    mean = solved.one_y / solved.one_one
    rest = float(np.sqrt(solved.residual / (products.rows - 1)))
    error = rest / float(np.sqrt(solved.one_one))
    spread = {
        level: float(np.sqrt(ratio) * rest) for level, ratio in zip(terms, ratios, strict=True)
    }
    free = min(
        _satterthwaite(
            [*((sd, sizes[level]) for level, sd in spread.items()), (rest, products.rows)]
        ),
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
class _Solved:
    """Products with the inverse of the rows' covariance V, in units of the rest.

    `levels` Z'V^-1 Z (q, q), `ones` Z'V^-1 1 and `values` Z'V^-1 y (q,); `one_one` 1'V^-1 1,
    `one_y` 1'V^-1 y; `residual` of y about its mean; `log_determinant` of V.
    """

    levels: Floats
    ones: Floats
    values: Floats
    one_one: float
    one_y: float
    residual: float
    log_determinant: float


def _solve(ratios: Floats, products: _Crossproducts) -> _Solved:
    """By Woodbury's identity: matrices are as large as the levels, not as the rows."""
    root = np.sqrt(ratios)[products.effect]
    inner = np.eye(len(root)) + root[:, None] * products.levels * root
    factor = linalg.cho_factor(inner, lower=True)
    right = np.column_stack([products.levels, products.ones, products.values]) * root[:, None]
    solved = linalg.cho_solve(factor, right)
    left = np.column_stack([products.levels, products.ones, products.values])
    removed = left.T @ (root[:, None] * solved)
    q = len(root)
    one_one = products.rows - removed[q, q]
    one_y = products.total - removed[q, q + 1]
    y_y = products.squares - removed[q + 1, q + 1]
    return _Solved(
        products.levels - removed[:q, :q],
        products.ones - removed[:q, q],
        products.values - removed[:q, q + 1],
        float(one_one),
        float(one_y),
        float(y_y - one_y**2 / one_one),
        float(2 * np.log(np.diag(factor[0])).sum()),
    )


def _deviance(ratios: Floats, products: _Crossproducts) -> tuple[float, Floats]:
    """Minus twice the restricted log likelihood, but for constants, and its gradient.

    `ratios` (effects,): variances of the effects over that of the rest.
    """
    solved, free = _solve(ratios, products), products.rows - 1
    value = free * np.log(solved.residual) + solved.log_determinant + np.log(solved.one_one)
    # Removes the mean as REML does: P = V^-1 - V^-1 1 (1' V^-1 1)^-1 1' V^-1.
    pulled = solved.values - solved.ones * solved.one_y / solved.one_one
    own = np.diag(solved.levels) - solved.ones**2 / solved.one_one
    by_level = own - free / solved.residual * pulled**2
    gradient = np.bincount(products.effect, by_level, len(ratios)).astype(np.float64)
    return float(value), gradient


def _satterthwaite(components: Iterable[tuple[float, int]]) -> float:
    """Degrees of freedom of a mean whose variance is the sum of sd^2 / n, as in a balanced design.

    `components` are the pairs (sd, n).
    """
    shares = [(sd**2 / count, count - 1) for sd, count in components]
    return float(
        sum(share for share, _ in shares) ** 2 / sum(share**2 / free for share, free in shares)
    )
