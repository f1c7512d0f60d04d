"""A trained network shown images that are not those of its test fold: scored one by one,
predictions never kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attnbench.data.store import CaseStore
from attnbench.inference.trained import Trained, as_mask, case_reliability
from attnbench.scoring.calibration import CALIBRATION_COLUMNS
from attnbench.scoring.run import case_scores


def score_images(
    trained: Trained,
    store: CaseStore,
    indices: Sequence[int],
    images: Iterable[NDArray[np.float32]],
    classes: Mapping[int, int],
    metrics: Sequence[str],
) -> Iterator[list[dict[str, Any]]]:
    """The rows of `case_scores` of each of `images` (C, *shape), which are the cases of `store` at
    `indices`.

    `classes` says of each class of the store which class of the network it is; the network's
    other classes count as background, and the store's other classes are not scored.
    """
    for index, probabilities in zip(indices, trained.predict(store, indices, images), strict=True):
        bins = None
        if "ece" in metrics:
            theirs = probabilities[[classes.get(number, 0) for number in range(max(classes) + 1)]]
            bins = pd.DataFrame(
                case_reliability(theirs, store, index, classes),
                columns=list(CALIBRATION_COLUMNS[1:]),
            )
        yield case_scores(
            store, index, renumbered(as_mask(probabilities), classes), metrics, bins, tuple(classes)
        )


def renumbered(mask: NDArray[np.uint8], classes: Mapping[int, int]) -> NDArray[np.uint8]:
    """`mask` (*spatial) with the number of each class replaced: `classes` has the old number by
    the new one.
    """
    new = np.zeros(256, dtype=np.uint8)
    new[list(classes.values())] = list(classes)
    return new[mask]
