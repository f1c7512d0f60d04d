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

from attnbench.data.splits import (
    PARTS,
    Cases,
    given_split,
    label_problems,
    refusals,
    share_of,
)
from attnbench.data.store import LABEL, CaseStore
from attnbench.errors import DataError, told
from attnbench.files import read_json, write_json
from attnbench.study.groups import DatasetSettings, FoldsSettings
from attnbench.study.split import kind_of

if TYPE_CHECKING:
    import pandas as pd

_DRAWS = 200  # of a held-out share, from which the most typical is taken


@dataclass(frozen=True)
class Fold:
    """Case names of one outer fold, each in store order."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """All outer folds of a dataset, repeat by repeat: fold k belongs to repeat k // `outer`.

    `hash` identifies the splits, `data_hash` their store. `split` is the kind of split (see
    `attnbench.study.split`), `held_out` are the cases that no fold has, `crossing` the groups
    that the study allows on both sides. `merged_groups`: the groups behind the name of one that
    was merged because their images are copies.
    """

    dataset: str
    data_hash: str
    seed: int
    outer: int
    repeats: int
    inner: int
    folds: tuple[Fold, ...]
    hash: str
    split: str = "cross_validation"
    held_out: tuple[str, ...] = ()
    crossing: tuple[str, ...] = ()
    merged_groups: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def fixed(self) -> bool:
        """One fold, whose test cases alone are tested."""
        return len(self.folds) == 1

    def fold(self, k: int) -> Fold:
        """Outer fold `k`, from 0; `DataError` if there is none."""
        if not 0 <= k < len(self.folds):
            raise DataError(f"{self.dataset}: no fold {k}; folds are 0 to {len(self.folds) - 1}")
        return self.folds[k]


def write_folds(
    prepared: Path,
    settings: FoldsSettings,
    path: Path,
    dataset: DatasetSettings | None = None,
    counted: int | None = None,
) -> None:
    """Split the store in `prepared` and write the folds to `path`.

    Args:
        prepared: folder of the case store.
        settings: how folds are drawn, and inner validations.
        path: the file of folds.
        dataset: the dataset's settings, with its own split; None: drawn by group.
        counted: number of folds that the study was planned with; None: not planned.

    Raises:
        DataError: the store has too few groups, or a given split does not fit its cases, with
            everything that is wrong with it.
    """
    store = CaseStore.open(prepared)
    # All that is trained rests on these folds: whatever they are made for is read in full.
    store.check_arrays()
    name = store.info.name
    own = dataset or DatasetSettings.model_construct(name=name)
    cases = store_cases(store)
    held_out = _drawn_test_set(store, cases, own, settings)
    given = given_split(own, cases, held_out)
    problems = [*label_problems(own, cases), *refusals(own, given)]
    if problems:
        raise DataError(f"{name}: {len(problems)} problem(s)\n  " + "\n  ".join(problems))
    rest = store.cases[~store.cases["case"].isin(given.held_out)].reset_index(drop=True)
    if given.folds:
        folds = _whole(rest, given.folds, settings, name)
        drawn = {"outer": len(folds), "repeats": 1, "inner": settings.inner}
    else:
        labels = _text_of(cases, own.stratify, rest) if own.stratify else None
        folds = make_folds(rest, settings, name, labels)
        drawn = {key: getattr(settings, key) for key in ("outer", "repeats", "inner")}
    if counted is not None and len(folds) != counted:
        raise DataError(
            f"{name}: the split has {len(folds)} folds, the study was planned with {counted}. If a "
            "file was changed, plan again; if copies were merged (`duplicates: merge`), give the "
            "folds as a CSV with `case` and `fold`"
        )
    apart = {
        "split": kind_of(own) if given.folds else "",
        "held_out": list(given.held_out),
        "crossing": sorted(given.crossing),
    }
    merged = store.info.merged_groups
    content = {
        "dataset": name,
        "data_hash": store.info.content_hash,
        "seed": settings.seed,
        **drawn,
        **({"merged_groups": merged} if merged else {}),
        "folds": folds,
        **{key: value for key, value in apart.items() if value},
    }
    write_json(path, {**content, "hash": _hash(content)})


def store_cases(store: CaseStore) -> Cases:
    """What a split has to know of the prepared cases."""
    names = [column for column in store.columns if column.startswith(LABEL)]
    labels: dict[str, dict[str, str]] = {
        case: {column.removeprefix(LABEL): store.columns[column][i] for column in names}
        for i, case in enumerate(store.columns["case"])
    }
    return Cases(store.info.name, store.groups, labels, not store.info.groups_unknown)


def _text_of(cases: Cases, label: str, rows: pd.DataFrame) -> NDArray[np.str_]:
    text = cases.label(label)
    return np.array([text[case] for case in rows["case"]])


def _drawn_test_set(
    store: CaseStore, cases: Cases, dataset: DatasetSettings, settings: FoldsSettings
) -> list[str]:
    """Cases of a held-out share of the groups, drawn to be like all cases; empty without one."""
    if not isinstance(dataset.held_out, float):
        return []
    frame = store.cases
    labels = _text_of(cases, dataset.stratify, frame) if dataset.stratify else _labels(frame)
    codes, groups = (
        np.unique(column, return_inverse=True)[1] for column in (labels, frame["group"].to_numpy())
    )
    # Cases of each group by label; the draw nearest to the share of every label is taken.
    table = np.zeros((groups.max() + 1, codes.max() + 1))
    np.add.at(table, (groups, codes), 1)
    number = share_of(dataset.held_out, len(table))
    rng = np.random.default_rng(settings.seed)
    draws = [rng.permutation(len(table))[:number] for _ in range(_DRAWS)]
    wanted = table.sum(axis=0) * number / len(table)
    best = min(draws, key=lambda drawn: float(np.abs(table[drawn].sum(axis=0) - wanted).sum()))
    return frame["case"][np.isin(groups, best)].tolist()


def _whole(
    cases: pd.DataFrame,
    given: Sequence[Mapping[str, str]],
    settings: FoldsSettings,
    dataset: str,
) -> list[dict[str, Any]]:
    """Folds for the file from parts by case; an inner validation that none gives is drawn."""
    labels, groups, names = _labels(cases), cases["group"].to_numpy(), cases["case"].to_numpy()
    folds = []
    for k, parts in enumerate(given):
        part = np.array([parts[name] for name in names])
        rows = {key: np.flatnonzero(part == key) for key in PARTS}
        if not rows["validation"].size:
            rest = rows["train"]
            rows["validation"] = _inner(labels, groups, rest, settings.inner, settings.seed)
            rows["train"] = np.setdiff1d(rest, rows["validation"])
        folds.append({"fold": k} | {key: names[rows[key]].tolist() for key in PARTS})
    return folds


def make_folds(
    cases: pd.DataFrame,
    settings: FoldsSettings,
    dataset: str,
    strata: NDArray[np.str_] | None = None,
) -> list[dict[str, Any]]:
    """Split `cases.csv` (case, group, original_shape, voxels_<class>) into folds for the file.

    Every group is tested in exactly one of the `settings.outer` folds of each repeat; of a fold's
    other groups one part in `settings.inner` is its validation, a single group where there are
    fewer groups than that. Both splits spread the cases evenly over which classes they contain
    and how much foreground they have, or over `strata`, a text per case. Repeat r is drawn with
    the seed `settings.seed` + r.

    Raises:
        DataError: fewer groups than outer folds, or fewer than two to train and validate on.
    """
    labels = _labels(cases) if strata is None else strata
    groups, names = cases["group"].to_numpy(), cases["case"].to_numpy()
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
        validation = _inner(labels, groups, rest, settings.inner, seed)
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
        lists = {key: tuple(content.get(key, ())) for key in ("held_out", "crossing")}
        folds = Folds(**{**content, **lists, "folds": tuple(parts), "hash": stated})
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not a file of folds: {told(error)}; {remedy}") from error
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
    if strangers := set(folds.held_out) - set(groups):
        yield f"unknown cases are held out: {sorted(strangers)[:5]}"
    apart = {groups[case] for case in folds.held_out if case in groups}
    groups = {case: group for case, group in groups.items() if case not in set(folds.held_out)}
    if both := sorted(apart.intersection(groups.values()).difference(folds.crossing)):
        yield f"groups are held out and in folds: {both[:5]}; a group is never split"
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
            if len(keys) > 1 and group not in folds.crossing:
                sides = " and ".join(sorted(keys))
                yield f"group {group!r} crosses {sides} of fold {k}; a group is never split"
    # Of a fixed split only the test part is tested.
    for repeat in range(0 if folds.fixed else folds.repeats):
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


def _inner(
    labels: NDArray[np.str_],
    groups: NDArray[np.object_],
    rows: NDArray[np.intp],
    parts: int,
    seed: int,
) -> NDArray[np.intp]:
    """Those of `rows` that are one part in `parts`, by group: the inner validation."""
    parts = min(parts, len(set(groups[rows])))
    return rows[_split(labels[rows], groups[rows], parts, seed)[0]]


def _merge_rare(labels: NDArray[np.str_], parts: int) -> Sequence[str]:
    """Replace labels too rare to be in every part by the most common: nothing to balance."""
    counts = Counter(labels.tolist())
    common = counts.most_common(1)[0][0]
    return [label if counts[label] >= parts else common for label in labels.tolist()]


def _hash(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
