"""One plane of a case, ready to be shown: a picture as it is, a volume by its axial slice of largest reference area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from attnbench.data.store import CaseStore

_LARGEST_SIDE = 640


@dataclass(frozen=True)
class Plane:
    """Where a case is cut: `index` on the third axis of its own grid, None for a picture; `box` is (width, height).

    The box is in the dataset's spacing unit and holds image and masks whatever their grids.
    """

    index: int | None
    box: tuple[float, float]


def plane_of(store: CaseStore, i: int) -> Plane:
    """The plane in which case `i` is shown."""
    reference, spacing = store.reference(i), store.original_spacing(i)
    sides = [size * step for size, step in zip(reference.shape, spacing, strict=True)]
    if reference.ndim == 2:
        return Plane(None, (sides[1], sides[0]))
    area = np.count_nonzero(reference, axis=(0, 1))
    return Plane(int(area.argmax()) if area.any() else reference.shape[2] // 2, (sides[0], sides[1]))


def image_plane(store: CaseStore, i: int, plane: Plane) -> NDArray[np.float32]:
    """(H, W) grey or (H, W, 3) colour in 0..1 between the 0.5th and 99.5th percentile, upright.

    Outside the field of view it is black.
    """
    image = store.image(i)
    image = image if len(image) == 3 else image[:1]
    if plane.index is not None:
        share = (plane.index + 0.5) / store.original_shape(i)[2]
        image = image[..., min(int(share * image.shape[-1]), image.shape[-1] - 1)]
    picture = _thinned(np.stack([_upright(channel, plane) for channel in image], axis=-1))
    seen = _seen(store, i, plane, picture.shape[:2])
    low, high = np.percentile(picture[seen], (0.5, 99.5))
    shown = np.clip((picture - low) / max(high - low, 1e-6), 0, 1) * seen[..., None]
    return shown.squeeze(-1).astype(np.float32) if shown.shape[-1] == 1 else shown.astype(np.float32)


def mask_plane(mask: NDArray[np.uint8], store: CaseStore, i: int, plane: Plane) -> NDArray[np.uint8]:
    """(H, W) classes of a mask on the case's own grid, upright; outside the field of view nothing counts or shows."""
    flat = _thinned(_upright(mask if plane.index is None else mask[..., plane.index], plane))
    return np.where(_seen(store, i, plane, flat.shape), flat, 0).astype(np.uint8)


def _seen(store: CaseStore, i: int, plane: Plane, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where the case's field of view lies on an upright (H, W) grid; everywhere for a case without one."""
    fov = store.fov(i)
    if fov is None:
        return np.ones(shape, np.bool_)
    flat = _upright(fov if plane.index is None else fov[..., plane.index], plane)
    rows, columns = (
        ((np.arange(to) + 0.5) * size / to).astype(int) for to, size in zip(shape, flat.shape, strict=True)
    )
    return flat[np.ix_(rows, columns)]


def _upright(array: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Pictures are (row, column) already; of a volume (X, Y), Y points up."""
    return array if plane.index is None else array.T[::-1]


def _thinned(array: NDArray[Any]) -> NDArray[Any]:
    step = max(1, -(-max(array.shape[:2]) // _LARGEST_SIDE))
    return array[::step, ::step]
