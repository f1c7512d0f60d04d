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
MEASURED = ("train_seconds", "images_per_second", "peak_memory_bytes", "energy_j")


def compute_cost(
    descriptions: Mapping[tuple[str, str], Mapping[str, Any]], runs: pd.DataFrame, baseline: str
) -> pd.DataFrame:
    """One row per dataset and model; columns as in docs/files.md, empty where nothing was measured.

    `descriptions` holds what `attnbench describe` and `attnbench measure` wrote of each
    (dataset, model) in the study's order, empty where the files are absent; `runs` is the frame
    `runs`. The figures of runs are medians over the trained ones.
    """
    trained = runs[runs["trained"]]
    rows = [
        {
            "dataset": dataset,
            "model": model,
            **_described(facts),
            **_measured(trained, dataset, model),
        }
        for (dataset, model), facts in descriptions.items()
    ]
    frame = of_rows("cost", rows)
    frame = frame.astype(dict.fromkeys(("parameters", "flops", *MEASURED, *TIMED), "float64"))
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


def _measured(trained: pd.DataFrame, dataset: str, model: str) -> dict[str, Any]:
    rows = trained[(trained["dataset"] == dataset) & (trained["model"] == model)]
    return {
        "runs": len(rows),
        **{name: _joined(rows[name].dropna()) for name in ("device", "precision")},
        **{name: rows[name].median() for name in MEASURED},
    }


def _joined(values: Iterable[Any]) -> str | None:
    return ", ".join(sorted({str(value) for value in values})) or None
