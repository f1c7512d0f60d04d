"""The stamp of a run: what its weights, and all that is made with them, belong to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attnbench.errors import DataError, SealError
from attnbench.files import hash_of
from attnbench.study.paths import Run
from attnbench.study.settings import Study

Stamp = Mapping[str, Any]
"""Flat and plain: dataset, model, fold, seed, percent; `recipe_hash`, `data_hash`, `folds_hash`,
and `statistics_hash` and `choice_hash` where there are such; then a `Machine`."""
Machine = Mapping[str, str]
"""`device`: cpu, cuda or mps; `precision`: float32, tf32 or bfloat16, which really ran; `torch`:
its version."""
MACHINE = ("device", "precision", "torch")


def recipe_hash(study: Study, run: Run) -> str:
    """SHA-256 of what decides the weights of a run, but for fold, seed, data and machine."""
    # A run on all groups has the hash that it had in a study without data efficiency.
    share = {} if run.percent == 100 else {"percent": run.percent}
    return hash_of(study.recipe(run.dataset, run.model) | share)


def identity(study: Study, run: Run) -> Stamp:
    """What the stamp of a run of this study says by the study alone: names, numbers, recipe.

    Predictions made elsewhere have an `origin` in place of a recipe.
    """
    elsewhere = study.model(run.model).predictions
    made = {"origin": elsewhere.origin} if elsewhere else {"recipe_hash": recipe_hash(study, run)}
    return {**vars(run), **made}


def identities(study: Study, runs: Iterable[Run]) -> dict[Run, Stamp]:
    """`identity` of many runs: a recipe is that of all folds and seeds."""

    @cache
    def of_model(dataset: str, model: str, percent: int) -> Stamp:
        return identity(study, Run(dataset, model, 0, 0, percent))

    return {run: {**of_model(run.dataset, run.model, run.percent), **vars(run)} for run in runs}


def stamp_of(run: Run, hashes: Mapping[str, str], machine: Machine) -> Stamp:
    """The stamp of a training; `hashes` are those of `RunInputs`."""
    return {**vars(run), **{f"{name}_hash": of for name, of in hashes.items()}, **machine}


def read_facts(path: Path) -> dict[str, Any]:
    """What a `run.json` says.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError(f"it holds {type(facts).__name__}, not an object")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the run is not finished yet: train it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: no facts of a run ({error}); delete it and start Snakemake again, which "
            "trains the run again"
        ) from error
    return facts


def device_in_words(facts: Mapping[str, Any]) -> str:
    """Kind and name of a run's device, as `cuda: NVIDIA H100`; empty where its facts have none."""
    words = (str(facts[name]) for name in ("device", "device_name") if facts.get(name))
    return ": ".join(words)


def recipe_of(path: Path) -> str | None:
    """The recipe's hash that a `run.json` states; None of predictions made elsewhere.

    Raises:
        DataError: the file is missing or damaged, or states none.
    """
    facts = read_facts(path)
    stated = facts.get("recipe_hash")
    if stated is None and "origin" not in facts:
        raise DataError(
            f"{path}: states no `recipe_hash`; delete it and start Snakemake again, which trains "
            "the run again"
        )
    return None if stated is None else str(stated)


def refuse_other(found: Stamp, expected: Stamp, file: Path, remedy: str) -> None:
    """Raise `SealError` unless `found`, stated of `file`, has all that is `expected`."""
    for name, value in expected.items():
        if name not in found or found[name] != value:
            what = _WORDS.get(name, name)
            if name == "recipe_hash":
                remedy = f"{_CHANGED}; or {remedy}"
            raise SealError(
                f"{file}: belongs to another {what} (found {found.get(name, 'none')}, expected "
                f"{value}); {remedy}"
            )


_CHANGED = "where the study was changed, say `output: another/folder` and keep both"
_WORDS = {
    "recipe_hash": "recipe",
    "data_hash": "state of the data",
    "folds_hash": "split into folds",
    "statistics_hash": "state of the intensities of the fold",
    "choice_hash": "choice of the swept value",
    "weights_sha256": "state of the weights",
    "percent": "percent of the training groups",
    "origin": "origin",
    "inference_hash": "way to predict (`inference` of the study)",
    "scoring_hash": "way to score (`metrics`, `own_metrics`, `scoring` of the study)",
    "shift_hash": "question of the study about shift",
    "shown_hash": "state of the data that were predicted",
    "asked_hash": "question of the study about shift",
    "runs_hash": "list of runs and recipes, as of a study that was changed",
    "weights_hash": "state of the weights of the members",
}
