"""Images that differ from each other as photographs do: smooth noise of several sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from attnbench.data.case import RawCase


@pytest.fixture(scope="session")
def texture() -> Callable[..., NDArray[np.float32]]:
    def draw(seed: int, shape: tuple[int, ...] = (150, 180)) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        layers = [gaussian_filter(rng.normal(size=shape), sigma) for sigma in (2, 4, 9)]
        return sum(layer / layer.std() for layer in layers).astype(np.float32)

    return draw


@pytest.fixture(scope="session")
def case_of() -> Callable[..., RawCase]:
    """A case of one image without channels; its mask is a square unless given."""

    def build(name: str, image, group: str | None = None, mask=None, spacing=None) -> RawCase:
        if mask is None:
            mask = np.zeros(image.shape, np.uint8)
            mask[tuple(slice(2, 4 + len(name) % 5) for _ in image.shape)] = 1
            mask.flat[-1 - int.from_bytes(name.encode()) % 97] = 1
        return RawCase(
            case=name,
            group=group or f"group of {name}",
            image=np.asarray(image)[None],
            mask=mask,
            spacing=spacing or (1.0,) * image.ndim,
        )

    return build
