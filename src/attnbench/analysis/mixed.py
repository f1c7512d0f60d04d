"""Mixed model of paired differences, with random effects of folds, trainings, groups and cases."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

# A fit works on dense matrices of the differences: its time grows faster than their number.
MOST_DIFFERENCES = 1200
MOST_WITH_CASES = 400
TERMS = {"fold": "0 + C(fold)", "run": "0 + C(run)", "group": "0 + C(group)", "case": "0 + C(case)"}
"""Random effects, each nested in its dataset: luck that a fold's or a case's rows share."""


def fit_mixed(rows: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Fit the mean difference, its interval and the sd of each random effect by REML.

    `rows` has `dataset, fold, run, group, case, value`. The interval uses t with Satterthwaite's
    degrees of freedom: it is wide where the difference mostly varies between a few folds or
    datasets. Above 400 differences cases are averaged within group and run; above 1,200 of those
    nothing is fitted. A model that does not converge is fitted again without the folds. `note`
    says all this; `converged` is false where there is no fit.
    """
    if np.ptp(rows["value"]) == 0:
        same = {"difference": float(rows["value"].iloc[0])}
        return {**same, **unfitted("every difference is the same: nothing to model")}
    notes = []
    if len(rows) > MOST_WITH_CASES:
        keys = ["dataset", "fold", "run", "group"]
        rows = (
            rows.groupby(keys, sort=False, as_index=False)["value"]
            .mean()
            .assign(case=lambda r: r["group"])
        )
        notes.append("cases averaged within group and run")
    if len(rows) > MOST_DIFFERENCES:
        return unfitted(
            f"not fitted: {len(rows)} differences are too many; see the other rows of this model"
        )
    sizes = {level: int(rows[level].nunique()) for level in ("dataset", *TERMS)}
    terms = _distinct_terms(sizes, len(rows))
    if not terms:
        return unfitted(
            "not fitted: no fold, run, group or case repeats; effects.csv says all there is"
        )
    fit = _fit(rows, sizes, terms, confidence, notes)
    if not fit["converged"] and "fold" in terms and len(terms) > 1:
        # Few folds say little of their own spread: the effect that the rest can do without.
        rest = {level: formula for level, formula in terms.items() if level != "fold"}
        fit = _fit(
            rows, sizes, rest, confidence, [*notes, "fold left out: did not converge with it"]
        )
    return fit


def unfitted(note: str) -> dict[str, Any]:
    """The result of a model that was not fitted, and why."""
    return {"converged": False, "note": note}


def _distinct_terms(sizes: Mapping[str, int], rows: int) -> dict[str, str]:
    """Random effects that the data can separate: repeated, and no copy of a coarser one."""
    kept: dict[str, str] = {}
    for level, formula in TERMS.items():
        coarser = [sizes["dataset"], *(sizes[other] for other in kept)]
        if sizes[level] < rows and sizes[level] not in coarser:
            kept[level] = formula
    return kept


def _fit(
    rows: pd.DataFrame,
    sizes: Mapping[str, int],
    terms: Mapping[str, str],
    confidence: float,
    notes: list[str],
) -> dict[str, Any]:
    # Imported here: statsmodels loads slowly, and most commands never fit.
    from statsmodels.regression.mixed_linear_model import MixedLM

    # With one dataset there is no spread between datasets to estimate.
    several, scale = sizes["dataset"] > 1, float(rows["value"].std())
    # In units of their sd: the optimisers' tolerances are absolute, those of scores are not.
    scaled = rows.assign(value=rows["value"] / scale)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = MixedLM.from_formula(
                "value ~ 1",
                scaled,
                groups=scaled["dataset"] if several else np.zeros(len(rows)),
                re_formula="1" if several else "0",
                vc_formula=dict(terms),
            )
            fit = model.fit(reml=True)
        except (np.linalg.LinAlgError, ValueError) as problem:
            return unfitted("; ".join([f"did not converge: {problem}", *notes]))
    said = [
        *notes,
        *sorted(
            {str(warning.message).split(".")[0] for warning in caught if not _is_a_try(warning)}
        ),
    ]
    estimate, error = float(fit.fe_params.iloc[0]) * scale, float(fit.bse_fe.iloc[0]) * scale
    if not (fit.converged and np.isfinite(error) and error > 0):
        return unfitted("; ".join(["did not converge", *said]))
    spread = dict(zip(model.exog_vc.names, np.sqrt(fit.vcomp) * scale, strict=True))
    spread |= {"dataset": np.sqrt(np.asarray(fit.cov_re)[0, 0]) * scale} if several else {}
    rest = float(np.sqrt(fit.scale)) * scale
    free = _satterthwaite(
        [*((sd, sizes[level]) for level, sd in spread.items()), (rest, len(rows))]
    )
    half = stats.t.ppf((1 + confidence) / 2, free) * error
    return {
        "difference": estimate,
        "low": estimate - half,
        "high": estimate + half,
        "p": float(2 * stats.t.sf(abs(estimate) / error, free)),
        "free": free,
        **{f"sd_{level}": float(sd) for level, sd in spread.items()},
        "sd_rest": rest,
        "converged": True,
        "note": "; ".join(said),
    }


def _is_a_try(warning: warnings.WarningMessage) -> bool:
    """True for a warning about one of the optimisers tried; `converged` says how it ended."""
    return str(warning.message).startswith(
        ("Retrying", "Gradient opt", "Maximum Like", "MixedLM opt")
    )


def _satterthwaite(components: Iterable[tuple[float, int]]) -> float:
    """Degrees of freedom of a mean whose variance is the sum of sd^2 / n, as in a balanced design.

    `components` are the pairs (sd, n).
    """
    shares = [(sd**2 / count, count - 1) for sd, count in components]
    return float(
        sum(share for share, _ in shares) ** 2 / sum(share**2 / free for share, free in shares)
    )
