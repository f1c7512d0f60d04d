"""Models of a dataset on its held-out test set, whose groups are in no fold."""

from __future__ import annotations

import logging

from attnbench.data.folds import load_folds
from attnbench.errors import DataError
from attnbench.files import write_rows
from attnbench.inference.trained import network_to_score
from attnbench.scoring.run import origin_of
from attnbench.shift.kinds import KINDS
from attnbench.shift.scores import score_images
from attnbench.shift.sealed import seal_shift
from attnbench.study.paths import Run
from attnbench.study.settings import Study

log = logging.getLogger(__name__)


def score_held_out(study: Study, run: Run) -> None:
    """Score a run on every case that is held out of all folds; write `held_out.csv`.

    The columns are those of scores; cases are scored on their own grid and inside their field of
    view.

    Raises:
        DataError: the folds hold out no case, or the run was trained or validated on one.
    """
    with network_to_score(study, run) as trained:
        store, fold = trained.inputs.store, trained.inputs.fold
        held_out = load_folds(study.layout.folds(run.dataset), store).held_out
        seen = set(held_out).intersection((*fold.train, *fold.validation, *fold.test))
        if not held_out or seen:
            found = f"are in fold {run.fold}, too: {sorted(seen)[:5]}" if seen else "are none"
            raise DataError(
                f"{run.dataset}: held-out cases {found}; split again (`attnbench folds`)"
            )
        indices = [store.index(case) for case in held_out]
        classes = {number: number for number in store.info.classes}
        predicted = trained.predict(store, indices)
        rows = (
            origin_of(run) | row
            for of_case in score_images(predicted, store, indices, classes, study)
            for row in of_case
        )
        write_rows(study.layout.run(run) / "held_out.csv", KINDS["held_out"].columns, rows)
        seal_shift(study, run, KINDS["held_out"], trained.stamp)
    log.info("%s: scored on %d held-out cases", run, len(held_out))
