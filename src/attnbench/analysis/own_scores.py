"""A user's own table of scores, compared by the statistics of a study."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import DatasetScores, arrange
from attnbench.analysis.effects import compute_effects
from attnbench.errors import DataError, listed, nearest
from attnbench.scoring.definitions import METRICS
from attnbench.study.groups import AnalysisSettings

OWN = "scores"
"""Name of the dataset that a user's own scores are of."""
COLUMNS = ("case", "value")
_OPTIONAL: Mapping[str, object] = {"fold": 0, "seed": 0, "class": 1}


def compare_tables(
    tables: Mapping[str, pd.DataFrame], baseline: str, metric: str, settings: AnalysisSettings
) -> pd.DataFrame:
    """Rows of `effects.csv`: every table's scores minus those of the table called `baseline`.

    Args:
        tables: scores by model; columns `case` and `value`, and where there are any `group` (else
            every case is a group), `fold`, `seed` and `class`. A value may be NaN: undefined.
        baseline: the one that all others are compared with.
        metric: name of the metric, which says unit and direction.
        settings: confidence, margin, resamples and seed.

    Raises:
        DataError: no such metric or model, a column is missing or holds what it may not, a case
            stands there twice or in two groups, or two models have no case in common.
    """
    if metric not in METRICS:
        raise DataError(f"no such metric as {metric!r}; {nearest(metric, METRICS)}")
    if baseline not in tables:
        raise DataError(f"no scores of a model {baseline!r}; {nearest(baseline, tables)}")
    if len(tables) < 2:
        raise DataError(f"only scores of {baseline!r}; a comparison takes two models or more")
    rows = {name: _rows(name, table, metric) for name, table in tables.items()}
    for name, own in rows.items():
        if {*own["case"]}.isdisjoint(rows[baseline]["case"]):
            raise DataError(
                f"{name!r} and {baseline!r} have no case in common: they have "
                f"{listed(list(own['case'].unique()), 3)}, and "
                f"{listed(list(rows[baseline]['case'].unique()), 3)}; scores are paired by `case`"
            )
    blocks = arrange(pd.concat(rows.values(), ignore_index=True), [OWN], list(tables), [metric])
    return effects_of(blocks, baseline, settings)


def effects_of(
    blocks: list[DatasetScores], baseline: str, settings: AnalysisSettings
) -> pd.DataFrame:
    """Rows of `effects.csv` of every model against `baseline`, without a class's name.

    Raises:
        DataError: there are no scores of it.
    """
    models = [name for block in blocks for name in block.models]
    if baseline not in models:
        raise DataError(f"no scores of a model {baseline!r}; {nearest(baseline, models)}")
    return compute_effects(blocks, baseline, settings, {})


def _rows(model: str, table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores of one model as rows of `scores.csv`."""
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise DataError(
            f"scores of {model!r}: no column {', '.join(absent)}; found "
            f"{', '.join(map(str, table.columns))}; a table has `case`, `value` and, where there "
            "are any, `group`, `fold`, `seed`, `class`"
        )
    if table.empty:
        raise DataError(f"scores of {model!r}: no rows")
    value = pd.to_numeric(table["value"], errors="coerce").astype("float64")
    wrong = value.isna() & table["value"].notna()
    if wrong.any():
        raise DataError(
            f"scores of {model!r}: {table['value'][wrong].iloc[0]!r} is no number; a value is one, "
            "or NaN where it is undefined"
        )
    unit = METRICS[metric].unit
    columns: dict[str, object] = {
        "dataset": OWN,
        "model": model,
        "case": table["case"].astype("str"),
        "group": table["group" if "group" in table else "case"].astype("str"),
        "metric": metric,
        "value": value,
        "unit": "px" if unit == "distance" else unit,
        "status": "ok",
    }
    for name, default in _OPTIONAL.items():
        columns[name] = _whole_numbers(model, name, table[name]) if name in table else default
    return pd.DataFrame(columns)


def _whole_numbers(model: str, name: str, column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() | (numbers != np.floor(numbers)) | (numbers < 0)
    if wrong.any():
        raise DataError(
            f"scores of {model!r}: {name} is {column[wrong].iloc[0]}; it is a whole number, 0 or "
            "more"
        )
    return numbers.astype("int64")
