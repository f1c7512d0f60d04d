"""Normalisation: four numbers per case and channel turn stored intensities into a network's input.

They are `low`, `high`, `shift` and `scale`; a voxel x becomes (clip(x, low, high) - shift) * scale.
The scheme says where they come from: `z_score` and `percentile` from the image itself, `ct` from
the training cases of a fold, `none` from nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.study.groups import Scheme

if TYPE_CHECKING:
    from attnbench.data.store import CaseStore

Floats = NDArray[np.float64]

PERCENTILES = (0.5, 99.5)
STATISTICS = ("mean", "sd", "low", "high", "clipped_mean", "clipped_sd")
"""What `measure_image` knows of a channel, in the file's own intensities."""


def statistic_column(channel: int, name: str) -> str:
    """Column of `cases.csv` with one of the STATISTICS of a channel, counted from 0."""
    return f"channel{channel}_{name}"


_CHUNK = 2**22  # voxels in float64 at a time: a large volume is not copied whole


@dataclass(frozen=True)
class Normalisation:
    """A scheme, with the statistics of a fold where it takes them.

    of_fold: (C, 4) low, high, mean and standard deviation of the foreground of the training cases
    (`intensities.measure_fold`); None for schemes that look at the image alone.
    """

    scheme: Scheme
    of_fold: Floats | None = None

    def numbers(self, statistics: Floats) -> Floats:
        """Low, high, shift and scale (..., C, 4) of images with these STATISTICS (..., C, 6)."""
        mean, sd, low, high, clipped_mean, clipped_sd = np.moveaxis(statistics, -1, 0)
        nothing = np.zeros_like(mean)
        match self.scheme:
            case "z_score":
                parts = (nothing - np.inf, nothing + np.inf, mean, _inverse(sd))
            case "percentile":
                parts = (low, high, clipped_mean, _inverse(clipped_sd))
            case "ct":
                assert self.of_fold is not None
                low, high, mean, sd = self.of_fold.T
                parts = tuple(nothing + part for part in (low, high, mean, _inverse(sd)))
            case "none":
                parts = (nothing - np.inf, nothing + np.inf, nothing, nothing + 1)
        return np.stack(parts, axis=-1)

    def image(self, store: CaseStore, i: int) -> NDArray[np.float32]:
        """Case `i` of any store (C, *shape) as a network takes it."""
        return normalise(store.image(i), self.numbers(store.statistics[i]))


def normalise(image: NDArray[np.generic], numbers: Floats) -> NDArray[np.float32]:
    """`image` (C, *spatial) by its `numbers` (C, 4), in the arithmetic of `CasePool.cut`."""
    columns = numbers.astype(np.float32).reshape(len(image), 4, *[1] * (image.ndim - 1))
    low, high, shift, scale = np.moveaxis(columns, 1, 0)
    result = np.array(image, dtype=np.float32)
    if np.isfinite(numbers[:, :2]).any():
        np.clip(result, low, high, out=result)
    result -= shift
    result *= scale
    return result


def measure_image(image: NDArray[np.generic], inside: NDArray[np.bool_] | None = None) -> Floats:
    """STATISTICS (C, 6) of `image` (C, *spatial), inside the field of view where there is one.

    `low` and `high` are the PERCENTILES; the least and the largest value where both are the same:
    an object may fill less than 0.5 % of an image that is constant elsewhere. A standard
    deviation is 0 in a constant channel alone.
    """
    return np.stack([_measure_channel(channel, inside) for channel in image])


def _measure_channel(channel: NDArray[Any], inside: NDArray[np.bool_] | None) -> Floats:
    values = channel.reshape(-1) if inside is None else channel[inside]
    low, high = percentiles(values)
    if low == high:
        low, high = values.min(), values.max()
    return np.array([*moments(values), low, high, *moments(values, low, high)], dtype=np.float64)


def percentiles(values: NDArray[Any]) -> tuple[float, float]:
    """The PERCENTILES of `values` (N,), interpolated in float64 whatever their type."""
    places = [(len(values) - 1) * percent / 100 for percent in PERCENTILES]
    around = [(math.floor(place), math.ceil(place)) for place in places]
    # Not `np.percentile`: it rounds to the type of the values, or copies them all to float64.
    ordered = np.partition(values, sorted({rank for pair in around for rank in pair}))
    low, high = (
        float(ordered[below]) + (place - below) * (float(ordered[above]) - float(ordered[below]))
        for place, (below, above) in zip(places, around, strict=True)
    )
    return low, high


def moments(
    values: NDArray[np.generic], low: float = -math.inf, high: float = math.inf
) -> tuple[float, float]:
    """Mean and standard deviation, in float64, of `values` (N,) clipped to `low` and `high`."""
    mean = math.fsum(part.sum() for part in _clipped(values, low, high)) / values.size
    if values.min() == values.max():
        return mean, 0.0  # rounding of the mean would leave a trace
    squares = math.fsum(np.square(part - mean).sum() for part in _clipped(values, low, high))
    return mean, math.sqrt(squares / values.size)


def _clipped(values: NDArray[np.generic], low: float, high: float) -> Iterator[Floats]:
    for start in range(0, values.size, _CHUNK):
        yield np.clip(values[start : start + _CHUNK].astype(np.float64), low, high)


def _inverse(sd: Floats) -> Floats:
    """What a deviation is multiplied by: a constant channel becomes zero, whatever the factor."""
    return 1 / np.where(sd > 0, sd, 1.0)
