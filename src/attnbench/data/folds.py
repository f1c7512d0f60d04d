"""Outer test folds and inner validation, split by group, tied by hash to their data."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.store import CaseStore
from attnbench.errors import DataError
from attnbench.files import read_json, write_json
from attnbench.study.groups import FoldsSettings

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Fold:
    """Case names of one outer fold, each in store order."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """All outer folds of a dataset, repeat by repeat: fold k belongs to repeat k // `outer`.

    `hash` identifies the splits, `data_hash` their store. `merged_groups`: the groups behind the
    name of one that was merged because their images are copies.
    """

    dataset: str
    data_hash: str
    seed: int
    outer: int
    repeats: int
    inner: int
    folds: tuple[Fold, ...]
    hash: str
    merged_groups: Mapping[str, list[str]] = field(default_factory=dict)

    def fold(self, k: int) -> Fold:
        """Outer fold `k`, from 0; `DataError` if there is none."""
        if not 0 <= k < len(self.folds):
            raise DataError(f"{self.dataset}: no fold {k}; folds are 0 to {len(self.folds) - 1}")
        return self.folds[k]


def write_folds(prepared: Path, settings: FoldsSettings, path: Path) -> None:
    """Split the store in `prepared` by group and write the folds to `path`.

    Raises:
        DataError: the store has too few groups.
    """
    store = CaseStore.open(prepared)
    merged = store.info.merged_groups
    content = {
        "dataset": store.info.name,
        "data_hash": store.info.content_hash,
        "seed": settings.seed,
        "outer": settings.outer,
        "repeats": settings.repeats,
        "inner": settings.inner,
        **({"merged_groups": merged} if merged else {}),
        "folds": make_folds(store.cases, settings, store.info.name),
    }
    write_json(path, {**content, "hash": _hash(content)})


def make_folds(cases: pd.DataFrame, settings: FoldsSettings, dataset: str) -> list[dict[str, Any]]:
    """Split `cases.csv` (case, group, original_shape, voxels_<class>) into folds for the file.

    Every group is tested in exactly one of the `settings.outer` folds of each repeat; of a fold's
    other groups one part in `settings.inner` is its validation, a single group where there are
    fewer groups than that. Both splits spread the cases evenly over which classes they contain
    and how much foreground they have. Repeat r is drawn with the seed `settings.seed` + r.

    Raises:
        DataError: fewer groups than outer folds, or fewer than two to train and validate on.
    """
    labels, groups, names = _labels(cases), cases["group"].to_numpy(), cases["case"].to_numpy()
    folds = []
    count = len(set(groups))
    if count < settings.outer:
        raise DataError(
            f"{dataset}: folds.outer: {settings.outer} folds need as many groups, there are {count}"
        )
    tests = [
        (seed, test)
        for seed in range(settings.seed, settings.seed + settings.repeats)
        for test in _split(labels, groups, settings.outer, seed)
    ]
    for k, (seed, test) in enumerate(tests):
        rest = np.setdiff1d(np.arange(len(cases)), test)
        left = len(set(groups[rest]))
        if left < 2:
            raise DataError(
                f"{dataset}: fold {k} leaves {left} of {count} groups; training and validation "
                "need one each"
            )
        inner = _split(labels[rest], groups[rest], min(settings.inner, left), seed)
        validation = rest[inner[0]]
        parts = (np.setdiff1d(rest, validation), validation, test)
        folds.append(
            {"fold": k}
            | {key: names[rows].tolist() for key, rows in zip(PARTS, parts, strict=True)}
        )
    return folds


def load_folds(path: Path, store: CaseStore) -> Folds:
    """Read the folds in `path`, made for exactly this store.

    Raises:
        DataError: the file is unreadable or altered, was made for other data, names unknown
            cases, leaves cases out, tests one twice in a repeat, or lets a group cross train,
            validation and test of a fold.
    """
    remedy = "split again (`attnbench folds`)"
    try:
        content = read_json(path)
        stated = content.pop("hash")
        parts = [Fold(*(tuple(fold[key]) for key in PARTS)) for fold in content["folds"]]
        folds = Folds(**{**content, "folds": tuple(parts), "hash": stated})
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not a file of folds: {error!r}; {remedy}") from error
    if _hash(content) != stated:
        raise DataError(
            f"{path}: altered: its content has the hash {_hash(content)}, it states {stated}; "
            f"{remedy}"
        )
    if folds.data_hash != store.info.content_hash:
        raise DataError(
            f"{path}: made for data with the hash {folds.data_hash}, the store {store.folder} has "
            f"{store.info.content_hash}; {remedy}"
        )
    for problem in _problems(folds, store.groups):
        raise DataError(f"{path}: {problem}; {remedy}")
    return folds


def fewer_groups(fold: Fold, groups: Mapping[str, str], percent: int, seed: int) -> Fold:
    """Keep `percent` of the training groups of `fold`; its validation and test stay.

    Args:
        fold: the fold with all its groups.
        groups: group of every case.
        percent: 0 to 100, rounded to whole groups, one at least.
        seed: of the order in which groups come in: a smaller share is part of every larger one.
    """
    order = np.random.default_rng(seed).permutation(sorted({groups[case] for case in fold.train}))
    kept = set(order[: max(1, math.floor(percent * len(order) / 100 + 0.5))])
    return replace(fold, train=tuple(case for case in fold.train if groups[case] in kept))


def _problems(folds: Folds, groups: Mapping[str, str]) -> Iterator[str]:
    """Contradictions between folds and the cases, whose group is given."""
    if len(folds.folds) != folds.outer * folds.repeats:
        yield f"{len(folds.folds)} folds where {folds.outer * folds.repeats} are stated"
    for k, fold in enumerate(folds.folds):
        named = Counter((*fold.train, *fold.validation, *fold.test))
        if set(named) != set(groups):
            yield f"fold {k} has unknown or missing cases: {sorted(set(named) ^ set(groups))[:5]}"
        if twice := sorted(case for case, count in named.items() if count > 1):
            yield f"fold {k} names cases more than once: {twice[:5]}"
        if empty := [key for key in PARTS if not getattr(fold, key)]:
            yield f"fold {k} has no case in {', '.join(empty)}"
        where: dict[str, set[str]] = {}
        for key in PARTS:
            for case in getattr(fold, key):
                where.setdefault(groups[case], set()).add(key)
        for group, keys in where.items():
            if len(keys) > 1:
                crossed = " and ".join(sorted(keys))
                yield f"group {group!r} crosses {crossed} of fold {k}; a group is never split"
    for repeat in range(folds.repeats):
        split = folds.folds[repeat * folds.outer : (repeat + 1) * folds.outer]
        tested = Counter(case for fold in split for case in fold.test)
        if wrong := sorted(case for case in groups if tested[case] != 1):
            yield f"cases are not tested exactly once in repeat {repeat}: {wrong[:5]}"


def _labels(cases: pd.DataFrame) -> NDArray[np.str_]:
    """Label of each case: its classes, and its foreground above the median of such cases or not."""
    voxels = cases.filter(regex="^voxels_").to_numpy()
    sizes = np.array(
        [np.prod([int(side) for side in shape.split("x")]) for shape in cases["original_shape"]]
    )
    present = np.array(["".join("01"[int(count > 0)] for count in row) for row in voxels])
    share = voxels.sum(axis=1) / sizes
    medians = {kind: np.median(share[present == kind]) for kind in np.unique(present)}
    half = [str(int(own > medians[kind])) for own, kind in zip(share, present, strict=True)]
    return np.char.add(np.char.add(present, "-"), half)


def _split(
    labels: NDArray[np.str_], groups: NDArray[np.object_], parts: int, seed: int
) -> list[NDArray[np.intp]]:
    """Row numbers of every part; no group is in two of them and none is empty."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    common = _merge_rare(labels, parts)
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    split = [rows for _, rows in splitter.split(labels, common, groups)]
    if not all(rows.size for rows in split):  # few groups: balance may leave a part without any
        split = [rows for _, rows in GroupKFold(parts).split(labels, common, groups)]
    return split


def _merge_rare(labels: NDArray[np.str_], parts: int) -> Sequence[str]:
    """Replace labels too rare to be in every part by the most common: nothing to balance."""
    counts = Counter(labels.tolist())
    common = counts.most_common(1)[0][0]
    return [label if counts[label] >= parts else common for label in labels.tolist()]


def _hash(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
