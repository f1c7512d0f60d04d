"""Correlation of two thumbnails once the second lies over the first as well as it can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_SHIFT = 0.15
"""Largest shift along an axis that is looked for, in sides."""
_LEAST_OVERLAP = 0.5
_SCALES = (0.75, 1.34)
_SIGMA = 5.0
_FLOOR = 6.0
_COMMON = 5
_ENOUGH = 12
_STEPS = 12
_TILES = 5
_PLAIN = 0.3
_TRIED, _HOPEFUL = 3, 0.45

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Overlay:
    """How the second thumbnail lies over the first.

    correlation: of details, where both are, -1 to 1; once refined, their `agreement`. scale: side
    of what is sampled of the second over its own, per axis (S, H, W); shift: in sides.
    """

    correlation: float
    scale: tuple[float, ...]
    shift: tuple[float, ...]


def details(thumbnail: NDArray[np.uint8]) -> Floats:
    """Return a thumbnail (S, H, W) freed of its coarse brightness and contrast.

    Images of two patients are alike in what goes: where organs lie and how light falls off. What
    remains tells them apart. Noise of a few grey levels is not raised to the contrast of the rest.
    """
    from scipy.ndimage import gaussian_filter

    sigma = (0, _SIGMA, _SIGMA)
    values = thumbnail.astype(np.float32)
    values -= gaussian_filter(values, sigma)
    spread = np.sqrt(gaussian_filter(values * values, sigma))
    return values / (spread + np.float32(_FLOOR))


def common_details(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return what thumbnails (n, S, H, W) share, such as the edge of a field of view: (S, H, W).

    Their mean; of fewer than twelve drawn towards zero as if five more had none: of two images it
    is next to nothing, and what copies share is not all taken away.
    """
    total = np.zeros(thumbnails.shape[1:], np.float64)
    for thumbnail in thumbnails:
        total += details(thumbnail)
    few = _COMMON if len(thumbnails) < _ENOUGH else 0
    return (total / (len(thumbnails) + few)).astype(np.float32)


def own_details(thumbnail: NDArray[np.uint8], common: Floats) -> Floats:
    """Return the details of a thumbnail without what it has of the `common` ones.

    As much is taken away as it holds by least squares, and nothing added: an image whose field of
    view lies elsewhere must not get the others' edge as a pattern of its own.
    """
    values = details(thumbnail)
    norm = float((common * common).sum())
    share = min(max(float((values * common).sum()) / norm, 0.0), 1.0) if norm else 0.0
    return values - np.float32(share) * common


