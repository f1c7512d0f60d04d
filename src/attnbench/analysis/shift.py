"""Models away from the data they were trained on: other datasets, worse images, fewer training
groups.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import ALL_CLASSES, DatasetScores, arrange, read_scores
from attnbench.analysis.effects import effects, with_baseline
from attnbench.analysis.means import means
from attnbench.analysis.runs import missing_runs
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.study.settings import Study

log = logging.getLogger(__name__)

Cell = tuple[Mapping[str, Any], DatasetScores]
"""What a part of a table is about, as columns, and the scores that say it."""

RUN = ["dataset", "model", "fold", "seed"]
LEVELS = np.arange(6)
"""Levels of a corruption; 0 is the image as it is."""

_COUNTS = ("cases", "groups", "folds", "seeds")
_CELL = ("class", "metric", "unit", "model")
_DIFFERENCE = (
    "baseline", "difference", "difference_low", "difference_high", "p", "p_holm",
    "benefit", "significant", "verdict",
)  # fmt: skip
TRANSFER_COLUMNS = (
    "train",
    "test",
    *_CELL,
    "mean",
    "low",
    "high",
    *_DIFFERENCE,
    *_COUNTS,
    "failures",
)
LEVEL_COLUMNS = (
    "dataset",
    "corruption",
    "level",
    *_CELL,
    "mean",
    "low",
    "high",
    *_COUNTS,
    "failures",
)
SLOPE_COLUMNS = ("dataset", "corruption", *_CELL, "slope", "low", "high", *_DIFFERENCE, *_COUNTS)
SMALL_COLUMNS = (
    "dataset", "percent", "training_groups", *_CELL, "mean", "low", "high", *_DIFFERENCE, *_COUNTS, "failures",
)  # fmt: skip


def shift_tables(
    study: Study, scores: pd.DataFrame, runs: pd.DataFrame, shifted: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The four tables by name; columns as in docs/files.md, without rows where the study asks for
    no such thing.

    `scores` is the table of the ordinary runs, `runs` that of `study_runs`, `shifted` those of
    `shift_scores`.
    """
    return {
        "transfer": transfer(study, scores, shifted["transfer"]),
        "corruption_levels": corruption_levels(study, scores, shifted["corrupted"]),
        "corruption_slopes": corruption_slopes(study, scores, shifted["corrupted"]),
        "data_efficiency": data_efficiency(study, scores, shifted["data_efficiency"], runs),
    }


def shift_scores(study: Study) -> dict[str, pd.DataFrame]:
    """The study's tables of scores beside the ordinary ones, without rows where it asks for none.

    One that it asks for and that is not there yet is named in the log.
    """
    layout = study.layout
    return {
        "transfer": _read(layout.transfer, bool(study.transfer), "test"),
        "corrupted": _read(layout.corrupted, bool(study.corruptions), "corruption", "level"),
        "data_efficiency": _read(
            layout.data_efficiency, bool(study.data_efficiency), "percent", "training_groups"
        ),
    }


