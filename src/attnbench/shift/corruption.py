"""Models on the test images of their fold, made worse in steps."""

from __future__ import annotations

import hashlib
import itertools
import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attnbench.data.corrupt import LEVELS, corrupt
from attnbench.data.resample import resample_mask
from attnbench.data.store import CaseStore
from attnbench.files import write_csv
from attnbench.inference import trained_network
from attnbench.layout import Run
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.run import origin_of
from attnbench.shift.scores import score_images
from attnbench.study import Study

log = logging.getLogger(__name__)

CORRUPTED_COLUMNS = (*SCORE_COLUMNS, "corruption", "level")


def score_corrupted(study: Study, run: Run) -> None:
    """Score a run on its test cases, made worse by every corruption of the study at every level; write `corrupted.csv`.

    `CORRUPTED_COLUMNS`: those of scores, then kind and level (1 to 5; level 0 is `scores.csv`). Images are made worse
    as they are shown and nothing but the scores is kept.
    """
    frames = []
    with trained_network(study, run) as trained:
        store, classes = trained.inputs.store, {number: number for number in trained.inputs.store.info.classes}
        cases = [store.index(case) for case in trained.inputs.fold.test]
        shown = list(itertools.product(cases, study.corruptions, LEVELS))
        images = (corrupted_image(store, index, kind, level) for index, kind, level in shown)
        scored = score_images(trained, store, [index for index, _, _ in shown], images, classes, study.metrics)
        for (_, kind, level), rows in zip(shown, scored, strict=True):
            frames.append(pd.DataFrame(rows).assign(**origin_of(run), corruption=kind, level=level))
    table = pd.concat(frames, ignore_index=True)[list(CORRUPTED_COLUMNS)]
    write_csv(study.layout.run(run) / "corrupted.csv", table)
    log.info("%s: scored on %d cases at %d levels of %s", run, len(cases), len(LEVELS), ", ".join(study.corruptions))


def corrupted_image(store: CaseStore, index: int, kind: str, level: int) -> NDArray[np.float32]:
    """The prepared image (C, *shape) of a case made worse, zero outside its field of view as before.

    The randomness is that of the case alone: every model, fold and level sees the same pattern.
    """
    digest = hashlib.sha256(f"{store.info.name} {store.cases['case'].iloc[index]}".encode()).digest()
    image = corrupt(store.image(index), kind, level, int.from_bytes(digest[:4]))
    fov = store.fov(index)
    return image if fov is None else image * (resample_mask(fov.view(np.uint8), store.shape(index)) > 0)
