"""How large a study may be: said before anything of it is expanded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST_RUNS = 100_000
"""Runs (datasets x models x folds x seeds, once more for every share of data efficiency).

Snakemake holds all of them, with four jobs each, in memory.
"""
MOST_MODELS = 1000
"""Models, those that `controls` add included."""
MOST: Mapping[str, int] = {
    "datasets": 1000,
    "models": MOST_MODELS,
    "controls": 10,
    "seeds": 10_000,
    "metrics": 100,
    "own_metrics": 100,
    "catalog": 100,
    "accept_licences": 1000,
    "transfer": 1000,
    "corruptions": 100,
    "data_efficiency": 100,
}
"""Entries of a study's lists."""


def too_long(content: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the lists of a study's content that have more entries than a study can have."""
    for key, most in MOST.items():
        given = content.get(key)
        if isinstance(given, list | tuple | Mapping) and len(given) > most:
            yield (
                f"{key}: {len(given)} entries; at most {most}: write several studies, whose "
                "results stay apart"
            )


def too_many_runs(runs: int) -> Iterator[str]:
    """Yield that a study has more runs than can be planned."""
    if runs > MOST_RUNS:
        yield (
            f"the study has {runs} runs (datasets x models x folds x seeds); at most {MOST_RUNS}: "
            "take fewer seeds, or `folds.run`, or write several studies"
        )
