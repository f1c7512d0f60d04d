"""Masks for the tests of scoring."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from attnbench.data.info import DatasetInfo

SPACINGS = (0.07, 0.18, 0.6, 0.9765625, 1.0, 1.5, 3.0)


def _mask(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Blobs, thin structures, scattered voxels or a whole image, with at least one voxel."""
    kind = rng.integers(4)
    field = gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 3))
    if kind == 0:
        mask = field > np.quantile(field, rng.uniform(0.5, 0.99))
    elif kind == 1:
        mask = np.abs(field) < np.quantile(np.abs(field), rng.uniform(0.02, 0.2))
    elif kind == 2:
        mask = rng.random(shape) < rng.uniform(0.001, 0.05)
    else:
        mask = np.zeros(shape, bool)
        corner = [rng.integers(0, side) for side in shape]
        mask[
            tuple(
                slice(start, start + rng.integers(1, 2 * side))
                for start, side in zip(corner, shape, strict=True)
            )
        ] = True
    mask[tuple(rng.integers(0, side) for side in shape)] = True
    return mask


@pytest.fixture(scope="session")
def random_pair() -> Callable[[int], tuple[np.ndarray, np.ndarray, tuple[float, ...]]]:
    """Two random masks, each with a voxel, and an anisotropic spacing, from a seed; 2-D when the
    seed is even.
    """

    def make(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
        rng = np.random.default_rng(seed)
        ndim = 2 + seed % 2
        shape = tuple(int(side) for side in rng.integers(1, 48 if ndim == 2 else 18, ndim))
        spacing = tuple(float(side) for side in rng.choice(SPACINGS, ndim))
        reference = _mask(rng, shape)
        if rng.random() < 0.5:
            return _mask(rng, shape), reference, spacing
        prediction = np.roll(reference, int(rng.integers(-3, 4)), axis=int(rng.integers(ndim)))
        return (
            prediction ^ (rng.random(shape) < 0.002) | (reference & (rng.random(shape) < 0.5)),
            reference,
            spacing,
        )

    return make


@pytest.fixture(scope="session")
def toy_info() -> Callable[..., DatasetInfo]:
    """Facts of a dataset with two classes, resampled and with a field of view; with a second
    second rater or without.
    """

    def make(has_second_rater: bool) -> DatasetInfo:
        return DatasetInfo(
            name="toy",
            title="Toy",
            task="blobs",
            modality="none",
            ndim=2,
            channels=1,
            classes={1: "large", 2: "small"},
            spacing_unit="um",
            spacing=None,
            size=(8, 8),
            resampled=True,
            has_fov=True,
            has_second_rater=has_second_rater,
            groups_inferred=False,
            licence="MIT",
            citation="none",
        )

    return make
