"""Preparation: originals are checked, resampled, normalised, measured and stored, case by case."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import Entry
from attnbench.data.case import PreparedCase, RawCase
from attnbench.data.checks import with_every_class
from attnbench.data.difficulty import measure_difficulty
from attnbench.data.info import DatasetInfo
from attnbench.data.many import prepared_cases
from attnbench.data.resample import (
    resample_image,
    resample_mask,
    shape_at_spacing,
    spacing_of_shape,
)
from attnbench.data.write import write_store
from attnbench.study.groups import DatasetSettings

PERCENTILES = (0.5, 99.5)
NORMALISATION = (
    "per case and channel, on the working grid, inside the field of view where there is one: "
    "clipped to the 0.5 and 99.5 percentiles widened on both sides by their distance, then "
    "z-scored; zero outside"
)


def prepare_dataset(
    entry: Entry,
    settings: DatasetSettings,
    raw: Path,
    folder: Path,
    workers: int = 1,
    memory_mb: int = 4000,
) -> None:
    """Write the case store of a dataset to `folder`, case by case, whole or not at all.

    Args:
        entry: the dataset's catalog entry.
        settings: the study's working grid (`spacing`, `size`, or neither: the cases' own grids).
        raw: folder of the verified originals.
        folder: the store's; an older one is replaced.
        workers: the most processes that prepare cases at once.
        memory_mb: the most memory that they take together.

    Raises:
        DataError: a case breaks its contract.
    """
    start = time.perf_counter()
    prepare = partial(prepare_case, settings=settings)
    cases = prepared_cases(entry, raw, prepare, workers, memory_mb)
    info = write_store(folder, with_every_class(entry, cases), describe(entry, settings))
    logging.getLogger("attnbench").info(
        "%s: %d cases of %d groups prepared in %.1f s -> %s",
        info.name,
        info.cases,
        info.groups,
        time.perf_counter() - start,
        folder,
    )


def describe(entry: Entry, settings: DatasetSettings) -> DatasetInfo:
    """Describe the store as far as it is known before its first case."""
    roles = {row.role for row in entry.files()}
    return DatasetInfo(
        name=entry.name,
        title=entry.title,
        task=entry.task,
        modality=entry.modality,
        ndim=entry.ndim,
        channels=entry.channels,
        classes=dict(entry.classes),
        spacing_unit=entry.spacing_unit,
        normalisation=NORMALISATION,
        spacing=settings.spacing,
        size=settings.size,
        resampled=bool(settings.spacing or settings.size),
        has_fov="fov" in roles,
        has_second_rater=entry.has_second_rater,
        groups_inferred=entry.groups_inferred,
        groups_unknown=not entry.groups_known,
        licence=entry.licence,
        citation=entry.citation,
    )


def prepare_case(case: RawCase, settings: DatasetSettings) -> PreparedCase:
    """Resample a case to the working grid, normalise its image and measure its difficulty."""
    own = case.mask.shape
    shape = settings.size or (
        shape_at_spacing(own, case.spacing, settings.spacing) if settings.spacing else own
    )
    fov = None if case.fov is None else resample_mask(case.fov.astype(np.uint8), shape) > 0
    image = normalise(resample_image(case.image, shape), fov)
    mask = resample_mask(case.mask, shape)
    spacing = spacing_of_shape(own, case.spacing, shape)
    return PreparedCase(
        case=case.case,
        group=case.group,
        image=image,
        mask=mask,
        reference=case.mask,
        spacing=spacing,
        original_spacing=case.spacing,
        fov=case.fov,
        second_rater=case.second_rater,
        facts={**case.facts, **measure_difficulty(image, mask, spacing, fov)},
        labels=case.labels,
    )


def normalise(
    image: NDArray[np.generic], fov: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """`image` (C, *spatial) as float32, every channel freed of outliers, then z-scored.

    Percentiles, mean and standard deviation are those inside `fov` (*spatial), everywhere
    without one; what lies outside becomes zero, the mean. The clipping range is three times as
    wide as the percentiles are apart, because an object may fill less than 0.5 % of an image
    (some nuclei do) and must not be cut down to the noise around it. A constant channel becomes
    zero.
    """
    return np.stack([_normalise_channel(channel, fov) for channel in image])


def _normalise_channel(
    channel: NDArray[np.generic], fov: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    inside = np.ones(channel.shape, dtype=bool) if fov is None else fov
    values = channel[inside].astype(np.float64)  # sums of millions of voxels
    low, high = np.percentile(values, PERCENTILES)
    if high == low:
        low, high = values.min(), values.max()
    np.clip(values, 2 * low - high, 2 * high - low, out=values)
    result = np.zeros(channel.shape, dtype=np.float32)
    result[inside] = (values - values.mean()) / (values.std() if high > low else 1.0)
    return result
