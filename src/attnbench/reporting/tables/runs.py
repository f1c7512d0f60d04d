"""Facts of the trained runs: their environment and their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.format import NOTHING
from attnbench.reporting.tables.render import Block, Column, Table, plain_row
from attnbench.training.stamp import device_in_words

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_HASHES = ("data_hash", "folds_hash", "recipe_hash", "weights_sha256")


def tabulate_environment(results: Results) -> Table:
    """Show versions, devices and precisions, with the number of runs where these differ."""
    seen: dict[str, list[str]] = {}
    for fact in results.run_facts:
        for key, value in (fact.get("versions") or {}).items():
            seen.setdefault(f"{key} version", []).append(str(value))
        seen.setdefault("Device", []).append(device_in_words(fact) or NOTHING)
        seen.setdefault("Precision", []).append(str(fact.get("precision")))
    rows = [(key, _distinct(values)) for key, values in seen.items()]
    planned = sum(1 for _ in results.study.trainings())
    return Table(
        name="environment",
        caption="Environment of the runs",
        columns=(Column("What", "l"), Column("Value", "l")),
        blocks=(Block("", tuple(plain_row(*row) for row in rows)),),
        notes=(f"{len(results.run_facts)} of {planned} runs have been trained.",),
        frame=pd.DataFrame(rows, columns=["what", "value"]),
    )


def _distinct(values: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return distinct[0]
    return "; ".join(f"{value} ({values.count(value)} runs)" for value in distinct)


def tabulate_hashes(results: Results) -> Table:
    """Show, per run, the hashes of data, folds, recipe and weights."""
    rows = [
        (
            results.dataset_label(fact["dataset"]),
            results.label(fact["model"]),
            str(fact["fold"]),
            str(fact["seed"]),
            *(str(fact.get(key) or NOTHING)[:12] for key in _HASHES),
        )
        for fact in results.run_facts
    ]
    return Table(
        name="hashes",
        caption="Runs and their hashes",
        columns=(
            *(Column(heading, "l") for heading in ("Dataset", "Model")),
            *map(Column, ("Fold", "Seed")),
            *(Column(heading, "l") for heading in ("Data", "Folds", "Recipe", "Weights")),
        ),
        blocks=(Block("", tuple(plain_row(*row) for row in rows)),),
        notes=("First 12 characters of each SHA-256; whole ones are in every run's run.json.",),
        frame=pd.DataFrame(rows),
    )
