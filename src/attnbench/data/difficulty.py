"""Difficulty of a case from its image and reference alone, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

MEASURES = (
    "boundary_contrast",
    "boundary_sharpness",
    "contrast_to_noise",
    "clutter",
    "size",
    "compactness",
    "components",
)
COLUMNS = tuple(f"difficulty_{name}" for name in MEASURES)
WINDOW = 7  # side of the windows that are averaged, in pixels
EDGE_SIGMA = 1.5  # of the derivative of a Gaussian that finds edges, in pixels
AWAY = 5  # pixels from a boundary within which an edge may still be its own
_DIGITS = 6
_ROUNDING = 1e-5  # running sums in float32 leave a share of 0 or 1 off by less than this


def measure_difficulty(
    image: Floats, mask: NDArray[np.uint8], spacing: Sequence[float], region: Mask | None = None
) -> dict[str, float]:
    """Measure the difficulty columns of `cases.csv`, to six digits (defined in docs/files.md).

    A measure of several classes is the mean over those present. NaN where a measure has no
    meaning: all of them where the reference is empty, those of the boundary where it fills the
    image. Beside `image`, takes the memory of about six copies of one channel.

    Args:
        image: (C, *spatial) float32, normalised.
        mask: (*spatial) uint8, 0 is background.
        spacing: one size per axis.
        region: (*spatial) bool, the field of view, outside which no clutter is looked for.
    """
    if not mask.any():
        return dict.fromkeys(COLUMNS, math.nan)
    classes = [_measure_class(image, mask, number, spacing) for number in np.unique(mask[mask > 0])]
    measured = {name: float(np.mean([row[name] for row in classes])) for name in classes[0]}
    measured |= {
        "size": float(np.count_nonzero(mask) / mask.size),
        "components": sum(row["components"] for row in classes),
        "clutter": _clutter(image, mask, region),
    }
    return {f"difficulty_{name}": float(f"{measured[name]:.{_DIGITS}g}") for name in MEASURES}


def _measure_class(
    image: Floats, mask: NDArray[np.uint8], number: int, spacing: Sequence[float]
) -> Mapping[str, float]:
    """Measures of one class; intensities are of the channel with the most boundary contrast."""
    # With a margin of one window, so that windows at the boundary see what they would see.
    box = tuple(
        slice(max(0, side.start - WINDOW), side.stop + WINDOW)
        for side in ndimage.find_objects((mask == number).view(np.uint8))[0]
    )
    inside = mask[box] == number
    channels = [_measure_channel(channel[box], inside) for channel in image]
    return {
        **max(channels, key=lambda row: np.nan_to_num(row["boundary_contrast"], nan=-1.0)),
        "compactness": _compactness(inside, spacing),
        "components": float(ndimage.label(inside, np.ones((3,) * inside.ndim))[1]),
    }


def _measure_channel(image: Floats, inside: Mask) -> dict[str, float]:
    """Steps of `image` across the boundary of `inside`, both (*box), in units of the noise.

    At every boundary pixel the pixels of a window are averaged on either side; their difference
    is the local step. The noise is the median standard deviation of the windows nearby that lie
    on one side only. The sharpness is the least-squares slope of the step between the two
    adjacent pixels on the local one.
    """
    edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
    share = _windowed(inside.astype(np.float32))
    pure, ring = _nearby(share)
    if not edge.any() or not ring.any():
        return dict.fromkeys(
            ("boundary_contrast", "boundary_sharpness", "contrast_to_noise"), math.nan
        )
    means, own = _windowed(image), _windowed(image * inside)
    # The variance as a difference may round below zero where the image is constant.
    noise = math.sqrt(max(0.0, float(np.median(_windowed(image**2)[pure] - means[pure] ** 2))))
    step = np.zeros_like(image)
    step[edge] = own[edge] / share[edge] - (means - own)[edge] / (1 - share[edge])
    adjacent, local = map(np.concatenate, zip(*_steps(image, step, inside), strict=True))
    core = inside & (share >= np.median(share[inside]))
    return {
        "boundary_contrast": _ratio(float(np.abs(step[edge]).mean()), noise),
        "boundary_sharpness": _ratio(float(adjacent @ local), float(local @ local)),
        "contrast_to_noise": _ratio(
            abs(float(image[core].mean()) - float(image[ring].mean())), noise
        ),
    }


def _nearby(share: Floats) -> tuple[Mask, Mask]:
    """Pixels near the boundary with their window on one side of it, and those of them outside."""
    wider = _windowed(share)
    ring = (share < _ROUNDING) & (wider > _ROUNDING)
    return ring | ((share > 1 - _ROUNDING) & (wider < 1 - _ROUNDING)), ring


def _windowed(values: Floats) -> Floats:
    return ndimage.uniform_filter(values, WINDOW, mode="reflect")


def _steps(
    image: Floats, local: Floats, inside: Mask
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Per axis, of neighbours across the boundary: inner minus outer pixel, and the local step."""
    for axis in range(image.ndim):
        values, steps = np.moveaxis(image, axis, 0), np.moveaxis(local, axis, 0)
        sides = np.moveaxis(inside, axis, 0)
        for inner, outer in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            across = sides[inner] & ~sides[outer]
            difference = values[inner][across] - values[outer][across]
            yield difference.astype(np.float64), steps[inner][across].astype(np.float64)


def _compactness(inside: Mask, spacing: Sequence[float]) -> float:
    """Isoperimetric quotient: 1 for a disc or ball, less the more boundary there is.

    Pixel faces overestimate a boundary of every direction by 4 / pi in 2-D and by 3 / 2 in 3-D.
    """
    ndim, pixel = inside.ndim, math.prod(spacing)
    padded = np.pad(inside, 1)
    faces = sum(
        np.count_nonzero(np.diff(padded, axis=axis)) * pixel / spacing[axis] for axis in range(ndim)
    )
    content = np.count_nonzero(inside) * pixel
    if ndim == 2:
        return 4 * math.pi * content / (faces * math.pi / 4) ** 2
    return 36 * math.pi * content**2 / (faces * 2 / 3) ** 3


def _clutter(image: Floats, mask: NDArray[np.uint8], region: Mask | None) -> float:
    """Share of the pixels off every boundary whose edge is as strong as the boundary's median."""
    boundary = _boundary(mask)
    if not boundary.any():
        return math.nan
    allowed = np.ones(mask.shape, dtype=bool) if region is None else region
    away = ndimage.minimum_filter(allowed & ~boundary, 2 * AWAY + 1, mode="nearest")
    shares = []
    for channel in image:
        edges = ndimage.gaussian_gradient_magnitude(channel, EDGE_SIGMA, truncate=3.0)
        shares.append(
            float((edges[away] >= np.median(edges[boundary])).mean()) if away.any() else math.nan
        )
    return float(np.min(shares))


def _boundary(mask: NDArray[np.uint8]) -> Mask:
    """Pixels with a neighbour of another class along an axis."""
    boundary = np.zeros(mask.shape, dtype=bool)
    for axis in range(mask.ndim):
        differs = np.diff(mask, axis=axis) != 0
        moved = np.moveaxis(boundary, axis, 0)  # a view: writing to it marks `boundary`
        moved[1:] |= np.moveaxis(differs, axis, 0)
        moved[:-1] |= np.moveaxis(differs, axis, 0)
    return boundary


def _ratio(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan
