"""Scores on images other than those of a test fold, predictions not kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from attnbench.data.store import CaseStore
from attnbench.inference.trained import as_mask, case_reliability
from attnbench.scoring.calibration import CALIBRATION_COLUMNS
from attnbench.scoring.diverged import rows_of_diverged
from attnbench.scoring.run import case_scores
from attnbench.study.settings import Study


def score_images(
    predicted: Iterable[Tensor | None],
    store: CaseStore,
    indices: Sequence[int],
    classes: Mapping[int, int],
    study: Study,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of `case_scores` of every predicted image, one by one.

    Args:
        predicted: class probabilities (K, *original_shape) of each image, in the order of
            `indices`; None of a run that diverged, whose rows have no value.
        store: the dataset that the images belong to.
        indices: positions of the images' cases in `store`.
        classes: number in the store to number in the network, of every class that is scored; the
            network's other classes count as background.
        study: it has the metrics and their rules.
    """
    for index, probabilities in zip(indices, predicted, strict=True):
        if probabilities is None:
            yield from rows_of_diverged(study, store, [index], classes)
            continue
        bins = None
        if "ece" in study.metrics:
            # Probabilities by the store's numbers; unscored ones only fill the gaps.
            theirs = probabilities[[classes.get(number, 0) for number in range(max(classes) + 1)]]
            bins = pd.DataFrame(
                case_reliability(theirs, store, index, classes),
                columns=list(CALIBRATION_COLUMNS[1:]),
            )
        yield case_scores(
            store, index, renumbered(as_mask(probabilities), classes), study, bins, tuple(classes)
        )


def renumbered(mask: NDArray[np.uint8], classes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Return `mask` (*spatial) with new class numbers; `classes` has the old by the new ones."""
    # A table of all 8-bit numbers: those without a new one become background.
    new = np.zeros(256, dtype=np.uint8)
    new[list(classes.values())] = list(classes)
    return new[mask]
