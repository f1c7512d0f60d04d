"""Cost of every model on every dataset, beside the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from attnbench.analysis.frames import of_rows

TIMED = (
    "batch", "latency_seconds", "inference_seconds", "inference_images_per_second",
    "inference_peak_bytes",
    "step_seconds", "step_images_per_second", "step_peak_bytes", "rounds",
)  # fmt: skip
SUMS = ("trial_seconds", "all_seconds", "all_energy_j")
MEASURED = ("train_seconds", "images_per_second", "peak_memory_bytes", "energy_j")


def compute_cost(
    descriptions: Mapping[tuple[str, str], Mapping[str, Any]],
    runs: pd.DataFrame,
    sweep: pd.DataFrame,
    baseline: str,
) -> pd.DataFrame:
    """One row per dataset and model; columns as in docs/files.md, empty where nothing was measured.

    `descriptions` holds what `attnbench describe` and `attnbench measure` wrote of each
    (dataset, model) in the study's order, empty where the files are absent; `runs` and `sweep`
    are the frames of these names. The figures of runs are medians over the trained ones that did
    not diverge, those of all trainings are sums, trials of a sweep included.
    """
    trained = runs[runs["trained"]]
    rows = [
        {
            "dataset": dataset,
            "model": model,
            **_described(facts),
            **_measured(_of(trained, dataset, model)),
            "diverged": int(_of(trained, dataset, model)["diverged"].notna().sum()),
            **_altogether(_of(trained, dataset, model), _of(sweep, dataset, model)),
        }
        for (dataset, model), facts in descriptions.items()
    ]
    frame = of_rows("cost", rows)
    measured = ("parameters", "flops", *MEASURED, *TIMED, *SUMS)
    frame = frame.astype(dict.fromkeys(measured, "float64"))
    reference = frame[frame["model"] == baseline].set_index("dataset")
    for name in ("parameters", "flops", "train_seconds", "latency_seconds", "step_seconds"):
        frame[f"{name}_ratio"] = frame[name] / frame["dataset"].map(reference[name])
    whole = (
        "parameters", "flops", "peak_memory_bytes", "batch", "inference_peak_bytes",
        "step_peak_bytes", "rounds",
    )  # fmt: skip
    # Int64, unlike int64, has empty cells beside whole numbers.
    return frame.astype(dict.fromkeys(whole, "Int64")) if len(frame) else frame


def _described(facts: Mapping[str, Any]) -> dict[str, Any]:
    shape = facts.get("input")
    return {
        "parameters": facts.get("parameters"),
        "flops": facts.get("flops"),
        "input": "x".join(map(str, shape)) if shape else None,
        **{name: facts.get(name) for name in TIMED},
    }


def _of(frame: pd.DataFrame, dataset: str, model: str) -> pd.DataFrame:
    return frame[(frame["dataset"] == dataset) & (frame["model"] == model)]


def _altogether(rows: pd.DataFrame, trials: pd.DataFrame) -> dict[str, Any]:
    """Sums over trainings and trials, empty where one was not measured; runs that still rose."""
    told = rows["still_rising"].dropna()
    sums = {"all_seconds": ("train_seconds", "seconds"), "all_energy_j": ("energy_j", "energy_j")}
    return {
        "trials": len(trials),
        "trial_seconds": trials["seconds"].sum(),
        **{
            name: rows[of_run].sum(skipna=False) + trials[of_trial].sum(skipna=False)
            for name, (of_run, of_trial) in sums.items()
            if len(rows)
        },
        "told": len(told),
        "rising": int(told.sum()),
    }


def _measured(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "runs": len(rows),
        **{name: _joined(rows[name].dropna()) for name in ("device", "precision")},
        # Less was done in those that ended early.
        **{name: rows.loc[rows["diverged"].isna(), name].median() for name in MEASURED},
    }


def _joined(values: Iterable[Any]) -> str | None:
    return ", ".join(sorted({str(value) for value in values})) or None