def missing_shift(study: Study, shifted: Mapping[str, pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Of every table of `shift_scores` that the study asks for, the runs it lacks, as
    `missing_runs` has them.
    """
    planned = {
        "transfer": (run for run in study.runs() if study.transfers_of(run.dataset)),
        "corrupted": study.runs(),
        "data_efficiency": study.data_efficiency_runs(),
    }
    for table in study.shift_tables():
        yield missing_runs(study.layout, table, planned[table], shifted[table])


def _read(path: Path, asked: bool, *added: str) -> pd.DataFrame:
    if asked and path.is_file():
        return read_scores(path, *added)
    if asked:
        log.warning("%s is missing: the analysis goes without it", path)
    return pd.DataFrame(columns=[*SCORE_COLUMNS, *added])


def transfer(study: Study, scores: pd.DataFrame, elsewhere: pd.DataFrame) -> pd.DataFrame:
    """One row per training set, test set, class, metric and model; columns as in docs/files.md.

    Elsewhere every case is scored by the models of all folds: a case's scores are averaged over
    trainings (folds and seeds), and a difference is paired by case, class and training. On its
    own set every case has its fold's models.
    """
    asked = [part for part in study.transfer if (elsewhere["dataset"] == part.train).any()]
    own = {name for part in asked for name in (part.train, part.test)}
    cells: list[Cell] = [
        ({"train": block.dataset, "test": block.dataset}, block)
        for block in _blocks(study, scores, own)
    ]
    counts = []
    for part in asked:
        cell = {"train": part.train, "test": part.test}
        rows = elsewhere[(elsewhere["dataset"] == part.train) & (elsewhere["test"] == part.test)]
        cells += [(cell, block) for block in _blocks(study, _one_fold(rows))]
        counts.append(_trainings(rows).assign(**cell))
    table = _compared(cells, study)
    if counts:
        keys = ["train", "test", "class", "metric", "model"]
        found = table[keys].merge(pd.concat(counts), on=keys, how="left")
        table = table.assign(
            **{name: found[name].fillna(table[name]).astype(int) for name in ("folds", "seeds")}
        )
    return table.reindex(columns=list(TRANSFER_COLUMNS))


def _one_fold(rows: pd.DataFrame) -> pd.DataFrame:
    """The same scores with a seed for every training, whatever its fold: each case is tested by
    all of them.
    """
    return rows.assign(seed=rows["fold"] * (rows["seed"].max() + 1) + rows["seed"], fold=0)


def _trainings(rows: pd.DataFrame) -> pd.DataFrame:
    """How many folds and seeds have a defined score, per class (and `all`), metric and model."""
    keys = ["class", "metric", "model"]
    defined = rows.loc[rows["value"].notna(), [*keys, "fold", "seed"]].astype(
        dict.fromkeys(keys, "str")
    )
    both = pd.concat([defined, defined.assign(**{"class": ALL_CLASSES})])
    return both.groupby(keys)[["fold", "seed"]].nunique().add_suffix("s").reset_index()


def corruption_levels(study: Study, scores: pd.DataFrame, corrupted: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, corruption, level, class, metric and model; level 0 stands there for
    every corruption.
    """
    seen = set(corrupted["dataset"])
    untouched = _blocks(study, scores, seen)
    cells: list[Cell] = []
    for kind in study.corruptions:
        rows = corrupted[corrupted["corruption"] == kind]
        for level in LEVELS:
            blocks = _blocks(study, rows[rows["level"] == level]) if level else untouched
            cells += [
                ({"dataset": block.dataset, "corruption": kind, "level": level}, block)
                for block in blocks
            ]
    return _averages(cells, study).reindex(columns=list(LEVEL_COLUMNS))


def corruption_slopes(study: Study, scores: pd.DataFrame, corrupted: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, corruption, class, metric and model: change of the metric per level, as
    docs/files.md says.

    The slopes of `case_slopes` are averaged over cases and compared with the baseline's as
    scores are.
    """
    cells: list[Cell] = []
    for kind in study.corruptions:
        slopes = case_slopes(scores, corrupted[corrupted["corruption"] == kind])
        cells += [
            ({"dataset": block.dataset, "corruption": kind}, block)
            for block in _blocks(study, slopes)
        ]
    table = _compared(cells, study).rename(columns={"mean": "slope"})
    return table.reindex(columns=list(SLOPE_COLUMNS))


def case_slopes(scores: pd.DataFrame, corrupted: pd.DataFrame) -> pd.DataFrame:
    """Score rows whose value is the least-squares slope over the levels within a case, class and
    seed.

    Level 0 is taken from `scores`, 1 to 5 of one corruption from `corrupted`. NaN unless all six
    are defined: a slope over the levels at which a model has not failed yet would flatter it.
    """
    keys = [name for name in SCORE_COLUMNS if name not in ("value", "status")]
    texts = dict.fromkeys(("dataset", "model", "case", "group", "metric", "unit"), "str")
    touched = corrupted[[*keys, "value", "level"]].astype(texts)
    runs = pd.MultiIndex.from_frame(touched[RUN].drop_duplicates())
    every = scores[[*keys, "value"]].astype(texts)
    untouched = every[pd.MultiIndex.from_frame(every[RUN]).isin(runs)].assign(level=0)
    every = pd.concat([untouched, touched], ignore_index=True)
    values = np.full((len(every), len(LEVELS)), np.nan)
    values[every.groupby(keys, sort=False).ngroup(), every["level"].astype(int)] = every["value"]
    first = every.drop_duplicates(keys)
    centred = LEVELS - LEVELS.mean()
    slopes = values[: len(first)] @ (centred / (centred**2).sum())
    return first[keys].assign(value=slopes, status="ok")


def data_efficiency(
    study: Study, scores: pd.DataFrame, small: pd.DataFrame, runs: pd.DataFrame
) -> pd.DataFrame:
    """One row per dataset, percent of the training groups, class, metric and model; 100 are the
    ordinary runs.

    `training_groups` is the mean over trainings.
    """
    seen = set(small["dataset"])
    cells: list[Cell] = []
    for percent in sorted({*small["percent"], 100} if seen else ()):
        rows = scores if percent == 100 else small[small["percent"] == percent]
        trained = runs if percent == 100 else rows.drop_duplicates(RUN)
        groups = trained.groupby("dataset", observed=True)["training_groups"].mean()
        for block in _blocks(study, rows, seen):
            cell = {
                "dataset": block.dataset,
                "percent": percent,
                "training_groups": groups[block.dataset],
            }
            cells.append((cell, block))
    return _compared(cells, study).reindex(columns=list(SMALL_COLUMNS))


def _blocks(
    study: Study, rows: pd.DataFrame, datasets: Collection[str] | None = None
) -> list[DatasetScores]:
    """Arranged scores of the study's models and metrics on its datasets, or on those of them
    that are named.
    """
    if rows.empty:
        return []
    names = [part.name for part in study.datasets if datasets is None or part.name in datasets]
    return arrange(rows, names, [part.name for part in study.models], study.metrics)


def _averages(cells: Sequence[Cell], study: Study) -> pd.DataFrame:
    """Means of every cell with the columns of the cell, and the failures: rows in which one mask
    alone is empty.
    """
    frame = means(_numbered(cells), study.analysis, {})
    return _labelled(frame, cells).assign(
        failures=frame["prediction_empty"] + frame["reference_empty"]
    )


def _compared(cells: Sequence[Cell], study: Study) -> pd.DataFrame:
    """`_averages` with the difference from the baseline; Holm's p over all cells of a metric,
    `all` classes apart.
    """
    tested = effects(_numbered(cells), study.baseline, study.analysis, {}, with_baseline)
    tested = tested.rename(columns={"low": "difference_low", "high": "difference_high"})
    names = list(_DIFFERENCE[1:])
    keys = [*(cells[0][0] if cells else ()), "class", "metric", "model"]
    differences = _labelled(tested[["dataset", "class", "metric", "model", *names]], cells)
    joined = _averages(cells, study).merge(differences, on=keys, how="left")
    significant = joined["significant"].eq(True)
    return joined.assign(baseline=study.baseline, significant=significant)


def _numbered(cells: Sequence[Cell]) -> list[DatasetScores]:
    """The cells' scores, with the number of the cell in place of the dataset's name."""
    return [replace(block, dataset=str(number)) for number, (_, block) in enumerate(cells)]


def _labelled(frame: pd.DataFrame, cells: Sequence[Cell]) -> pd.DataFrame:
    """The columns of the cells in place of their numbers."""
    number = frame["dataset"].to_numpy(dtype=np.int64)
    labels = pd.DataFrame([cell for cell, _ in cells])
    return frame.drop(columns="dataset").assign(
        **{str(name): labels[name].to_numpy()[number] for name in labels}
    )
