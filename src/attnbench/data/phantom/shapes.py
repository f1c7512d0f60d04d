"""Smooth random geometry in any number of dimensions: waves, blobs and branching tubes.

Lengths are in pixels, points are (ndim,) and fields are evaluated at (ndim, *spatial) pixel
coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_STEP = 0.5
_THINNEST = 1.0


@dataclass(frozen=True)
class Waves:
    """A smooth random function: plane waves along `vectors` (K, ndim), in cycles per pixel."""

    vectors: Floats
    phases: Floats
    amplitudes: Floats

    @classmethod
    def draw(
        cls, rng: np.random.Generator, ndim: int, wavelength: float, amplitude: float
    ) -> Waves:
        """Draw six waves whose sum has standard deviation `amplitude`.

        Args:
            rng: source of every draw.
            ndim: axes of the positions.
            wavelength: of the shortest wave, in pixels.
            amplitude: in units of the function.
        """
        vectors = unit(rng.normal(size=(6, ndim))) * rng.uniform(0.3, 1.0, size=(6, 1)) / wavelength
        heights = np.abs(rng.normal(size=6))
        return cls(
            vectors,
            rng.uniform(0, 2 * np.pi, 6),
            heights * amplitude * np.sqrt(2 / np.sum(heights**2)),
        )

    def __call__(self, points: Floats) -> Floats:
        """Values (*spatial) at `points` (ndim, *spatial)."""
        phases = np.tensordot(self.vectors, points, axes=1)
        phases += self.phases.reshape(-1, *[1] * (points.ndim - 1))
        return np.tensordot(self.amplitudes, np.cos(2 * np.pi * phases), axes=1)


@dataclass(frozen=True)
class Blob:
    """An ellipsoid with a wavy surface: its relative radius is 1 + waves(direction)."""

    centre: Floats
    axes: Floats
    rotation: Floats
    waves: Waves

    @classmethod
    def draw(
        cls, rng: np.random.Generator, centre: Floats, radius: float, roughness: float
    ) -> Blob:
        """Draw a blob.

        Args:
            rng: source of every draw.
            centre: (ndim,) in pixels.
            radius: mean half-axis in pixels.
            roughness: standard deviation of the relative radius.
        """
        ndim = len(centre)
        axes = radius * rng.uniform(0.8, 1.25, ndim)
        return cls(
            centre,
            axes,
            rotation(rng, ndim),
            Waves.draw(rng, ndim, wavelength=1.6, amplitude=roughness),
        )

    def varied(self, rng: np.random.Generator, amount: float) -> Blob:
        """Shift, turn, scale and reshape the blob by about the fraction `amount`."""
        ndim = len(self.centre)
        return Blob(
            self.centre + amount * self.axes.mean() * rng.normal(size=ndim),
            self.axes * np.exp(amount * rng.normal(size=ndim)),
            orthogonal(self.rotation + amount * rng.normal(size=(ndim, ndim))),
            Waves(
                self.waves.vectors,
                self.waves.phases + 4 * amount * rng.normal(size=6),
                self.waves.amplitudes,
            ),
        )

    def inside(self, size: Sequence[int]) -> Mask:
        """(*size) True where a pixel's centre lies in the blob."""
        mask = np.zeros(size, bool)
        box = _box(self.centre, 1.6 * float(self.axes.max()), size)
        offsets = np.tensordot(
            self.rotation, _coordinates(box) - _as_column(self.centre, len(size)), axes=1
        )
        offsets /= _as_column(self.axes, len(size))
        radius = np.sqrt(np.sum(offsets**2, axis=0))
        mask[box] = radius < 1 + self.waves(offsets / np.maximum(radius, 1e-9))
        return mask


@dataclass(frozen=True)
class Tube:
    """A curved tube: centreline points (n, ndim) at most half a pixel apart, and its radius."""

    points: Floats
    radius: float

    @classmethod
    def grow(
        cls, rng: np.random.Generator, start: Floats, heading: Floats, length: float, radius: float
    ) -> Tube:
        """Grow a tube that bends smoothly at random.

        Args:
            rng: source of every draw.
            start: (ndim,) in pixels.
            heading: (ndim,), a direction of length 1.
            length: of the centreline in pixels.
            radius: in pixels, at least the thinnest that has no gaps.
        """
        steps = max(2, round(length / _STEP))
        bends = np.cumsum(rng.normal(size=(steps, len(start))), axis=0) * 1.1 / np.sqrt(steps)
        return cls(start + np.cumsum(_STEP * unit(heading + bends), axis=0), max(radius, _THINNEST))

    def branches(self, rng: np.random.Generator, count: int) -> list[Tube]:
        """`count` thinner tubes that leave this one sideways."""
        forks = np.sort(rng.uniform(0.25, 0.95, count)) * (len(self.points) - 2)
        tubes = []
        for fork in forks.astype(int):
            along = unit(self.points[fork + 1] - self.points[fork])
            side = rng.normal(size=len(along))
            side = unit(side - side @ along * along)
            length = len(self.points) * _STEP * rng.uniform(0.4, 0.8)
            heading = along + side * rng.uniform(0.6, 1.4)
            tubes.append(
                Tube.grow(
                    rng, self.points[fork], heading, length, self.radius * rng.uniform(0.75, 0.95)
                )
            )
        return tubes


def draw_tubes(tubes: Iterable[Tube], size: Sequence[int]) -> Mask:
    """(*size) True where a pixel's centre lies in one of `tubes`."""
    mask = np.zeros(size, bool)
    for tube in tubes:
        for point in tube.points:
            box = _box(point, tube.radius, size)
            distance = np.sum((_coordinates(box) - _as_column(point, len(size))) ** 2, axis=0)
            mask[box] |= distance <= tube.radius**2
    return mask


def unit(vectors: Floats) -> Floats:
    """`vectors` (..., ndim) scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def orthogonal(matrix: Floats) -> Floats:
    """The orthogonal matrix nearest to `matrix`."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def rotation(rng: np.random.Generator, ndim: int) -> Floats:
    """A random orthogonal matrix (ndim, ndim)."""
    return orthogonal(rng.normal(size=(ndim, ndim)))


def _box(centre: Floats, reach: float, size: Sequence[int]) -> tuple[slice, ...]:
    low = np.clip(np.floor(centre - reach), 0, size).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 0, size).astype(int)
    return tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))


def _coordinates(box: tuple[slice, ...]) -> Floats:
    return np.mgrid[box].astype(np.float64)


def _as_column(vector: Floats, ndim: int) -> Floats:
    return vector.reshape(-1, *[1] * ndim)
