"""The human line: a second observer's masks scored against the references, as predictions are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd

from attnbench.data.store import CaseStore
from attnbench.errors import DataError
from attnbench.files import write_csv
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import MASK_METRICS
from attnbench.study import Study

log = logging.getLogger(__name__)

OBSERVER_COLUMNS = ("dataset", "case", "group", "class", "metric", "value", "unit", "status")


def score_observer(study: Study, dataset: str) -> None:
    """Score every case that a second observer annotated and write `data/observer/<dataset>.csv`.

    One row per case, class and metric of masks that the study has, with `OBSERVER_COLUMNS`; where the dataset has a
    field of view, voxels outside it do not count. Raises `DataError` when no case of the dataset has a second observer.
    """
    store = CaseStore.open(study.layout.prepared(dataset))
    if not store.cases["has_observer2"].any():
        raise DataError(f"{dataset}: no case was annotated by a second observer; there is nothing to score")
    rows = [row for index in range(len(store)) for row in _case_rows(study, store, index)]
    scores = pd.DataFrame(rows, columns=list(OBSERVER_COLUMNS))
    write_csv(study.layout.observer(dataset), scores)
    log.info("%s: the second observer's masks of %d cases scored", dataset, scores["case"].nunique())


def _case_rows(study: Study, store: CaseStore, index: int) -> Iterator[dict[str, Any]]:
    observed = store.observer2(index)
    if observed is None:
        return
    rows = score_masks(
        observed,
        store.reference(index),
        store.original_spacing(index),
        store.info.spacing_unit,
        tuple(store.info.classes),
        [name for name in study.metrics if name in MASK_METRICS],
        store.fov(index),
    )
    origin = {"dataset": store.info.name, **store.cases[["case", "group"]].iloc[index]}
    yield from ({**origin, **row} for row in rows)
