"""The data frames that reporting reads, and what to say where one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.case_choice import Choice
from attnbench.analysis.second_rater import SECOND_RATER
from attnbench.analysis.tables import FRAMES
from attnbench.errors import DataError
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.settings import Study

_CELL = ("dataset", "class", "class_name", "metric", "unit", "model")
_COUNTS = ("cases", "groups", "folds", "seeds")
COLUMNS: dict[str, tuple[str, ...]] = {
    "best": FRAMES["best"],
    "cases": FRAMES["cases"],
    "means": (*_CELL, "mean", "low", "high", *_COUNTS, "undefined"),
    "second_rater": (*_CELL, "mean", "low", "high", *_COUNTS, "undefined"),
    "effects": (
        *_CELL, "baseline", "difference", "low", "high", "p", "p_holm", "retrained_low",
        "retrained_high", "p_retrained_holm", "verdict", "verdict_retrained", "margin", *_COUNTS, "dropped", "better",
        "worse",
    ),
    "cost": (
        "dataset", "model", "parameters", "flops", "device", "train_seconds", "images_per_second", "peak_memory_bytes",
        "energy_j", "latency_seconds", "inference_images_per_second",
    ),
    "missing": ("dataset", "model", "fold", "seed", "percent", "table", "next_step"),
    "learning": ("dataset", "model", "fold", "seed", "step", "loss", "validation_dice"),
    "ranks": (
        "dataset", "class", "metric", "model", "mean_rank", "position", "position_low", "position_high", "first",
        "resampled", "models", "blocks", "dropped",
    ),
    "rank_tests": ("dataset", "class", "metric", "models", "blocks", "p_f", "critical_difference"),
    "rank_pairs": ("dataset", "class", "metric", "model_a", "model_b", "rank_difference", "p", "critical_difference"),
    "difficulty": (
        "dataset", "metric", "model", "measure", "known_truth", "slope", "low", "high", "p", "p_holm", "groups",
        "cases",
    ),
    "difficulty_strata": (
        "dataset", "metric", "model", "measure", "known_truth", "stratum", "from", "to", "benefit", "low", "high",
        "groups", "cases",
    ),
    "reliability": (
        "dataset", "class", "model", "bin", "voxels", "probability", "observed", "low", "high", "ece", *_COUNTS,
    ),
    "transfer": (
        "train", "test", "class", "metric", "unit", "model", "mean", "low", "high", "baseline", "difference",
        "difference_low", "difference_high", "p_holm", *_COUNTS,
    ),
    "corruption_levels": (
        "dataset", "corruption", "level", "class", "metric", "unit", "model", "mean", "low", "high", *_COUNTS,
    ),
    "corruption_slopes": (
        "dataset", "corruption", "class", "metric", "unit", "model", "slope", "low", "high", "baseline", "difference",
        "difference_low", "difference_high", "p_holm", *_COUNTS,
    ),
    "data_efficiency": (
        "dataset", "percent", "training_groups", "class", "metric", "unit", "model", "mean", "low", "high", "baseline",
        "difference", "difference_low", "difference_high", "p_holm", *_COUNTS,
    ),
}  # fmt: skip
_TEXT = dict.fromkeys(
    (
        "dataset", "train", "test", "model", "model_a", "model_b", "class", "class_name", "metric", "unit", "baseline",
        "measure", "corruption", "case", "of_model",
    ),
    "str",
)  # fmt: skip

_OF_DATASETS, _OF_MODELS = ("dataset", "train", "test"), ("model", "model_a", "model_b")

_ABSENT = {
    "scores": "runs not finished",
    "transfer": "runs not scored on other datasets",
    "corrupted": "runs not scored on corrupted images",
    "data_efficiency": "runs on fewer training groups not finished",
}


def _path(study: Study, name: str) -> Path:
    return study.layout.analysis / f"{name}.csv"


def read_frame(study: Study, name: str) -> pd.DataFrame:
    """The data frame `name` of a study; empty, with its columns, where the file does not exist yet.

    Rows of datasets and models that the study no longer has, and comparisons with other
    baselines than the study's, are left out. Raises `DataError` when columns lack.
    """
    frame = _read(study, name)
    if "baseline" not in frame:
        return frame
    return frame[frame["baseline"].isna() | (frame["baseline"] == study.baseline)].reset_index(
        drop=True
    )


def read_controls(study: Study) -> pd.DataFrame:
    """The rows of `effects.csv` that compare a variant with one of its controls."""
    frame = _read(study, "effects")
    pairs = zip(frame["model"], frame["baseline"], strict=True)
    return frame[[control.startswith(f"{variant}-") for variant, control in pairs]].reset_index(
        drop=True
    )


def _read(study: Study, name: str) -> pd.DataFrame:
    path = _path(study, name)
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS[name]))
    frame = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=[""])
    lacking = [column for column in COLUMNS[name] if column not in frame.columns]
    if lacking:
        raise DataError(
            f"{path}: columns {', '.join(lacking)} are missing, found {', '.join(frame.columns)}; "
            "write it again with `attnbench analyse`"
        )
    kept = pd.Series(True, index=frame.index)
    datasets, models = (
        [*(part.name for part in study.datasets), "all"],
        [*(part.name for part in study.models), SECOND_RATER],
    )
    for columns, names in ((_OF_DATASETS, datasets), (_OF_MODELS, models)):
        for column in (word for word in columns if word in frame):
            kept &= frame[column].isin(names)
    return frame[kept].reset_index(drop=True)


def shown_cases(study: Study, dataset: str) -> list[Choice]:
    """The cases of a dataset that figures show, as the analysis chose them."""
    frame = read_frame(study, "cases")
    rows = records(frame[frame["dataset"] == dataset])
    return [Choice(row["rule"], row["case"], row["of_model"]) for row in rows]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def keyed(frame: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    """The rows by the word in `column`, which names each once."""
    return {row[column]: row for row in records(frame)}


def absent_runs(study: Study, *shift: str) -> list[str]:
    """What the analysis lacks, one sentence per dataset: models without any run, and how many runs
    of others.

    Then the same of the tables of `shift`, such as `transfer`.
    """
    if not _path(study, "means").exists():
        return ["No run of this study has been scored and analysed yet."]
    missing = read_frame(study, "missing")
    notes = []
    for table in ("scores", *shift):
        runs = (
            len(study.folds_to_run())
            * len(study.seeds)
            * (len(study.data_efficiency) if table == "data_efficiency" else 1)
        )
        for dataset, rows in missing[missing["table"] == table].groupby("dataset", sort=False):
            counts = rows["model"].value_counts(sort=False)
            parts = [
                f"{display_name(str(model))} ({lack} of {runs})" for model, lack in counts.items()
            ]
            whole = len(parts) == len(study.models) and bool((counts == runs).all())
            lacking = "all" if whole else ", ".join(parts)
            notes.append(f"{display_name(str(dataset))}: {_ABSENT[table]} and left out: {lacking}")
    return notes
