"""Whether a difference holds across datasets and retrainings: mixed models, and datasets as units."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attnbench.analysis.effects import paired
from attnbench.analysis.table import DatasetScores, Floats
from attnbench.study import AnalysisPart

COLUMNS = (
    "dataset", "metric", "unit", "model", "baseline", "method", "difference", "low", "high", "p", "free",
    "sd_dataset", "sd_fold", "sd_run", "sd_group", "sd_case", "sd_rest",
    "datasets", "groups", "cases", "runs", "differences", "converged", "note",
)  # fmt: skip
MOST_DIFFERENCES = 1200
MOST_WITH_CASES = 400
TERMS = {"fold": "0 + C(fold)", "run": "0 + C(run)", "group": "0 + C(group)", "case": "0 + C(case)"}
"""Random effects, each nested in its dataset: what a fold, a retraining (fold and seed), a group and a case share."""


def across(scores: Sequence[DatasetScores], baseline: str, part: AnalysisPart) -> pd.DataFrame:
    """One row per metric, model and method, mean over classes; columns as in docs/files.md.

    `mixed` fits the paired differences of all cases and seeds with random effects of fold, run, group and case in every
    dataset, and of the dataset where there are several: its interval speaks about other patients, retrainings and
    data, the one of the effects only about other patients. `datasets` is Student's t of the datasets' differences.
    Across datasets only metrics with one unit are averaged.
    """
    frames = [(block.dataset, differences(block, baseline)) for block in scores if baseline in block.models]
    rows = [row for name, frame in frames for row in _fits(name, frame, part)]
    if len(frames) > 1:
        together = pd.concat([frame for _, frame in frames], ignore_index=True)
        comparable = together.groupby("metric")["unit"].transform("nunique") == 1
        rows += [*_fits("all", together[comparable], part), *_by_dataset(together[comparable], part)]
    return pd.DataFrame(rows).assign(baseline=baseline).reindex(columns=list(COLUMNS))


def differences(block: DatasetScores, baseline: str) -> pd.DataFrame:
    """Every paired difference of the mean over classes, with the names of its fold, run, group and case."""
    values = paired(block, baseline)[0][:, -1]
    metric, model, case, seed = np.nonzero(~np.isnan(values))
    models = np.array([name for name in block.models if name != baseline], dtype=object)
    fold = block.case_fold[case]
    return pd.DataFrame(
        {
            "dataset": block.dataset,
            "metric": np.array(block.metrics, dtype=object)[metric],
            "unit": np.array(block.units, dtype=object)[metric],
            "model": models[model],
            "fold": _names(block.dataset, fold),
            "run": _names(block.dataset, fold, np.array(block.seeds)[seed]),
            "group": _names(block.dataset, np.array(block.groups, dtype=object)[block.case_group[case]]),
            "case": _names(block.dataset, np.array(block.cases, dtype=object)[case]),
            "value": values[metric, model, case, seed],
        }
    )


def _names(dataset: str, *labels: Any) -> list[str]:
    return ["/".join((dataset, *map(str, label))) for label in zip(*labels, strict=True)]


def _fits(name: str, frame: pd.DataFrame, part: AnalysisPart) -> Iterator[dict[str, Any]]:
    for (metric, unit, model), rows in frame.groupby(["metric", "unit", "model"], sort=False):
        yield {
            "dataset": name,
            "metric": metric,
            "unit": unit,
            "model": model,
            "method": "mixed",
            "datasets": rows["dataset"].nunique(),
            "groups": rows["group"].nunique(),
            "cases": rows["case"].nunique(),
            "runs": rows["run"].nunique(),
            "differences": len(rows),
            **fit_mixed(rows, part.confidence),
        }


def fit_mixed(rows: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Mean difference, its interval and the standard deviation of every random effect, by REML.

    `rows` has `dataset, fold, run, group, case, value`. The interval uses t with Satterthwaite's degrees of freedom:
    it is wide where the difference mostly varies between a few folds or datasets. Above 400 differences cases are
    averaged within group and run; above 1,200 of those nothing is fitted. `note` says what was not fitted and why.
    """
    if np.ptp(rows["value"]) == 0:
        same = {"difference": float(rows["value"].iloc[0])}
        return {**same, **_unfitted("every difference is the same: nothing to model")}
    notes = []
    if len(rows) > MOST_WITH_CASES:
        keys = ["dataset", "fold", "run", "group"]
        rows = rows.groupby(keys, sort=False, as_index=False)["value"].mean().assign(case=lambda r: r["group"])
        notes.append("cases averaged within group and run")
    if len(rows) > MOST_DIFFERENCES:
        return _unfitted(f"not fitted: {len(rows)} differences are too many; see the datasets' own rows")
    if not _terms(rows):
        return _unfitted("not fitted: no fold, run, group or case repeats, so that effects.csv says all there is")
    return _converged_or_said(rows, confidence, notes)


