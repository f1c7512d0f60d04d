"""Models under shift: external test sets, corrupted images, fewer training groups."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import DatasetScores, arrange, read_scores
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.means import compute_means
from attnbench.analysis.runs import compute_missing
from attnbench.analysis.tables import DIFFERENCE, FRAMES
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.shift.kinds import KINDS, ShiftKind, requested_kinds
from attnbench.study.settings import Study

log = logging.getLogger(__name__)

Cell = tuple[Mapping[str, Any], DatasetScores]
"""Columns that name a cell of a table, and the scores behind it."""

RUN = ["dataset", "model", "fold", "seed"]
LEVELS = np.arange(6)
"""Levels of a corruption; 0 is the image as it is."""


def compute_shift(
    study: Study, scores: pd.DataFrame, runs: pd.DataFrame, shifted: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The frames of shift by name, without rows where the study does not ask; see docs/files.md.

    Args:
        study: which says what is asked for.
        scores: the table of the ordinary runs.
        runs: the frame `runs`.
        shifted: the tables of `read_shift_scores`.
    """
    return {
        "transfer": compute_transfer(study, scores, shifted["transfer"]),
        "held_out": compute_held_out(study, shifted["held_out"]),
        "corruption_levels": compute_corruption_levels(study, scores, shifted["corrupted"]),
        "corruption_slopes": compute_corruption_slopes(study, scores, shifted["corrupted"]),
        "data_efficiency": compute_data_efficiency(study, scores, shifted["data_efficiency"], runs),
    }


def read_shift_scores(study: Study) -> dict[str, pd.DataFrame]:
    """Scores of every kind of shift, without rows where the study asks for none.

    A table that the study asks for and that is not there yet is named in the log.
    """
    return {kind.name: _read(study, kind) for kind in KINDS.values()}


