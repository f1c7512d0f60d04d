"""Images known again by what they show: the hash of a prepared image, whatever its name."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from attnbench.data.normalise import Floats, Normalisation, normalise
from attnbench.data.store import CaseStore

_ALIKE = 1e-3  # of a standard deviation: by how much percentiles of equal images may differ


def image_hash(image: NDArray[np.generic], statistics: Floats) -> str | None:
    """SHA-256 of a prepared image (C, *shape), z-scored by its STATISTICS (C, 6).

    It is the same whatever type the intensities are stored in. None for an image of one value: it
    shows nothing that could be known again.
    """
    z_scores = normalise(image, Normalisation("z_score").numbers(statistics))
    if z_scores.min() == z_scores.max():
        return None
    return hashlib.sha256(z_scores.tobytes()).hexdigest()


def cases_like(store: CaseStore, image: NDArray[np.generic], statistics: Floats) -> list[str]:
    """Cases of `store` whose prepared image has the `image_hash` of this one (C, *shape)."""
    wanted = image_hash(image, statistics)
    if wanted is None or len(image) != store.info.channels:
        return []
    # Few images have equal percentiles: the others need not be read.
    alike = np.isclose(_standard(store.statistics), _standard(statistics), rtol=0, atol=_ALIKE)
    return [
        store.columns["case"][index]
        for index in np.flatnonzero(alike.all(axis=(1, 2))).tolist()
        if store.shape(index) == image.shape[1:]
        and image_hash(store.image(index), store.statistics[index]) == wanted
    ]


def _standard(statistics: Floats) -> Floats:
    """Percentiles (..., C, 2) in standard deviations from the mean."""
    mean, sd, low, high, _, _ = np.moveaxis(statistics, -1, 0)
    return np.stack([low - mean, high - mean], -1) / np.where(sd > 0, sd, 1.0)[..., None]