def _sizes(rows: pd.DataFrame) -> dict[str, int]:
    return {level: int(rows[level].nunique()) for level in ("dataset", *TERMS)}


def _terms(rows: pd.DataFrame) -> dict[str, str]:
    """The random effects that the data can tell apart: repeated, and no copy of a finer or coarser one."""
    sizes = _sizes(rows)
    kept: dict[str, str] = {}
    for level, formula in TERMS.items():
        coarser = [sizes["dataset"], *(sizes[other] for other in kept)]
        if sizes[level] < len(rows) and sizes[level] not in coarser:
            kept[level] = formula
    return kept


def _converged_or_said(rows: pd.DataFrame, confidence: float, notes: list[str]) -> dict[str, Any]:
    from statsmodels.regression.mixed_linear_model import MixedLM

    sizes = _sizes(rows)
    several = sizes["dataset"] > 1
    scale = float(rows["value"].std())
    scaled = rows.assign(value=rows["value"] / scale)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = MixedLM.from_formula(
                "value ~ 1",
                scaled,
                groups=scaled["dataset"] if several else np.zeros(len(rows)),
                re_formula="1" if several else "0",
                vc_formula=_terms(rows),
            )
            fit = model.fit(reml=True)
        except (np.linalg.LinAlgError, ValueError) as problem:
            return _unfitted(f"not fitted: {problem}")
    notes += sorted({str(warning.message).split(".")[0] for warning in caught if not _is_an_attempt(warning)})
    estimate, error = float(fit.fe_params.iloc[0]) * scale, float(fit.bse_fe.iloc[0]) * scale
    if not (fit.converged and np.isfinite(error) and error > 0):
        return _unfitted("; ".join(["did not converge", *notes]))
    spread = dict(zip(model.exog_vc.names, np.sqrt(fit.vcomp) * scale, strict=True))
    if several:
        spread["dataset"] = float(np.sqrt(np.asarray(fit.cov_re)[0, 0])) * scale
    rest = float(np.sqrt(fit.scale)) * scale
    free = _satterthwaite([*((spread[level], sizes[level]) for level in spread), (rest, len(rows))])
    half = stats.t.ppf((1 + confidence) / 2, free) * error
    return {
        "difference": estimate,
        "low": estimate - half,
        "high": estimate + half,
        "p": float(2 * stats.t.sf(abs(estimate) / error, free)),
        "free": free,
        **{f"sd_{level}": float(spread.get(level, np.nan)) for level in ("dataset", *TERMS)},
        "sd_rest": rest,
        "converged": True,
        "note": "; ".join(notes),
    }


def _is_an_attempt(warning: warnings.WarningMessage) -> bool:
    """Whether a warning is about one of the optimisers tried; `converged` says how it ended."""
    return str(warning.message).startswith(("Retrying", "Gradient opt", "Maximum Like", "MixedLM opt"))


def _satterthwaite(parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a mean whose variance is the sum of sd^2 / n over (sd, n), as in a balanced design."""
    shares = np.array([sd**2 / count for sd, count in parts])
    return float(
        shares.sum() ** 2 / sum(share**2 / (count - 1) for share, (_, count) in zip(shares, parts, strict=True))
    )


def _unfitted(note: str) -> dict[str, Any]:
    return {"converged": False, "note": note}


def _by_dataset(together: pd.DataFrame, part: AnalysisPart) -> Iterator[dict[str, Any]]:
    for (metric, unit, model), rows in together.groupby(["metric", "unit", "model"], sort=False):
        means = rows.groupby(["dataset", "case"], sort=False)["value"].mean().groupby("dataset", sort=False).mean()
        yield {
            "dataset": "all",
            "metric": metric,
            "unit": unit,
            "model": model,
            "method": "datasets",
            "datasets": len(means),
            "groups": rows["group"].nunique(),
            "cases": rows["case"].nunique(),
            "runs": rows["run"].nunique(),
            "differences": len(rows),
            **student(means.to_numpy(), part.confidence),
        }


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