def compute_missing_shift(
    study: Study, shifted: Mapping[str, pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """Rows of `missing` for every kind of shift that the study asks for."""
    for name, kind in requested_kinds(study).items():
        planned, scored = list(kind.runs(study)), shifted[name]
        if kind.ensembled:
            # The rows of an ensemble are those of all its runs.
            seen = {(str(d), str(m)) for d, m in scored[["dataset", "model"]].itertuples(False)}
            runs = [asdict(run) for run in planned if (run.dataset, run.model) in seen]
            scored = pd.DataFrame(runs, columns=[*RUN, "percent"])
        yield compute_missing(name, partial(kind.steps, study.layout), planned, scored)


def _read(study: Study, kind: ShiftKind) -> pd.DataFrame:
    path = study.layout.shift(kind.name)
    if kind.requested(study):
        if path.is_file():
            return read_scores(path, kind.table_columns)
        log.warning("%s is missing: the analysis goes without it", path)
    return pd.DataFrame(columns=list(kind.table_columns))


def compute_transfer(study: Study, scores: pd.DataFrame, elsewhere: pd.DataFrame) -> pd.DataFrame:
    """One row per training set, test set, class, metric and model; columns as in docs/files.md.

    Elsewhere every case is scored by the models of all folds: a case's scores are averaged over
    trainings (folds and seeds), and a difference is paired by case, class and training. On its
    own set every case has its fold's models.
    """
    asked = [pair for pair in study.transfer if (elsewhere["dataset"] == pair.train).any()]
    own = {name for pair in asked for name in (pair.train, pair.test)}
    cells: list[Cell] = [
        ({"train": block.dataset, "test": block.dataset}, block)
        for block in study_blocks(study, scores, own)
    ]
    for pair in asked:
        cell = {"train": pair.train, "test": pair.test}
        rows = elsewhere[(elsewhere["dataset"] == pair.train) & (elsewhere["test"] == pair.test)]
        cells += [(cell, block) for block in study_blocks(study, rows, external=True)]
    return compare_cells(cells, study).reindex(columns=list(FRAMES["transfer"]))


def compute_held_out(study: Study, apart: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset, class, metric and model on the test set beside the folds.

    As on an external test set, every case is scored by the models of all folds.
    """
    cells: list[Cell] = [
        ({"dataset": block.dataset}, block) for block in study_blocks(study, apart, external=True)
    ]
    return compare_cells(cells, study).reindex(columns=list(FRAMES["held_out"]))


def compute_corruption_levels(
    study: Study, scores: pd.DataFrame, corrupted: pd.DataFrame
) -> pd.DataFrame:
    """One row per dataset, corruption, level (0 included), class, metric and model."""
    seen = set(corrupted["dataset"])
    untouched = study_blocks(study, scores, seen)
    cells: list[Cell] = []
    for kind in study.corruptions:
        rows = corrupted[corrupted["corruption"] == kind]
        for level in LEVELS:
            blocks = study_blocks(study, rows[rows["level"] == level]) if level else untouched
            cells += [
                ({"dataset": block.dataset, "corruption": kind, "level": level}, block)
                for block in blocks
            ]
    return _averages(cells, study).reindex(columns=list(FRAMES["corruption_levels"]))


def compute_corruption_slopes(
    study: Study, scores: pd.DataFrame, corrupted: pd.DataFrame
) -> pd.DataFrame:
    """Change of the metric per level of a corruption; columns: docs/files.md.

    The slopes of `case_slopes` are averaged over cases and compared with the baseline's as
    scores are.
    """
    cells: list[Cell] = []
    for kind in study.corruptions:
        slopes = case_slopes(scores, corrupted[corrupted["corruption"] == kind])
        cells += [
            ({"dataset": block.dataset, "corruption": kind}, replace(block, changes=True))
            for block in study_blocks(study, slopes)
        ]
    table = compare_cells(cells, study).rename(columns={"mean": "slope"})
    return table.reindex(columns=list(FRAMES["corruption_slopes"]))


def case_slopes(scores: pd.DataFrame, corrupted: pd.DataFrame) -> pd.DataFrame:
    """Score rows whose value is the slope over the levels within a case, class and seed.

    Level 0 is taken from `scores`, 1 to 5 of one corruption from `corrupted`. NaN unless all six
    are defined: a slope over the levels at which a model has not failed yet would flatter it.
    """
    keys = [name for name in SCORE_COLUMNS if name not in ("value", "status")]
    # As text: the categories of the two tables differ.
    texts = dict.fromkeys(("dataset", "model", "case", "group", "metric", "unit", "status"), "str")
    touched = corrupted[[*keys, "value", "status", "level"]].astype(texts)
    runs = pd.MultiIndex.from_frame(touched[RUN].drop_duplicates())
    every = scores[[*keys, "value", "status"]].astype(texts)
    # Level 0 only of the runs whose corrupted images were scored.
    untouched = every[pd.MultiIndex.from_frame(every[RUN]).isin(runs)].assign(level=0)
    every = pd.concat([untouched, touched], ignore_index=True)
    values = np.full((len(every), len(LEVELS)), np.nan)
    # ngroup counts groups as they first appear (sort=False), the order of `first` below.
    values[every.groupby(keys, sort=False).ngroup(), every["level"].astype(int)] = every["value"]
    first = every.drop_duplicates(keys)
    # Least squares over fixed levels is one weighted sum of the values; a NaN makes it NaN.
    centred = LEVELS - LEVELS.mean()
    slopes = values[: len(first)] @ (centred / (centred**2).sum())
    status = np.where(first["status"] == "diverged", "diverged", "ok")
    return first[keys].assign(value=slopes, status=status)


def compute_data_efficiency(
    study: Study, scores: pd.DataFrame, small: pd.DataFrame, runs: pd.DataFrame
) -> pd.DataFrame:
    """One row per dataset, percent of the training groups, class, metric and model.

    100 percent are the ordinary runs; `training_groups` is the mean over trainings.

    Args:
        study: names the datasets, models, metrics and statistics.
        scores: the table of the ordinary runs.
        small: score rows with `percent` (below 100) and `training_groups`.
        runs: the frame `runs`, which has the training groups of the ordinary runs.
    """
    seen = set(small["dataset"])
    cells: list[Cell] = []
    for percent in sorted({*small["percent"], 100} if seen else ()):
        rows = scores if percent == 100 else small[small["percent"] == percent]
        trained = runs if percent == 100 else rows.drop_duplicates(RUN)
        groups = trained.groupby("dataset", observed=True)["training_groups"].mean()
        for block in study_blocks(study, rows, seen):
            cell = {
                "dataset": block.dataset,
                "percent": percent,
                "training_groups": groups[block.dataset],
            }
            cells.append((cell, block))
    return compare_cells(cells, study).reindex(columns=list(FRAMES["data_efficiency"]))


def study_blocks(
    study: Study,
    rows: pd.DataFrame,
    datasets: Collection[str] | None = None,
    external: bool = False,
) -> list[DatasetScores]:
    """Arranged scores of the study's models and metrics, on its datasets or those named."""
    if rows.empty:
        return []
    names = [one.name for one in study.trained_datasets if datasets is None or one.name in datasets]
    models = [model.name for model in study.models]
    return arrange(rows, names, models, study.metrics, study.splits, external)


def _averages(cells: Sequence[Cell], study: Study) -> pd.DataFrame:
    """Means of every cell with its columns, and `failures`: rows with one mask alone empty."""
    frame = compute_means(_numbered(cells), study.analysis, {})
    return _labelled(frame, cells).assign(
        failures=frame["prediction_empty"] + frame["reference_empty"]
    )


def compare_cells(cells: Sequence[Cell], study: Study) -> pd.DataFrame:
    """`_averages` with the difference from the baseline and its verdict.

    Holm's p is over all cells of a metric, `all` classes apart.
    """
    tested = compute_effects(_numbered(cells), study.baseline, study.analysis, {})
    tested = tested.rename(columns={"low": "difference_low", "high": "difference_high"})
    names = [name for name in DIFFERENCE if name != "baseline"]
    keys = [*(cells[0][0] if cells else ()), "class", "metric", "model"]
    differences = _labelled(tested[["dataset", "class", "metric", "model", *names]], cells)
    table = _averages(cells, study).merge(differences, on=keys, how="left")
    # The baseline's own rows have no difference.
    verdicts = {name: table[name].fillna("undefined") for name in names if "verdict" in name}
    significant = {name: table[name].eq(True) for name in names if "significant" in name}
    return table.assign(baseline=study.baseline, **verdicts, **significant)


def _numbered(cells: Sequence[Cell]) -> list[DatasetScores]:
    """The cells' scores, with the number of the cell in place of the dataset's name."""
    # Cells may share a dataset, and means and effects separate datasets by their names.
    return [replace(block, dataset=str(number)) for number, (_, block) in enumerate(cells)]


def _labelled(frame: pd.DataFrame, cells: Sequence[Cell]) -> pd.DataFrame:
    """The columns of the cells in place of their numbers."""
    number = frame["dataset"].to_numpy(dtype=np.int64)
    labels = pd.DataFrame([cell for cell, _ in cells])
    return frame.drop(columns="dataset").assign(
        **{str(name): labels[name].to_numpy()[number] for name in labels}
    )
