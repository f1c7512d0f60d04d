"""Image of an anatomy: tissue levels, boundary blur, texture, speckle and bias field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from attnbench.data.phantom.anatomy import LESION, ORGAN, VESSEL, Decoy
from attnbench.data.phantom.settings import Difficulty
from attnbench.data.phantom.shapes import Floats, Waves

LEVELS = {ORGAN: 1.0, VESSEL: 3.0, LESION: -0.5}


@dataclass(frozen=True)
class Appearance:
    """Properties that the images of a group share.

    level: background intensity in standard deviations of its noise. gain: intensity per standard
    deviation. grain: correlation length of the texture in pixels. speckle: share of the noise
    variance that multiplies. bias: log of the field that multiplies the image.
    """

    level: float
    gain: float
    grain: float
    speckle: float
    bias: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[int, ...]) -> Appearance:
        """The appearance of one group."""
        return cls(
            level=rng.uniform(5, 9),
            gain=float(np.exp(rng.normal(0, 0.35))),
            grain=rng.uniform(0.6, 1.4),
            speckle=rng.uniform(0.3, 0.7),
            bias=Waves.draw(
                rng, len(size), wavelength=1.5 * min(size), amplitude=rng.uniform(0.06, 0.16)
            ),
        )

    def varied(self, rng: np.random.Generator) -> Appearance:
        """The same patient on another day."""
        level, gain, grain = np.array([self.level, self.gain, self.grain]) * np.exp(
            rng.normal(0, 0.03, 3)
        )
        phases = self.bias.phases + rng.normal(0, 0.3, len(self.bias.phases))
        bias = Waves(self.bias.vectors, phases, self.bias.amplitudes)
        return Appearance(level, gain, grain, self.speckle, bias)


def tissue(mask: NDArray[np.uint8], decoys: Sequence[Decoy], difficulty: Difficulty) -> Floats:
    """Noise-free level above the background (*size), in units of the contrast, blurred."""
    level = np.zeros(mask.shape)
    for rank, decoy in enumerate(decoys):
        strength = np.clip(difficulty.clutter * len(decoys) - rank, 0, 1)
        level += strength * decoy.mask * (decoy.level - level)
    for label, value in LEVELS.items():
        level[mask == label] = value
    return ndimage.gaussian_filter(level, difficulty.blur, mode="nearest")


def render(
    rng: np.random.Generator, tissue: Floats, contrast: float, look: Appearance
) -> NDArray[np.float32]:
    """Render an image (1, *size) with texture, speckle, bias field and the group's gain.

    Args:
        rng: draws texture and speckle.
        tissue: (*size), noise-free levels in units of `contrast`.
        contrast: in standard deviations of the background's noise.
        look: properties of the group's images.
    """
    texture = ndimage.gaussian_filter(rng.normal(size=tissue.shape), look.grain, mode="wrap")
    # Texture and speckle share a variance of 1 at the background's level: contrast counts in it.
    texture *= np.sqrt(1 - look.speckle) / texture.std()
    looks = look.level**2 / look.speckle
    speckle = rng.gamma(looks, 1 / looks, size=tissue.shape)
    bias = np.exp(look.bias(np.indices(tissue.shape, dtype=np.float64)))
    image = look.gain * bias * speckle * (look.level + contrast * tissue + texture)
    return image[np.newaxis].astype(np.float32)
