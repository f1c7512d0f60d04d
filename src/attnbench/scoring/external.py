"""Scores of predictions that were made elsewhere, by the rules of the study's own runs."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pandas as pd

from attnbench.data.folds import load_folds
from attnbench.data.masks import find_masks, read_mask
from attnbench.data.store import CaseStore
from attnbench.errors import StudyError
from attnbench.files import sha256_of, write_csv, write_json
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.run import case_scores, refuse_other_cases
from attnbench.study.settings import Study

SEED = 0
"""Stands in the column `seed`: how often the other tool was trained is not known here."""

log = logging.getLogger(__name__)


def score_external(study: Study, dataset: str, name: str, fold: int, folder: Path) -> Path:
    """Score one mask per test case of a fold; write `scores.csv`, with `SCORE_COLUMNS`.

    `origin.json` beside it states that the predictions were made elsewhere, the data and folds
    that they are scored on, and the SHA-256 of every file.

    Args:
        study: it has the metrics and their rules; those of probabilities are left out.
        dataset: one of the study's, prepared and split.
        name: of the other tool, for the column `model`; no model of the study.
        fold: outer fold, from 0.
        folder: `<case>.nii.gz`, `.nii` or `.png` of every test case.

    Returns:
        The file of scores.

    Raises:
        StudyError: the name is not free or not lower case.
        DataError: a mask is missing, of another case, on another grid, or holds other classes.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name) or name in {m.name for m in study.models}:
        raise StudyError(
            f"--name {name!r}: small letters, digits and underscores, and none of the study's own "
            "models, whose predictions are not made elsewhere"
        )
    store = CaseStore.open(study.layout.prepared(dataset))
    folds = load_folds(study.layout.folds(dataset), store)
    tested, masks = folds.fold(fold).test, find_masks(folder)
    refuse_other_cases(folder, masks, tested, "name every file as its case, <case>.nii.gz")
    origin = {"dataset": dataset, "model": name, "fold": fold, "seed": SEED}
    rows = [
        origin | row
        for case, index in ((case, store.index(case)) for case in tested)
        for row in case_scores(store, index, read_mask(masks[case], store, index), study, None)
    ]
    path = study.layout.external(dataset, name, fold) / "scores.csv"
    write_csv(path, pd.DataFrame(rows, columns=list(SCORE_COLUMNS)))
    facts = {
        "origin": "predictions made elsewhere",
        "data_hash": store.info.content_hash,
        "folds_hash": folds.hash,
        "sha256": {case: sha256_of(masks[case]) for case in tested},
    }
    write_json(path.with_name("origin.json"), origin | facts)
    log.info(
        "%s: %d cases of fold %d of %s, predicted elsewhere, scored", path, len(tested), fold, name
    )
    return path