def pooled(values: Floats) -> Floats:
    """Return details averaged in the plane, over 2 x 2 pixels of a picture, 3 x 3 of a volume."""
    side = 2 if len(values) == 1 else 3
    slices, height, width = values.shape
    return values.reshape(slices, height // side, side, width // side, side).mean(axis=(2, 4))


def lay_over(first: Floats, second: Floats, scale: float) -> list[Overlay]:
    """Return the best shift of each `second`, sampled at `scale`, over its `first`.

    By FFT, in whole pixels. Both are stacks (n, S, H, W) of details.
    """
    from scipy import fft

    sides = first.shape[1:]
    scales = tuple(scale if side > 1 else 1.0 for side in sides)
    if scale != 1:
        second = _zoomed(second, scale)
    reach = [int(MOST_SHIFT * side) for side in sides]
    shape = [fft.next_fast_len(n + most, real=True) for n, most in zip(sides, reach, strict=True)]
    axes = (1, 2, 3)
    spectrum = fft.rfftn(first, shape, axes) * np.conj(fft.rfftn(second, shape, axes))
    product = fft.irfftn(spectrum, shape, axes)
    for axis, most in zip(axes, reach, strict=True):
        product = np.take(product, np.arange(-most, most + 1), axis)
    flat = product.reshape(len(product), -1)
    highest = flat.argmax(axis=1)
    places = np.stack(np.unravel_index(highest, product.shape[1:]), axis=1)
    shifts = (places - np.array(reach)) / np.array(sides)
    norms = np.sqrt((first**2).sum(axis=axes) * (second**2).sum(axis=axes))
    heights = flat[np.arange(len(flat)), highest] / np.where(norms > 0, norms, np.inf)
    return [
        Overlay(float(height), scales, tuple(shift))
        for height, shift in zip(heights, shifts.tolist(), strict=True)
    ]


def _zoomed(stack: Floats, scale: float) -> Floats:
    """Every image of a stack sampled about its centre at `scale`, zero where it ends."""
    for axis in (axis for axis in (1, 2, 3) if stack.shape[axis] > 1):
        side = stack.shape[axis]
        places = (np.arange(side) - (side - 1) / 2) * scale + (side - 1) / 2
        weights = np.maximum(0, 1 - np.abs(np.arange(side)[:, None] - places))
        moved = np.moveaxis(stack, axis, -1) @ weights.astype(np.float32)
        stack = np.moveaxis(moved, -1, axis)
    return stack


def refine(first: Floats, second: Floats, start: Overlay) -> Overlay:
    """Improve scale and shift of every axis by Gauss-Newton steps from `start`.

    Steps are those of least squares between the smoothed details of both, the factor between
    them free; the correlation is that of the details as they are. The best overlay on the way is
    returned, not the last.
    """
    from scipy.ndimage import gaussian_filter

    axes = [axis for axis, side in enumerate(first.shape) if side > 1]
    sides = np.array(first.shape)
    scale, shift = np.array(start.scale), np.array(start.shift) * sides
    smooth = [gaussian_filter(values, (0, 1, 1)) for values in (first, second)]
    best, best_scale, best_shift = -1.0, scale.copy(), shift.copy()
    for count in range(_STEPS):
        if count == _TRIED and best < _HOPEFUL:
            break
        sampled = _sampled(smooth[1], scale, shift)
        inside = ~np.isnan(sampled)
        if inside.mean() < _LEAST_OVERLAP:
            break
        target, found = smooth[0][inside], sampled[inside]
        correlation = _correlation(target, found)
        if correlation > best:
            best, best_scale, best_shift = correlation, scale.copy(), shift.copy()
        step = _step(np.where(inside, sampled, 0), inside, target, found, axes)
        for number, axis in enumerate(axes):
            shift[axis] -= np.clip(step[2 * number], -3, 3)
            scale[axis] *= 1 + np.clip(step[2 * number + 1], -0.05, 0.05)
        scale = np.clip(scale, *_SCALES)
        if np.abs(step).max() < 1e-3:
            break
    return Overlay(
        agreement(first, _sampled(second, best_scale, best_shift)),
        tuple(map(float, best_scale)),
        tuple(map(float, best_shift / sides)),
    )


def agreement(first: Floats, second: Floats) -> float:
    """Return how well details agree: the lower quartile of their correlation in 5 x 5 tiles.

    The edge of a field of view or a frame around the image correlates whatever is inside it, but
    copies agree in every tile. Tiles without details in either do not count. If the correlation
    of the whole is less, it is returned.

    Args:
        first: details (S, H, W).
        second: the same, NaN where there are none.
    """
    inside = ~np.isnan(second)
    if not inside.any():
        return 0.0
    tiles = []
    for rows in np.array_split(np.arange(first.shape[1]), _TILES):
        for columns in np.array_split(np.arange(first.shape[2]), _TILES):
            cut = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            own, other = first[cut][inside[cut]], second[cut][inside[cut]]
            if own.size * 2 >= inside[cut].size and max(own.std(), other.std()) > _PLAIN:
                tiles.append(_correlation(own, other))
    whole = _correlation(first[inside], second[inside])
    return min(whole, float(np.quantile(tiles, 0.25))) if tiles else whole


def _step(
    sampled: Floats, inside: NDArray[np.bool_], target: Floats, found: Floats, axes: list[int]
) -> NDArray[np.float64]:
    """Move in pixels and relative change of scale, axis by axis, that bring `found` nearer."""
    columns = []
    for axis in axes:
        slope = np.gradient(sampled, axis=axis)
        shape = [-1 if other == axis else 1 for other in range(sampled.ndim)]
        place = np.arange(sampled.shape[axis], dtype=np.float32) - (sampled.shape[axis] - 1) / 2
        columns += [slope[inside], (slope * place.reshape(shape))[inside]]
    moves = np.stack(columns, axis=1)
    moves -= moves.mean(axis=0)
    target, found = target - target.mean(), found - found.mean()
    factor = max(float(target @ found) / (float(found @ found) + 1e-9), 0.1)
    normal = (moves.T @ moves).astype(np.float64) + 1e-3 * np.eye(len(columns))
    return np.linalg.solve(normal, moves.T @ (target / factor - found))


def _sampled(image: Floats, scale: object, shift: object) -> Floats:
    """`image` sampled about its centre at `scale`, moved by `shift` pixels; NaN where it ends."""
    from scipy.ndimage import affine_transform

    scale, shift = np.asarray(scale, float), np.asarray(shift, float)
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - scale * centre - scale * shift
    return affine_transform(image, scale, offset, order=1, mode="constant", cval=np.nan)


def _correlation(first: Floats, second: Floats) -> float:
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm else 0.0
