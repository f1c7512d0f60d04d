"""Models of one dataset on every case of an external test set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from attnbench.data.sealed import open_store
from attnbench.files import write_rows
from attnbench.inference.trained import Lost, Trained, network_to_score
from attnbench.scoring.run import origin_of
from attnbench.shift.kinds import KINDS
from attnbench.shift.scores import score_images
from attnbench.shift.sealed import seal_shift
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.study.shift import TransferSettings

log = logging.getLogger(__name__)


def score_transfer(study: Study, run: Run) -> None:
    """Score a run on every case of the external test sets of its dataset; write `transfer.csv`.

    The columns are those of scores, `test` being the set scored on; cases, groups and classes are
    those of `test`, on their own grid and inside their field of view. Images are
    normalised as the run's own: by the same scheme, and the statistics of its fold if it has any.

    """
    with network_to_score(study, run) as trained:
        rows = (
            row
            for transfer in study.transfers_of(run.dataset)
            for row in _transferred(study, run, trained, transfer)
        )
        write_rows(study.layout.run(run) / "transfer.csv", KINDS["transfer"].columns, rows)
        seal_shift(study, run, KINDS["transfer"], trained.stamp)


def _transferred(
    study: Study, run: Run, trained: Trained | Lost, transfer: TransferSettings
) -> Iterator[dict[str, Any]]:
    own = trained.inputs.store
    store = open_store(study.layout, transfer.test)
    indices = range(len(store))
    classes = transfer.mapped(own.info.classes, store.info.classes)
    origin = origin_of(run) | {"test": transfer.test}
    predicted = trained.predict(store, indices)
    for rows in score_images(predicted, store, indices, classes, study):
        yield from (origin | row for row in rows)
    log.info("%s: scored on %d cases of %s", run, len(store), transfer.test)
