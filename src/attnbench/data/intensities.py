"""Intensities of a fold's training cases: measured once, beside the folds, tied to them by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.data.folds import Fold, Folds, load_folds
from attnbench.data.normalise import Floats, Normalisation, moments, percentiles
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, told
from attnbench.files import read_json, write_json
from attnbench.study.groups import Scheme

_NAMES = ("low", "high", "mean", "sd")
_MOST = 20_000_000  # foreground voxels of a fold: below it the statistics are exact
_REMEDY = "measure again (`attnbench folds`)"


def write_statistics(prepared: Path, folds: Path, scheme: Scheme, path: Path) -> None:
    """Write the statistics that the scheme takes of the training cases of every fold to `path`.

    Schemes that look at the image alone have none: their file says so.

    Raises:
        DataError: the folds are not of the store, or see `measure_fold`.
    """
    store = CaseStore.open(prepared)
    split = load_folds(folds, store)
    content = {
        "dataset": store.info.name,
        "data_hash": store.info.content_hash,
        "folds_hash": split.hash,
        "scheme": scheme,
        "folds": [
            {
                "fold": k,
                **dict(zip(_NAMES, measure_fold(store, fold.train).T.tolist(), strict=True)),
            }
            for k, fold in enumerate(split.folds if scheme == "ct" else ())
        ],
    }
    write_json(path, {**content, "hash": _hash(content)})


def measure_fold(store: CaseStore, cases: Iterable[str]) -> Floats:
    """Low, high, mean and standard deviation (C, 4) of the foreground voxels of `cases`.

    As nnU-Net v2 takes them for CT (Isensee et al., Nature Methods 2021): low and high are the 0.5
    and 99.5 percentiles of the voxels of all classes, of all cases together; mean and standard
    deviation are theirs unclipped. Here on the working grid. Of more than 20 million voxels every
    case gives every n-th: enough for a percentile to four digits.

    Raises:
        DataError: there is no foreground voxel, or they all have one value.
    """
    names = list(cases)
    indices = [store.index(case) for case in names]
    total = sum(int(np.count_nonzero(store.mask(index))) for index in indices)
    every = max(1, -(-total // _MOST))
    found = []
    for index in indices:
        inside = np.flatnonzero(store.mask(index))[::every]
        image = np.moveaxis(store.image(index), 0, -1)
        found.append(image.reshape(-1, store.info.channels)[inside])
    voxels = np.concatenate(found)
    remedy = "take another scheme: `normalisation: z_score`"
    if not len(voxels):
        raise DataError(
            f"{store.info.name}: none of the {len(names)} training cases has a voxel of a class, "
            f"whose intensities `normalisation: ct` takes; {remedy}"
        )
    rows = []
    for channel, values in enumerate(voxels.T):
        mean, sd = moments(values)
        if sd == 0:
            raise DataError(
                f"{store.info.name}: all {len(voxels)} foreground voxels of the {len(names)} "
                f"training cases have the value {values[0]} in channel {channel}; "
                f"`normalisation: ct` divides by their standard deviation; {remedy}"
            )
        rows.append([*percentiles(values), mean, sd])
    return np.array(rows, dtype=np.float64)


def load_normalisation(
    path: Path, scheme: Scheme, store: CaseStore, folds: Folds, k: int, fold: Fold
) -> Normalisation:
    """The normalisation of runs of fold `k`, which are trained on the cases of `fold`.

    Runs on a share of the fold's training groups take the statistics of that share, which are
    measured here: the cases that were left out are unknown to them.

    Raises:
        DataError: the file is unreadable or altered, or of another scheme, other data or folds.
    """
    if scheme != "ct":
        return Normalisation(scheme)
    if fold.train != folds.fold(k).train:
        return Normalisation(scheme, measure_fold(store, fold.train))
    try:
        content = read_json(path)
        stated = content.pop("hash")
        measured = content["folds"]
        of_fold = np.array([measured[k][name] for name in _NAMES]).T if measured else None
    except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not a file of statistics: {told(error)}; {_REMEDY}") from error
    if _hash(content) != stated:
        raise DataError(
            f"{path}: altered: its content has the hash {_hash(content)}, it states {stated}; "
            f"{_REMEDY}"
        )
    expected = {
        "dataset": store.info.name,
        "data_hash": store.info.content_hash,
        "folds_hash": folds.hash,
        "scheme": scheme,
    }
    for name, value in expected.items():
        if content[name] != value:
            raise DataError(
                f"{path}: measured for another {name} (found {content[name]}, now {value}); "
                f"{_REMEDY}"
            )
    return Normalisation(scheme, of_fold)


def _hash(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
