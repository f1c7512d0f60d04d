"""The study's runs as they stand on disk: finished or missing, what they cost, how they learned."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pandas as pd

from attnbench.analysis.frames import of_rows
from attnbench.analysis.tables import FRAMES
from attnbench.errors import DataError
from attnbench.files import read_json
from attnbench.study.paths import STAGES, Layout, Run
from attnbench.training.stamp import device_in_words

RUN_COLUMNS = ("dataset", "model", "fold", "seed")
FACTS = (
    "recipe_hash", "data_hash", "folds_hash", "device", "precision", "steps", "train_seconds",
    "images_per_second", "peak_memory_bytes", "energy_j", "parameters", "training_groups",
)  # fmt: skip
NUMBERS = (*FACTS[5:], "diverged")
LEARNING_ROWS = 1_000_000
"""About so many rows of all histories together are kept."""

_DONE = {"trained": "train", "predicted": "predict", "scored": "score"}


def compute_runs(layout: Layout, runs: Iterable[Run], scores: pd.DataFrame) -> pd.DataFrame:
    """One row per run of the study: the stages it finished and the facts of its `run.json`.

    `gathered` says whether its rows are in the study's scores, which decides whether the
    analysis has seen it, and `diverged` the step at which its training was found to diverge.
    """
    seen = scores[list(RUN_COLUMNS)].drop_duplicates()
    gathered = {(str(d), str(m), int(f), int(s)) for d, m, f, s in seen.itertuples(index=False)}
    rows = [_run_row(layout, run, gathered) for run in runs]
    return of_rows("runs", rows).astype(dict.fromkeys(NUMBERS, "float64"))


def _run_row(layout: Layout, run: Run, gathered: set[tuple[str, str, int, int]]) -> dict[str, Any]:
    folder = layout.run(run)
    key = (run.dataset, run.model, run.fold, run.seed)
    facts = read_object(folder / "run.json")
    return {
        **dict(zip(RUN_COLUMNS, key, strict=True)),
        **{done: (folder / STAGES[stage]).is_file() for done, stage in _DONE.items()},
        # Predictions made elsewhere have an origin, and no training that this study knows of.
        **({"trained": False} if "origin" in facts else {}),
        "gathered": key in gathered,
        **{fact: facts.get(fact) for fact in FACTS},
        "device": device_in_words(facts) or None,
        "diverged": facts.get("diverged", {}).get("step"),
    }


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty without such a file.

    Raises:
        DataError: the file holds something else.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: holds {type(content).__name__}, not an object; delete it and run its step "
            "again"
        )
    return content


def compute_missing(
    table: str,
    steps: Callable[[Run], Mapping[str, Path]],
    planned: Iterable[Run],
    scored: pd.DataFrame,
) -> pd.DataFrame:
    """Planned runs without scores in a table, and the first step that each lacks.

    Args:
        table: name of the study's table of scores.
        steps: verbs that lead from a run to the table, each with the file that it leaves behind.
        planned: runs that the table should have.
        scored: rows of the table; `percent` of the training groups is 100 without that column.
    """
    keys = scored.assign(percent=scored.get("percent", 100))[
        [*RUN_COLUMNS, "percent"]
    ].drop_duplicates()
    seen = {
        Run(str(d), str(m), int(f), int(s), int(p))
        for d, m, f, s, p in keys.itertuples(index=False)
    }
    rows = [(*astuple(run), table, _next_step(steps(run))) for run in planned if run not in seen]
    return of_rows("missing", rows)


def _next_step(steps: Mapping[str, Path]) -> str:
    return next((step for step, file in steps.items() if not file.is_file()), "gather")


def refuse_mixed_data(runs: pd.DataFrame) -> None:
    """Refuse runs of one dataset that were made on different data or folds: no pair would be fair.

    Raises:
        DataError: a run differs from most others of its dataset.
    """
    for fact in ("data_hash", "folds_hash"):
        known = runs[runs["gathered"] & runs[fact].notna()]
        for _, rows in known.groupby("dataset", sort=False):
            odd = rows[rows[fact] != rows[fact].mode().iloc[0]]
            if len(odd):
                run = "{dataset}/{model}/fold{fold}-seed{seed}".format(**odd.iloc[0])
                raise DataError(
                    f"{run}: its {fact} differs from the other runs'; "
                    "scores on different data or folds cannot be compared; train these runs again"
                )


def compute_learning(layout: Layout, runs: pd.DataFrame) -> pd.DataFrame:
    """The `history.csv` of every trained run in one table.

    A long history is thinned to evenly spaced rows, first and last among them, and all rows with
    a validation Dice.
    """
    keep = max(20, min(200, LEARNING_ROWS // max(1, len(runs))))
    # Through a file: a million rows of Python strings take far more memory than their frame.
    with TemporaryFile("w+", encoding="utf-8", newline="") as joined:
        table = csv.writer(joined)
        table.writerow(FRAMES["learning"])
        for run in (
            Run(*key) for key in zip(*(runs[name].tolist() for name in RUN_COLUMNS), strict=True)
        ):
            path = layout.run(run) / "history.csv"
            if path.is_file():
                key = (run.dataset, run.model, run.fold, run.seed)
                table.writerows([*key, *row] for row in _thinned(path, keep))
        joined.seek(0)
        return pd.read_csv(joined, dtype={"dataset": "str", "model": "str"})


def _thinned(path: Path, keep: int) -> list[list[str]]:
    """Kept rows of a history, one cell per learning column, empty where it has none."""
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    if len(rows) > keep:
        chosen = {round(step * (len(rows) - 1) / (keep - 1)) for step in range(keep)}
        validated = header.index("validation_dice") if "validation_dice" in header else None
        rows = [
            row
            for index, row in enumerate(rows)
            if index in chosen or (validated is not None and row[validated])
        ]
    columns = [
        header.index(name) if name in header else None
        for name in FRAMES["learning"][len(RUN_COLUMNS) :]
    ]
    return [["" if column is None else row[column] for column in columns] for row in rows]
