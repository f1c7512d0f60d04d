"""What is odd about a dataset besides copies: empty masks, rare classes, outliers and the like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from attnbench.data.scan.seen import Seen
from attnbench.data.scan.tables import Finding

FEWEST_GROUPS = 5
"""Groups with a class below which its scores have no interval."""
FARTHEST_Z = 6.0
"""Robust z from which a case is an outlier; docs/decisions/duplicates.md."""
_LEAST_CASES = 10
_SAME = 0.1
_MOST_OUTLIERS = 0.1


def find_oddities(seen: Sequence[Seen], classes: Mapping[int, str]) -> list[Finding]:
    """Return every finding, kind by kind, in the order of the cases."""
    return [
        *_masks(seen),
        *_equal_masks(seen),
        *_classes(seen, classes),
        *_constant(seen),
        *_outliers(seen),
    ]


def _masks(seen: Sequence[Seen]) -> Iterator[Finding]:
    for one in seen:
        if not any(one.voxels.values()):
            yield _of(one, "empty mask", "foreground", 0, "the reference holds background only")


def _equal_masks(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Yield pairs of cases with one mask and two images; empty masks are equal by nature."""
    where: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        if any(one.voxels.values()):
            where[one.mask].append(one)
    for same in where.values():
        for first, second in combinations(same, 2):
            if first.pixels != second.pixels:
                yield _of(
                    second, "equal mask", "", float("nan"),
                    f"has the very mask of {first.case} under another image",
                )  # fmt: skip


def _classes(seen: Sequence[Seen], classes: Mapping[int, str]) -> Iterator[Finding]:
    total = len({one.group for one in seen})
    for value, name in sorted(classes.items()):
        having = len({one.group for one in seen if one.voxels[value]})
        text = f"class {value} ({name}) occurs in {having} of {total} groups"
        if not having:
            yield Finding("class without a case", "", "", name, 0, text)
        elif having < FEWEST_GROUPS:
            yield Finding(
                "class in few groups", "", "", name, having,
                f"{text}; fewer than {FEWEST_GROUPS} give no interval",
            )  # fmt: skip


def _constant(seen: Sequence[Seen]) -> Iterator[Finding]:
    for one in seen:
        if one.constant:
            yield _of(
                one, "constant image", "intensity, median", one.measures["intensity, median"],
                "all pixels are equal",
            )  # fmt: skip


def _outliers(seen: Sequence[Seen]) -> Iterator[Finding]:
    if len(seen) < _LEAST_CASES:
        return
    for measure in seen[0].measures:
        values = np.array([one.measures[measure] for one in seen])
        positive = bool((values > 0).all())
        scores = robust_z(np.log(values) if positive else values)
        middle, quantity = float(np.median(values)), measure.partition(",")[0]
        far = (np.abs(scores) >= FARTHEST_Z) & (np.abs(values - middle) > _SAME * abs(middle))
        if far.mean() > _MOST_OUTLIERS:
            yield Finding(
                f"mixed {quantity}", "", "", measure, float(far.mean()),
                f"{measure}: {far.sum()} of {len(seen)} cases lie far from the median of "
                f"{middle:.4g}, between {values.min():.4g} and {values.max():.4g}: several kinds "
                "of cases",
            )  # fmt: skip
            continue
        for k in np.flatnonzero(far).tolist():
            yield _of(
                seen[k], f"outlier of {quantity}", measure, float(values[k]),
                f"{measure} {values[k]:.4g}, where the median is {middle:.4g} "
                f"(robust z {scores[k]:+.1f})",
            )  # fmt: skip


def robust_z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far values lie from their median in standard deviations.

    The standard deviation is told by the median absolute deviation; where more than half of the
    values are equal that is 0, and the mean absolute deviation tells it (Iglewicz and Hoaglin,
    How to Detect and Handle Outliers, 1993). All zero where no value differs.
    """
    apart = values - np.median(values)
    spread = 1.4826 * float(np.median(np.abs(apart)))
    spread = spread or 1.2533 * float(np.abs(apart).mean())
    return apart / spread if spread else np.zeros_like(values)


def _of(one: Seen, kind: str, measure: str, value: float, text: str) -> Finding:
    return Finding(kind, one.case, one.group, measure, value, text)
