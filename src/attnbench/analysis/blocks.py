"""Scores as arrays: one dense block per dataset, which all statistics work on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attnbench.analysis.tables import TEXTS
from attnbench.errors import DataError
from attnbench.scoring.definitions import SCORE_COLUMNS

if TYPE_CHECKING:
    from attnbench.study.split import Split

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STATUSES = ("ok", "both_empty", "prediction_empty", "reference_empty", "not_a_number", "diverged")
ALL_CLASSES = "all"

_DIVERGED = STATUSES.index("diverged")
_ABSENT = [STATUSES.index("both_empty"), STATUSES.index("reference_empty")]
_TEXT = ("dataset", "model", "case", "group", "metric", "unit", "status")
_INTEGER = ("fold", "seed", "class")


@dataclass(frozen=True)
class DatasetScores:
    """Every score of one dataset.

    `values` and `status` have shape (metrics, classes, models, cases, trainings): the trainings
    that test a case are its repeats (one fold of each split) times the seeds, repeats outermost. A
    value is NaN where the metric is undefined or the row is missing; `status` is an index into
    `STATUSES`, or -1 where there is no row. Where `external`, every fold's training tests every
    case, so that each fold counts as a repeat. `outer`: number of folds in a split. `fixed`: one
    split into training and test, so that nothing is known of other training sets; `crossing`:
    groups lie on both sides of it. `changes`: values are changes of a score, not scores.
    """

    dataset: str
    metrics: tuple[str, ...]
    units: tuple[str, ...]
    classes: tuple[int, ...]
    models: tuple[str, ...]
    cases: tuple[str, ...]
    seeds: tuple[int, ...]
    groups: tuple[str, ...]
    case_group: Integers
    case_fold: Integers
    values: Floats
    status: NDArray[np.int8]
    outer: int
    external: bool = False
    fixed: bool = False
    crossing: bool = False
    changes: bool = False

    @property
    def repeats(self) -> int:
        """Number of folds that test a case."""
        return int(self.case_fold.shape[1])

    @property
    def group_fold(self) -> Integers:
        """Fold that tests each group in each repeat, (groups, repeats); -1 where none does."""
        folds = np.full((len(self.groups), self.repeats), -1)
        folds[self.case_group] = self.case_fold
        return folds

    @property
    def reference_absent(self) -> NDArray[np.bool_]:
        """True where the reference lacks the class, in the shape of `status`."""
        return np.isin(self.status, _ABSENT)

    @property
    def class_words(self) -> tuple[str, ...]:
        """Classes as they stand in the tables, `all` (their mean in each case) last."""
        return (*map(str, self.classes), ALL_CLASSES)


def read_scores(path: Path, columns: Sequence[str] = SCORE_COLUMNS) -> pd.DataFrame:
    """Read the study's `scores.csv`, or another table of scores that has these `columns`.

    Texts become categories, but are read as text first: categories read directly turn a case `01`
    into the number 1.

    Raises:
        DataError: the table is missing or lacks a column.
    """
    texts = ({*_TEXT, *TEXTS} - {*_INTEGER}) & {*columns}
    try:
        scores = pd.read_csv(
            path,
            usecols=list(columns),
            dtype={
                **dict.fromkeys(texts, "str"),
                **dict.fromkeys(_INTEGER, "int32"),
                "value": "float64",
            },
            keep_default_na=False,
            na_values={"value": [""]},
        )
        return scores.astype({name: "category" for name in scores if name in texts})
    except FileNotFoundError:
        raise DataError(
            f"{path}: no scores to analyse; score at least one run and gather (`attnbench gather`)"
        ) from None
    except ValueError as error:
        raise DataError(
            f"{path}: not a table of scores ({error}); it needs {', '.join(columns)}"
        ) from error


def arrange(
    scores: pd.DataFrame,
    datasets: Sequence[str],
    models: Sequence[str],
    metrics: Sequence[str],
    splits: Mapping[str, Split] | None = None,
    external: bool = False,
) -> list[DatasetScores]:
    """One `DatasetScores` per dataset that has scores, its names in the order given.

    Args:
        scores: rows of `read_scores`, in any order.
        datasets: names of the datasets wanted.
        models: names of the models wanted; those without scores are left out.
        metrics: names of the metrics wanted; those without scores are left out.
        splits: how datasets are split; by default all folds that there are belong to one split.
        external: every fold's training tested every case.

    Raises:
        DataError: a value is infinite, a case was scored twice by one model, fold and seed, or it
            lies in two groups or in two folds of a split.
    """
    frame = scores.assign(**{name: scores[name].astype("category") for name in _TEXT})
    if np.isinf(frame["value"]).any():
        where = frame[np.isinf(frame["value"])].iloc[0]
        raise DataError(
            f"scores: infinite {where['metric']} in {_place(where)}; undefined scores are empty"
        )
    code = _positions(frame["dataset"], datasets)
    # One stable sort keeps the rows' order and spares a mask per dataset.
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(datasets) + 1))
    blocks = [frame.iloc[order[start:stop]] for start, stop in pairwise(bounds)]
    arranged = (
        _block(name, block, models, metrics, (splits or {}).get(name), external)
        for name, block in zip(datasets, blocks, strict=True)
        if len(block)
    )
    return [block for block in arranged if block.values.size]


def of_models(block: DatasetScores, models: Collection[str]) -> DatasetScores:
    """The scores of some of the models alone, in the order of the block."""
    kept = [index for index, name in enumerate(block.models) if name in models]
    if len(kept) == len(block.models):
        return block
    return replace(
        block,
        models=tuple(block.models[index] for index in kept),
        values=block.values[:, :, kept],
        status=block.status[:, :, kept],
    )


def diverged_models(block: DatasetScores) -> set[str]:
    """Models of which a run on the dataset diverged.

    Their other runs stand for nothing but themselves: what compares such a model by them alone
    flatters it.
    """
    lost = (block.status == _DIVERGED).any(axis=(0, 1, 3, 4))
    return {name for name, any_lost in zip(block.models, lost, strict=True) if any_lost}


def without(blocks: Sequence[DatasetScores], lost: Sequence[set[str]]) -> list[DatasetScores]:
    """The blocks, each without the models in its set of `lost`; none without any other."""
    kept = (
        of_models(block, set(block.models) - names)
        for block, names in zip(blocks, lost, strict=True)
    )
    return [block for block in kept if block.models]


def in_every_seed(block: DatasetScores, models: Collection[str]) -> DatasetScores:
    """The scores, with those of the first seed repeated in every seed where a model has no other.

    So every training of another model is paired with the one prediction that `models` have of a
    case.
    """
    values, status = block.values.copy(), block.status.copy()
    shape = (len(block.cases), block.repeats, len(block.seeds))
    for index, name in enumerate(block.models):
        if name not in models:
            continue
        for metric, class_ in np.ndindex(values.shape[:2]):
            own = status[metric, class_, index].reshape(shape)
            # A first seed without a row was not scored: nothing to repeat.
            absent = (own < 0) & (own[..., :1] >= 0)
            scores = values[metric, class_, index].reshape(shape)
            own[absent] = np.broadcast_to(own[..., :1], shape)[absent]
            scores[absent] = np.broadcast_to(scores[..., :1], shape)[absent]
    return replace(block, values=values, status=status)


def _positions(column: pd.Series, names: Sequence[str]) -> Integers:
    """Index into `names` of every row of a categorical column, -1 for other names."""
    wanted = {name: position for position, name in enumerate(names)}
    # The -1 at the end serves the code -1 of a missing text.
    lookup = np.array([wanted.get(str(category), -1) for category in column.cat.categories] + [-1])
    return lookup[column.cat.codes.to_numpy()]


def _present(column: pd.Series) -> tuple[str, ...]:
    used = np.unique(column.cat.codes.to_numpy())
    return tuple(sorted(str(column.cat.categories[code]) for code in used))


def _block(
    dataset: str,
    rows: pd.DataFrame,
    models: Sequence[str],
    metrics: Sequence[str],
    split: Split | None,
    external: bool,
) -> DatasetScores:
    present_models, present_metrics = _present(rows["model"]), _present(rows["metric"])
    models = [name for name in models if name in present_models]
    metrics = [name for name in metrics if name in present_metrics]
    model, metric = _positions(rows["model"], models), _positions(rows["metric"], metrics)
    kept = (model >= 0) & (metric >= 0)
    rows, model, metric = rows[kept], model[kept], metric[kept]
    cases, groups = _present(rows["case"]), _present(rows["group"])
    case, group = _positions(rows["case"], cases), _positions(rows["group"], groups)
    classes, class_ = np.unique(rows["class"].to_numpy(), return_inverse=True)
    seeds, seed = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    fold = rows["fold"].to_numpy(np.int64)
    outer = split.outer if split else int(fold.max(initial=0)) + 1
    repeats, repeat = np.unique(fold if external else fold // outer, return_inverse=True)
    shape = (len(metrics), len(classes), len(models), len(cases), len(repeats) * len(seeds))
    training = repeat * len(seeds) + seed
    cell = (
        np.ravel_multi_index((metric, class_, model, case, training), shape)
        if len(rows)
        else np.empty(0, np.int64)
    )
    # Before writing: of two rows of one cell the second would silently win.
    _refuse_repeated(rows, cell, int(np.prod(shape)))
    values = np.full(shape, np.nan)
    values.flat[cell] = rows["value"].to_numpy()
    status = np.full(shape, -1, np.int8)
    status.flat[cell] = _positions(rows["status"], STATUSES)
    return DatasetScores(
        dataset=dataset,
        metrics=tuple(metrics),
        units=_units(rows["unit"], metric, len(metrics)),
        classes=tuple(int(number) for number in classes),
        models=tuple(models),
        cases=cases,
        seeds=tuple(int(number) for number in seeds),
        groups=groups,
        case_group=_one_per_case(dataset, "group", cases, case, group),
        case_fold=_folds_of_cases(dataset, cases, case, fold, repeat, len(repeats)),
        values=values,
        status=status,
        outer=outer,
        external=external,
        fixed=split is not None and split.fixed,
        crossing=split is not None and split.crossing,
    )


def _refuse_repeated(rows: pd.DataFrame, cell: Integers, cells: int) -> None:
    counts = np.bincount(cell, minlength=cells)
    if counts.max(initial=0) > 1:
        where = rows.iloc[int(np.flatnonzero(counts[cell] > 1)[0])]
        raise DataError(
            f"scores: {_place(where)} has more than one {where['metric']}; every case is tested "
            "once per fold and seed"
        )


def _folds_of_cases(
    dataset: str,
    cases: Sequence[str],
    case: Integers,
    fold: Integers,
    repeat: Integers,
    number: int,
) -> Integers:
    """Fold that tests each case in each repeat, (cases, repeats); -1 where none has yet."""
    folds = np.full((len(cases), number), -1)
    for index in range(number):
        own = repeat == index
        folds[:, index] = _one_per_case(dataset, "fold", cases, case[own], fold[own])
    return folds


def _one_per_case(
    dataset: str, what: str, cases: Sequence[str], case: Integers, value: NDArray
) -> Integers:
    # -1 stays where a repeat has not tested a case yet.
    chosen = np.full(len(cases), -1)
    # Of different values of a case one stays, and the rows of the others give it away.
    chosen[case] = value
    wrong = np.flatnonzero(chosen[case] != value)
    if wrong.size:
        raise DataError(
            f"scores: {dataset}, case {cases[case[wrong[0]]]} lies in more than one {what}; it "
            "belongs to one"
        )
    return chosen


def _units(column: pd.Series, metric: Integers, metrics: int) -> tuple[str, ...]:
    codes = np.full(metrics, -1)
    codes[metric] = column.cat.codes.to_numpy()
    return tuple(str(column.cat.categories[code]) for code in codes)


def _place(row: pd.Series) -> str:
    return (
        f"{row['dataset']}, case {row['case']}, class {row['class']}, "
        f"model {row['model']}, fold {row['fold']}, seed {row['seed']}"
    )
