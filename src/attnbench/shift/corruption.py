"""Models on the test images of their fold, corrupted level by level."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnbench.data.resample import resample_mask
from attnbench.files import write_rows
from attnbench.inference.trained import Lost, Trained, network_to_score
from attnbench.scoring.run import origin_of
from attnbench.shift.corrupt import corrupt
from attnbench.shift.kinds import KINDS
from attnbench.shift.scores import score_images
from attnbench.shift.sealed import seal_shift
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.study.shift import LEVELS

log = logging.getLogger(__name__)


def score_corrupted(study: Study, run: Run) -> None:
    """Score a run on its test cases under every corruption and level; write `corrupted.csv`.

    The columns are those of scores, then kind and level (1 to 5; level 0 is `scores.csv`).
    Images are corrupted as they are shown and nothing but the scores is kept.
    """
    with network_to_score(study, run) as trained:
        write_rows(
            study.layout.run(run) / "corrupted.csv",
            KINDS["corrupted"].columns,
            _corrupted(study, run, trained),
        )
        seal_shift(study, run, KINDS["corrupted"], trained.stamp)


def _corrupted(study: Study, run: Run, trained: Trained | Lost) -> Iterator[dict[str, Any]]:
    store, classes = (
        trained.inputs.store,
        {number: number for number in trained.inputs.store.info.classes},
    )
    cases = [store.index(case) for case in trained.inputs.fold.test]
    shown = list(itertools.product(cases, study.corruptions, LEVELS))
    # A generator: one corrupted image is in memory at a time.
    indices = [index for index, _, _ in shown]
    predicted = (
        trained.predict(store, indices)
        if isinstance(trained, Lost)
        else trained.predict(store, indices, (corrupted_image(trained, *one) for one in shown))
    )
    scored = score_images(predicted, store, indices, classes, study)
    for (_, kind, level), rows in zip(shown, scored, strict=True):
        yield from (origin_of(run) | row | {"corruption": kind, "level": level} for row in rows)
    log.info(
        "%s: scored on %d cases at %d levels of %s",
        run,
        len(cases),
        len(LEVELS),
        ", ".join(study.corruptions),
    )


def corrupted_image(trained: Trained, index: int, kind: str, level: int) -> NDArray[np.float32]:
    """Return a case's normalised image corrupted, as it was outside its field of view.

    The randomness is that of the case alone: every model, fold and level sees the same pattern.

    Args:
        trained: the run that is to predict it; it has store and normalisation.
        index: the case's position in the store; its image is (C, *shape).
        kind: a corruption of `SEVERITY`.
        level: 1 (slight) to 5.

    Raises:
        DataError: the kind or the level is unknown.
    """
    store, image = trained.inputs.store, trained.image(trained.inputs.store, index)
    # Not `hash()`, which differs from one process to the next.
    digest = hashlib.sha256(
        f"{store.info.name} {store.cases['case'].iloc[index]}".encode()
    ).digest()
    changed = corrupt(image, kind, level, int.from_bytes(digest[:4]))
    # The field of view lies on the original grid, the image on the prepared one.
    fov = store.fov(index)
    if fov is None:
        return changed
    return np.where(resample_mask(fov.view(np.uint8), store.shape(index)) > 0, changed, image)
