"""Checks that every case has to pass before it is prepared, whatever file it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from attnbench.catalog import Entry
from attnbench.data.case import PreparedCase, RawCase, case_error
from attnbench.errors import DataError


def check_case(entry: Entry, case: RawCase, paths: Mapping[str, str] | None = None) -> None:
    """Check axes, channels, shapes, pixels, classes, spacing and field of view of a case.

    `paths` is the file by role, for the message.

    Raises:
        DataError: the case contradicts its catalog entry or itself.
    """
    for role, problem in _problems(entry, case):
        raise _error(entry, case, role, problem, paths or {})


def with_every_class(entry: Entry, cases: Iterable[PreparedCase]) -> Iterator[PreparedCase]:
    """Yield the cases; a class that none of them has means that the masks were read wrongly.

    Raises:
        DataError: after the last case, if a class of the entry is in no reference.
    """
    absent, count = dict(sorted(entry.classes.items())), 0
    for case in cases:
        count += 1
        if absent:
            present = set(np.unique(case.reference).tolist())
            absent = {value: name for value, name in absent.items() if value not in present}
        yield case
    if absent:
        named = ", ".join(f"class {value} {name}" for value, name in absent.items())
        raise DataError(
            f"{entry.name}: {named} occurs in none of the {count} cases; check which values the "
            "masks hold, and leave out of `classes` what they do not"
        )


def _problems(entry: Entry, case: RawCase) -> Iterator[tuple[str, str]]:
    image, mask, spatial = case.image, case.mask, case.image.shape[1:]
    if len(spatial) != entry.ndim or image.shape[0] != entry.channels or 0 in spatial:
        expected = f"{entry.channels} channel(s) and {entry.ndim} axes"
        yield (
            "image",
            f"image has shape {image.shape} (channels first); the catalog says {expected}",
        )
    for role, array in (
        ("mask", mask),
        ("fov", case.fov),
        ("mask_second_rater", case.second_rater),
    ):
        if array is not None and array.shape != spatial:
            yield role, f"{role} has shape {array.shape}, its image {spatial}; they have to agree"
    if not np.isfinite(image).all():
        count = int(np.count_nonzero(~np.isfinite(image)))
        yield (
            "image",
            f"{count} pixel(s) are NaN or infinite; every pixel has to be a finite number",
        )
    for role, array in (("mask", mask), ("mask_second_rater", case.second_rater)):
        if array is not None and (unknown := _undeclared(entry, array)):
            declared = ", ".join(f"{value} {name}" for value, name in sorted(entry.classes.items()))
            yield role, f"{role} holds {unknown}; the catalog declares 0 background, {declared}"
    if len(case.spacing) != entry.ndim or not all(
        np.isfinite(size) and size > 0 for size in case.spacing
    ):
        yield (
            "image",
            f"spacing is {case.spacing}; it has one positive number for each of {entry.ndim} axes",
        )
    if case.fov is not None and not case.fov.any():
        yield (
            "fov",
            "the field of view is empty; it has to contain the part of the image that counts",
        )


def _undeclared(entry: Entry, mask: NDArray[np.uint8]) -> list[int]:
    return sorted(set(np.unique(mask).tolist()) - {0, *entry.classes})


def _error(
    entry: Entry, case: RawCase, role: str, problem: str, paths: Mapping[str, str]
) -> DataError:
    file = next((path for key, path in paths.items() if key == role), None)
    file = file or next((path for key, path in paths.items() if key.startswith(role)), None)
    return case_error(entry.name, case.case, problem, file)
