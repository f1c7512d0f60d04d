"""The channels of an image that a study takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attnbench.study.groups import Channels

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue


def choose_channels(image: NDArray[np.generic], channels: Channels | None) -> NDArray[np.generic]:
    """The chosen channels of `image` (C, *spatial), in their order; all for None.

    `grey` is the luminance of red, green and blue by ITU-R BT.601, rounded where they are
    integers.
    """
    if channels is None:
        return image
    if channels != "grey":
        return image[list(channels)]
    grey = np.tensordot(np.array(_LUMA), image.astype(np.float64), axes=1)[None]
    whole = image.dtype.kind in "ui"
    return (np.rint(grey) if whole else grey).astype(image.dtype)
