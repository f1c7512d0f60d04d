"""Planes of a case to be shown: a picture as it is, a volume cut where it shows most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.scoring.predictions import Predictions, open_predictions
from attnbench.study.paths import STAGES, Run
from attnbench.training.sealed import remedy_of, sealed_files

if TYPE_CHECKING:
    from attnbench.data.store import CaseStore
    from attnbench.reporting.results import Results

_LARGEST_SIDE = 640  # pixels: more cannot be seen in a panel of print


@dataclass(frozen=True)
class Plane:
    """A cut through a case: `index` on `axis` of its own grid, both None for a picture.

    `box` is (width, height) in the dataset's spacing unit; it holds image and masks whatever
    their grids.
    """

    index: int | None
    axis: int | None
    box: tuple[float, float]


def plane_of(store: CaseStore, i: int, axis: int = 2) -> Plane:
    """Choose the plane in which to show case `i`: across `axis`, where the reference is largest."""
    reference, spacing = store.reference(i), store.original_spacing(i)
    sides = [size * step for size, step in zip(reference.shape, spacing, strict=True)]
    if reference.ndim == 2:
        return Plane(None, None, (sides[1], sides[0]))
    width, height = (side for other, side in enumerate(sides) if other != axis)
    area = np.count_nonzero(reference, axis=tuple(other for other in range(3) if other != axis))
    return Plane(
        int(area.argmax()) if area.any() else reference.shape[axis] // 2, axis, (width, height)
    )


def image_plane(store: CaseStore, i: int, plane: Plane) -> NDArray[np.float32]:
    """Return the image, (H, W) grey or (H, W, 3) colour, upright and in 0..1.

    Black and white are the 0.5th and 99.5th percentile inside the field of view; outside it is
    black.
    """
    image = store.image(i)
    image = image if len(image) == 3 else image[:1]
    picture = _thinned(
        np.stack([_upright(channel, plane, store.original_shape(i)) for channel in image], axis=-1)
    )
    seen = _seen(store, i, plane, picture.shape[:2])
    # percentiles of the field of view alone: its black surroundings would set the lower one
    low, high = np.percentile(picture[seen], (0.5, 99.5))
    # the least range keeps an image of one grey value from a division by zero
    shown = np.clip((picture - low) / max(high - low, 1e-6), 0, 1) * seen[..., None]
    return (shown[..., 0] if shown.shape[-1] == 1 else shown).astype(np.float32)


def mask_plane(
    mask: NDArray[np.uint8], store: CaseStore, i: int, plane: Plane
) -> NDArray[np.uint8]:
    """Return the (H, W) classes of a mask on the case's own grid, 0 outside the field of view.

    Args:
        mask: prediction or reference, on the case's own grid.
        store: the dataset of the case.
        i: index of the case.
        plane: where it is cut.
    """
    return _inside(mask, store, i, plane, 0).astype(np.uint8)


def map_plane(
    values: NDArray[np.floating], store: CaseStore, i: int, plane: Plane
) -> NDArray[np.float32]:
    """Return (H, W) values on the case's own grid, upright; NaN outside the field of view.

    Args:
        values: a map over the case, on any grid.
        store: the dataset of the case.
        i: index of the case.
        plane: where it is cut.
    """
    return _inside(values.astype(np.float32), store, i, plane, np.nan)


def _inside(
    array: NDArray[Any], store: CaseStore, i: int, plane: Plane, outside: float
) -> NDArray[Any]:
    flat = _thinned(_upright(array, plane, array.shape))
    return np.where(_seen(store, i, plane, flat.shape), flat, outside)


def _seen(store: CaseStore, i: int, plane: Plane, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Field of view on an upright (H, W) grid; everything for a case without one."""
    fov = store.fov(i)
    if fov is None:
        return np.ones(shape, np.bool_)
    flat = _upright(fov, plane, fov.shape)
    # nearest pixel by its centre: the field of view may have another grid than the mask
    rows, columns = (
        ((np.arange(to) + 0.5) * size / to).astype(int)
        for to, size in zip(shape, flat.shape, strict=True)
    )
    return flat[np.ix_(rows, columns)]


def _upright(array: NDArray[Any], plane: Plane, grid: tuple[int, ...]) -> NDArray[Any]:
    """Cut an array and turn the slice, whose second axis points up; pictures are upright already.

    The plane's index counts in `grid`; an array of another size is cut at the same share of it.
    """
    if plane.index is None or plane.axis is None:
        return array
    size = array.shape[plane.axis]
    index = min(int((plane.index + 0.5) / grid[plane.axis] * size), size - 1)
    return array.take(index, axis=plane.axis).T[::-1]


def _thinned(array: NDArray[Any]) -> NDArray[Any]:
    # divided upwards
    step = max(1, -(-max(array.shape[:2]) // _LARGEST_SIDE))
    return array[::step, ::step]


def read_prediction(results: Results, run: Run, case: str) -> NDArray[np.uint8] | None:
    """Read the classes that a run predicted on the case's own grid; None where they are absent.

    Raises:
        SealError: the predictions are not those that this run left.
    """
    with opened_predictions(results, run) as predictions:
        return predictions.mask(case) if predictions and case in predictions.cases else None


@contextmanager
def opened_predictions(results: Results, run: Run) -> Iterator[Predictions | None]:
    """Yield the predictions of a run; None where they are absent.

    Raises:
        SealError: they are not those that this run left.
    """
    path = results.layout.run(run) / STAGES["predict"]
    if not path.is_file():
        yield None
        return
    sealed_files(results.study, run, path.name)
    remedy = remedy_of(run, "predict")
    with open_predictions(path, results.store(run.dataset).info.classes, remedy) as predictions:
        yield predictions
