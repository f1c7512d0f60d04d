"""Preparation: originals are checked, resampled, measured and stored, case by case."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import Entry
from attnbench.data.case import PreparedCase, RawCase, Spacing, case_error, inside_view
from attnbench.data.channels import choose_channels
from attnbench.data.checks import with_every_class
from attnbench.data.difficulty import measure_difficulty
from attnbench.data.info import DatasetInfo
from attnbench.data.many import prepared_cases
from attnbench.data.normalise import Normalisation, moments, normalise
from attnbench.data.read import refuse_changed_archive
from attnbench.data.resample import (
    resample_image,
    resample_mask,
    shape_at_spacing,
    spacing_of_shape,
)
from attnbench.data.scan.merge import members, regrouped
from attnbench.data.write import IMAGE_TYPES, write_store
from attnbench.study.groups import DatasetSettings


def prepare_dataset(
    entry: Entry,
    settings: DatasetSettings,
    raw: Path,
    folder: Path,
    workers: int = 1,
    memory_mb: int = 4000,
    *,
    merged: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the case store of a dataset to `folder`, case by case, whole or not at all.

    Args:
        entry: the dataset's catalog entry.
        settings: the study's working grid (`spacing`, `size`, or neither: the cases' own grids),
            the channels that it takes and how it resamples them.
        raw: folder of the verified originals.
        folder: the store's; an older one is replaced.
        workers: the most processes that prepare cases at once.
        memory_mb: the most memory that they take together.
        merged: new name of every group that is merged with another (`merged_groups`).

    Raises:
        DataError: a case breaks its contract, or an original is not the file that was listed.
    """
    start = time.perf_counter()
    refuse_changed_archive(entry, raw)
    prepare = partial(prepare_case, settings=settings)
    cases = regrouped(prepared_cases(entry, raw, prepare, workers, memory_mb), merged)
    described = replace(describe(entry, settings), merged_groups=members(merged))
    info = write_store(folder, with_every_class(entry, cases), described)
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
        channels=settings.count_channels(entry.channels),
        classes=dict(entry.classes),
        spacing_unit=entry.spacing_unit,
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
    """Take a case to the working grid, with the study's channels, and measure its difficulty.

    Intensities stay the file's own, those of the working grid float32. Outside a field of view
    the image holds its mean inside, which integers round.

    Raises:
        DataError: an intensity is too large for float32.
    """
    own = case.mask.shape
    image = working_image(case.image, case.spacing, settings, case.case)
    shape = image.shape[1:]
    inside = inside_view(case.fov, shape)
    mask = resample_mask(case.mask, shape)
    spacing = spacing_of_shape(own, case.spacing, shape)
    facts = dict(case.facts)
    prepared = PreparedCase(
        case=case.case,
        group=case.group,
        image=image if inside is None else filled_outside(image, inside),
        mask=mask,
        reference=case.mask,
        spacing=spacing,
        original_spacing=case.spacing,
        fov=case.fov,
        second_rater=case.second_rater,
        facts=facts,
        labels=case.labels,
    )
    numbers = Normalisation("z_score").numbers(prepared.statistics)
    z_scores = normalise(prepared.image, numbers)
    if inside is not None:
        z_scores *= inside  # the mean, which integers round, is zero
    facts |= measure_difficulty(z_scores, mask, spacing, inside)
    return prepared


def working_image(
    image: NDArray[np.generic], spacing: Spacing, settings: DatasetSettings, case: str
) -> NDArray[np.generic]:
    """An image (C, *own) on the working grid (channels, *shape), with the study's channels.

    Intensities stay the file's own, in one of `write.IMAGE_TYPES`; resampled they are float32.
    `case` is its name, for the message.

    Raises:
        DataError: an intensity is too large for float32.
    """
    own = image.shape[1:]
    shape = settings.size or (
        shape_at_spacing(own, spacing, settings.spacing) if settings.spacing else own
    )
    image = choose_channels(image, settings.channels)
    if tuple(shape) != own:
        image = resample_image(image, shape, settings.interpolation)
    return _storable(image, case, settings.name)


def _storable(image: NDArray[np.generic], case: str, dataset: str) -> NDArray[np.generic]:
    """The image in a type that a store holds: its own, or float32."""
    native = image.dtype.newbyteorder("=")
    if native in IMAGE_TYPES:
        return image.astype(native, copy=False)
    with np.errstate(over="ignore"):
        single = image.astype(np.float32)
    if not np.isfinite(single).all():
        raise case_error(
            dataset,
            case,
            f"intensities reach {np.abs(image).max():g}; float32, in which they are stored, ends "
            f"at {np.finfo(np.float32).max:g}; divide them in the originals",
        )
    return single


def filled_outside(image: NDArray[np.generic], inside: NDArray[np.bool_]) -> NDArray[np.generic]:
    """The image with every channel's mean inside in the place of what lies outside."""
    filled = image.copy()
    for channel in filled:
        mean, _ = moments(channel[inside])
        channel[~inside] = mean if image.dtype.kind == "f" else round(mean)
    return filled
