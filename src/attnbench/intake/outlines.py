"""Masks that are drawn as outlines: thin closed curves around what is meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnbench.data.readers.decode import decode
from attnbench.data.readers.legend import Legend
from attnbench.data.readers.picture_sets import filled
from attnbench.intake.found import Options, Problem
from attnbench.intake.looks import MaskLook
from attnbench.intake.values import Meaning

SAMPLE = 64  # masks that are tried
ENCLOSED = 3  # filled, an outline is more than so many times larger
# Vessels form loops that make up to 5 times their own area (DRIVE), but most of them run inside
# of it; an outline is the rim of what it encloses, or (touching cells) encloses still more.
SURELY = 6
RIM, RIM_SHARE = 4, 0.8  # pixels, and share of the marked ones that lie in it


def outlines(
    folder: Path, masks: Sequence[MaskLook], meaning: Meaning, options: Options
) -> Iterator[Problem]:
    """Masks in which thin closed curves enclose much more than they cover."""
    if options.outlines or not (meaning.values or meaning.threshold is not None):
        return
    seen = [mask for mask in masks if not mask.error and mask.values > 1]
    legend = Legend.of(meaning.values, meaning.threshold)
    drawn, tried = [], 0
    for mask in seen[:: max(1, len(seen) // SAMPLE)]:
        try:
            classes = legend.apply(decode(folder / mask.path))
        except (OSError, ValueError):
            continue  # said elsewhere
        if classes.any():
            tried += 1
            if is_outline(classes):
                drawn.append(mask.path)
    if len(drawn) * 2 > tried:
        text = f"{len(drawn)} of {tried} masks look like outlines: thin curves around what is meant"
        yield Problem(text, tuple(drawn), "--fill (what they enclose), or --as-is (the curves)")


def is_outline(classes: NDArray[np.uint8]) -> bool:
    """Whether a mask ([pages,] H, W) is curves that enclose much more than they cover."""
    from scipy import ndimage

    marked = classes.reshape(-1, *classes.shape[-2:]) > 0
    whole = filled(marked.astype(np.uint8)) > 0
    area = np.count_nonzero(marked)
    times = np.count_nonzero(whole) / area
    if times <= ENCLOSED or times > SURELY:
        return bool(times > SURELY)
    inner = np.stack([ndimage.binary_erosion(p, iterations=RIM, border_value=1) for p in whole])
    return bool(np.count_nonzero(marked & ~inner) > RIM_SHARE * area)
