"""One case on its way: as a reader returns it, and as the case store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnbench.data.normalise import Floats, measure_image
from attnbench.data.resample import resample_mask
from attnbench.errors import DataError

Spacing = tuple[float, ...]


@dataclass(frozen=True)
class RawCase:
    """A case in its own grid, as read from the originals or generated.

    image: (C, *spatial), any real dtype, the file's own intensities. mask: (*spatial) uint8, 0
    is background. spacing: one size per spatial axis, in the dataset's `spacing_unit`. fov:
    (*spatial) bool, True where scores count. second_rater: (*spatial) uint8, a second
    annotation. facts: known truths that go into `cases.csv` (phantoms). labels: text about the
    case, such as `part`, its part of the official split (train, validation or test). Spatial axes
    are (H, W) for pictures and nibabel's (X, Y, Z) for volumes.
    """

    case: str
    group: str
    image: NDArray[np.generic]
    mask: NDArray[np.uint8]
    spacing: Spacing
    fov: NDArray[np.bool_] | None = None
    second_rater: NDArray[np.uint8] | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparedCase:
    """A case as the store keeps it.

    image: (C, *shape), one of `write.IMAGE_TYPES`, in the file's own intensities, and mask:
    (*shape) uint8 on the working grid with `spacing`; outside a field of view the image holds its
    mean inside. reference, fov and second_rater: (*original_shape) on the case's own grid with
    `original_spacing`. facts: further columns of `cases.csv`, known truths and measured
    difficulty. labels: text, which becomes the columns `label_<name>`.
    """

    case: str
    group: str
    image: NDArray[np.generic]
    mask: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    spacing: Spacing
    original_spacing: Spacing
    fov: NDArray[np.bool_] | None = None
    second_rater: NDArray[np.uint8] | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def statistics(self) -> Floats:
        """What `measure_image` finds in the image, inside its field of view."""
        return measure_image(self.image, inside_view(self.fov, self.mask.shape))


def inside_view(fov: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Field of view (*shape) on the working grid; None without one."""
    return None if fov is None else resample_mask(fov.astype(np.uint8), shape) > 0


def case_error(dataset: str, case: str, problem: str, file: str | Path | None = None) -> DataError:
    """Return a `DataError` about a case.

    Args:
        dataset: its name.
        case: its name.
        problem: what was found, what is allowed, what to do.
        file: the file at fault, where there is one.
    """
    where = f"{dataset}: case {case!r}" + (f", file {file}" if file else "")
    return DataError(f"{where}: {problem}")
