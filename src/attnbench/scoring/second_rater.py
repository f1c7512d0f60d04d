"""A second rater's masks scored against the references, as predictions are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd

from attnbench.data.sealed import open_store
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, OwnCodeError
from attnbench.files import write_csv
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import of_masks
from attnbench.study.settings import Study

log = logging.getLogger(__name__)

SECOND_RATER_COLUMNS = ("dataset", "case", "group", "class", "metric", "value", "unit", "status")


def score_second_rater(study: Study, dataset: str) -> None:
    """Score every case that a second rater annotated and write `data/second_rater/<dataset>.csv`.

    One row per case, class and metric of masks that the study has, with `SECOND_RATER_COLUMNS`;
    where the dataset has a field of view, voxels outside it do not count. Raises `DataError`
    when no case of the dataset has a second rater.
    """
    store = open_store(study.layout, dataset)
    if not store.cases["has_second_rater"].any():
        raise DataError(
            f"{dataset}: no case was annotated by a second rater; there is nothing to score"
        )
    rows = [row for index in range(len(store)) for row in _case_rows(study, store, index)]
    scores = pd.DataFrame(rows, columns=list(SECOND_RATER_COLUMNS))
    write_csv(study.layout.second_rater(dataset), scores)
    log.info("%s: the second rater's masks of %d cases scored", dataset, scores["case"].nunique())


def _case_rows(study: Study, store: CaseStore, index: int) -> Iterator[dict[str, Any]]:
    observed = store.second_rater(index)
    if observed is None:
        return
    origin = {"dataset": store.info.name, **store.cases[["case", "group"]].iloc[index]}
    try:
        rows = score_masks(
            observed,
            store.reference(index),
            store.original_spacing(index),
            store.info.spacing_unit,
            tuple(store.info.classes),
            of_masks(study.metrics),
            store.fov(index),
            study.scoring,
        )
    except OwnCodeError as error:
        raise OwnCodeError(f"case {origin['case']!r}, second rater: {error}") from error
    yield from ({**origin, **row} for row in rows)
