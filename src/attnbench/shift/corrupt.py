"""Images corrupted on purpose, in five levels, as scanners and cameras may corrupt them.

The idea and the five levels are those of Hendrycks and Dietterich, Benchmarking neural network
robustness to common corruptions and perturbations, ICLR 2019; the kinds are those of medical
images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from attnbench.errors import DataError, nearest
from attnbench.study.shift import LEVELS

Image = NDArray[np.float32]
SEVERITY: dict[str, tuple[float, ...]] = {
    "noise": (0.1, 0.2, 0.35, 0.5, 0.75),
    "blur": (0.5, 1.0, 1.5, 2.0, 3.0),
    "contrast": (0.8, 0.6, 0.45, 0.3, 0.2),
    "bias_field": (0.1, 0.2, 0.35, 0.5, 0.7),
    "resolution": (1.5, 2.0, 3.0, 4.0, 6.0),
    "ghosting": (0.15, 0.3, 0.45, 0.6, 0.8),
}
"""Strength of each level of each kind: the second argument of the function of that name."""
_GHOSTS = 4
_DEGREE = 3


def corrupt(image: Image, kind: str, level: int, seed: int) -> Image:
    """Return `image` corrupted by `kind` at `level`; shape and type stay, no mask changes.

    An image without any contrast comes back as it is.

    Args:
        image: (C, *spatial), every channel corrupted alone.
        kind: a key of `SEVERITY`.
        level: 1 (slight) to 5.
        seed: draws one pattern of noise or of a bias field, which the level only makes stronger.

    Raises:
        DataError: the kind or the level is unknown.
    """
    if kind not in SEVERITY:
        raise DataError(f"no such corruption: {kind!r}; {nearest(kind, SEVERITY)}")
    if level not in LEVELS:
        raise DataError(f"{kind}: no level {level!r}; levels are {', '.join(map(str, LEVELS))}")
    random = np.random.default_rng(seed)
    # float64: the functions' rounding then does not show in the float32 of the result.
    changed = [
        _KINDS[kind](channel, SEVERITY[kind][level - 1], random)
        for channel in image.astype(np.float64)
    ]
    return np.stack(changed).astype(np.float32)


def noise(channel: NDArray, share: float, random: np.random.Generator) -> NDArray:
    """Add Gaussian noise whose standard deviation is `share` of the channel's (*spatial)."""
    return channel + share * channel.std() * random.standard_normal(channel.shape)


def blur(channel: NDArray, sigma: float, _random: np.random.Generator) -> NDArray:
    """Smooth the channel (*spatial) by a Gaussian of `sigma` pixels along every axis."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(channel, sigma, mode="nearest")


def contrast(channel: NDArray, factor: float, _random: np.random.Generator) -> NDArray:
    """Multiply every distance from the channel's mean by `factor`."""
    mean = channel.mean()
    return mean + factor * (channel - mean)


def bias_field(channel: NDArray, strength: float, random: np.random.Generator) -> NDArray:
    """Multiply intensities above the channel's least by exp(f), f a random cubic of the position.

    |f| reaches `strength`. As the smooth inhomogeneity of coils and of illumination (Van Leemput
    et al., IEEE TMI 18, 1999).
    """
    axes = np.meshgrid(
        *(np.linspace(-1, 1, side) for side in channel.shape), indexing="ij", sparse=True
    )
    field = np.zeros(channel.shape)
    for powers in np.ndindex(*(_DEGREE + 1,) * channel.ndim):
        if 0 < sum(powers) <= _DEGREE:
            first, *others = (axis**power for axis, power in zip(axes, powers, strict=True))
            field += random.uniform(-1, 1) * math.prod(others, start=first)
    # `tiny` keeps a field of zeros from dividing by zero.
    field *= strength / max(np.abs(field).max(), np.finfo(float).tiny)
    least = channel.min()
    return least + (channel - least) * np.exp(field)


def resolution(channel: NDArray, factor: float, _random: np.random.Generator) -> NDArray:
    """Return the channel (*spatial) as if its pixels were `factor` times as long, on the same grid.

    Smoothed along every axis by a Gaussian of that width, sampled on the coarse grid and
    interpolated linearly.
    """
    from scipy.ndimage import gaussian_filter, zoom

    coarse_shape = [max(1, round(side / factor)) for side in channel.shape]
    # A full width at half maximum of `factor` pixels.
    smooth = gaussian_filter(channel, factor / np.sqrt(8 * np.log(2)), mode="nearest")
    # Pixels count as areas, so that both grids cover the same extent.
    steps = {"order": 1, "mode": "nearest", "grid_mode": True}
    coarse = zoom(smooth, np.divide(coarse_shape, channel.shape), **steps)
    return zoom(coarse, np.divide(channel.shape, coarse.shape), **steps)


def ghosting(channel: NDArray, strength: float, _random: np.random.Generator) -> NDArray:
    """Add faint copies along the last axis: every fourth line of the spectrum loses `strength`.

    The mean is kept. So does periodic motion to an MR image (as `RandomGhosting` of TorchIO:
    Perez-Garcia et al., CMPB 208, 2021).
    """
    spectrum = np.fft.fft(channel, axis=-1)
    line = np.rint(np.fft.fftfreq(channel.shape[-1], 1 / channel.shape[-1])).astype(int)
    spectrum[..., (line % _GHOSTS == 0) & (line != 0)] *= 1 - strength
    # Lines k and -k are weakened alike: what is imaginary is rounding alone.
    return np.fft.ifft(spectrum, axis=-1).real


_KINDS: dict[str, Callable[[NDArray, float, np.random.Generator], NDArray]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "bias_field": bias_field,
    "resolution": resolution,
    "ghosting": ghosting,
}
