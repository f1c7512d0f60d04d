"""How a dataset is split: drawn by group, as its authors did, as a file says, group by group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from attnbench.errors import nearest
from attnbench.study.base import NUMBER
from attnbench.study.places import PlainPath

if TYPE_CHECKING:
    from attnbench.study.groups import DatasetSettings, FoldsSettings

Kind = Literal["cross_validation", "official", "file", "leave_one_group_out"]
NamedSplit = Literal["official", "leave_one_group_out"]
SPLIT_KEYS = ("split", "stratify", "held_out", "test_only", "accept_crossing_groups")
"""Keys of a dataset that decide its folds and nothing else: no part of a recipe."""


def _split_file(path: Path) -> Path:
    if path.suffix.lower() not in (".json", ".csv"):
        raise ValueError(
            f"{str(path)!r} is neither a way to split ({nearest(str(path), get_args(NamedSplit))}) "
            "nor a file: nnU-Net's splits end in .json, tables in .csv"
        )
    return path


def _table(path: Path) -> Path:
    if path.suffix.lower() != ".csv":
        raise ValueError(
            f"{str(path)!r} is neither `official`, a share between 0 and 1, nor a table that ends "
            "in .csv"
        )
    return path


SplitSource = NamedSplit | Annotated[PlainPath, AfterValidator(_split_file)]
HeldOut = (
    Literal["official"]
    | Annotated[float, Field(gt=0, lt=1), NUMBER]
    | Annotated[PlainPath, AfterValidator(_table)]
)


@dataclass(frozen=True)
class Split:
    """What is known of a dataset's folds before they are made.

    `outer` folds test every case outside the held-out test set once, in each of `repeats`; a fixed
    split is one fold, whose test cases alone are tested. `crossing`: groups cross, by the study's
    own leave. `groups`: those that folds have, 0 where they were not counted.
    """

    kind: Kind
    outer: int
    repeats: int = 1
    crossing: bool = False
    groups: int = 0

    @property
    def count(self) -> int:
        """Number of folds."""
        return self.outer * self.repeats

    @property
    def fixed(self) -> bool:
        """One training set: nothing can be said of others."""
        return self.outer == 1


def kind_of(dataset: DatasetSettings) -> Kind:
    """Return the kind of a dataset's split."""
    if dataset.split is None:
        return "cross_validation"
    return "file" if isinstance(dataset.split, Path) else dataset.split


def files_of(dataset: DatasetSettings) -> tuple[Path, ...]:
    """Return the files that decide a dataset's folds."""
    return tuple(path for path in (dataset.split, dataset.held_out) if isinstance(path, Path))


def contradictions(dataset: DatasetSettings) -> Iterator[str]:
    """Yield the settings of a dataset's split that exclude each other."""
    given = [key for key in SPLIT_KEYS if getattr(dataset, key) not in (None, False)]
    if dataset.test_only and len(given) > 1:
        others = ", ".join(f"`{key}`" for key in given if key != "test_only")
        yield f"`test_only` leaves nothing to split; remove {others}"
    if dataset.stratify and dataset.split is not None:
        yield "`stratify` balances folds that are drawn; remove it or `split`"
    if dataset.held_out and dataset.split == "official":
        yield (
            "`held_out` stands beside cross-validation; the official split has its own test part: "
            "remove `split` to cross-validate the rest, or `held_out`"
        )
    if isinstance(dataset.held_out, float) and isinstance(dataset.split, Path):
        yield (
            "`held_out` as a share is drawn from all groups, which the file puts in folds already; "
            "list the held-out cases or groups in a CSV, and leave them out of the split"
        )
    if (
        dataset.accept_crossing_groups
        and not files_of(dataset)
        and "official"
        not in (
            dataset.split,
            dataset.held_out,
        )
    ):
        yield "`accept_crossing_groups` is for a split that is given; folds drawn here never cross"


def fold_problems(folds: FoldsSettings, dataset: str, groups: int, outer: int) -> Iterator[str]:
    """Yield problems of drawing `outer` folds, each with its inner validation, from `groups`."""
    left = groups - math.ceil(groups / outer)
    if groups < outer:
        yield f"folds.outer: {outer} folds need as many groups; {dataset} has {groups}"
    elif left < folds.inner:
        yield (
            f"folds.inner: {folds.inner} parts need as many training groups; "
            f"{dataset} keeps {left} of {groups} in a fold"
        )


def run_problems(run: Sequence[int] | None, splits: Mapping[str, Split]) -> Iterator[str]:
    """Yield fold numbers of `folds.run` that no dataset has, and datasets left without a fold."""
    counts = {name: split.count for name, split in splits.items()}
    most = max(counts.values(), default=0)
    for fold in sorted({fold for fold in run or () if fold >= most}):
        said = "; ".join(
            f"{name}: 0 to {count - 1}" if count > 1 else f"{name}: 0 alone"
            for name, count in counts.items()
        )
        yield f"folds.run: no dataset has a fold {fold}; folds are {said}"
    for name, count in counts.items():
        if run is not None and not any(fold < count for fold in run):
            yield (
                f"folds.run: leaves {name} without a fold; it has "
                f"{'folds 0 to ' + str(count - 1) if count > 1 else 'fold 0 alone'}"
            )
