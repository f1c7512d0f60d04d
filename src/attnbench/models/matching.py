"""Widths of plain U-Nets as large, or as costly, as a given network, searched without computing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.errors import ModelError

TOLERANCE = {"parameters": 0.01, "flops": 0.02}
# Limits of the search: the largest step of a level's width, and the combinations of steps.
_LARGEST_STEP = 8
_MOST_CANDIDATES = 20_000
Count = Callable[[tuple[int, ...]], int]


@dataclass(frozen=True)
class Match:
    """Widths of a plain U-Net, its parameters or FLOPs, and the number it was to have."""

    widths: tuple[int, ...]
    found: int
    target: int

    @property
    def difference(self) -> float:
        """Relative difference to the target."""
        return self.found / self.target - 1


def match_widths(base: Sequence[int], target: int, tolerance: float, count: Count) -> Match:
    """Widths near a multiple of `base` whose `count` is within `tolerance` of `target`.

    Parameters and FLOPs are polynomials of degree 2 in the widths in which only neighbouring
    levels multiply, so a few networks determine all others. All widths are scaled together, then
    each by steps of 1, at most 8, as few as it takes.

    Args:
        base: channels per level, full resolution first.
        target: parameters or FLOPs to reach.
        tolerance: largest relative difference to `target`.
        count: parameters or FLOPs of the plain U-Net of given widths.

    Raises:
        ModelError: no widths are near enough; it gives the nearest.
    """
    polynomial = _fit(base, count)
    scale = _scale(np.asarray(base, dtype=float), target, polynomial)
    best: tuple[int, ...] = tuple(base)
    for step in range(_LARGEST_STEP + 1):
        if (2 * step + 1) ** len(base) > _MOST_CANDIDATES:
            break
        steps = np.array(list(itertools.product(range(-step, step + 1), repeat=len(base))))
        candidates = np.maximum(1, np.rint(scale * np.asarray(base)) + steps)
        errors = np.abs(polynomial(candidates) - target)
        # Of all that are near enough by half the tolerance, the one of fewest steps.
        near = errors <= max(tolerance / 2 * target, errors.min())
        least = np.abs(steps[near]).sum(axis=1).argmin()
        best = tuple(int(width) for width in candidates[near][least])
        if errors.min() <= tolerance / 2 * target:
            break
    match = Match(best, count(best), target)
    if abs(match.difference) > tolerance:
        smallest = match.found > target and max(best) == 1
        advice = (
            "fewer levels are smaller" if smallest else "wider or more levels allow finer steps"
        )
        raise ModelError(
            f"no plain U-Net of {len(base)} levels within {tolerance:.0%} of {target:,}; nearest: "
            f"widths {list(best)} with {match.found:,} ({match.difference:+.1%}); {advice}: give "
            "the control a `backbone` of its own, or leave it out"
        )
    return match


def _fit(base: Sequence[int], count: Count) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the polynomial that `count` is, from one network per coefficient.

    It maps widths (..., levels) to counts (...).
    """
    levels = len(base)
    units = np.eye(levels, dtype=int)
    # As many points as `_terms` has terms, so that the fit is exact.
    points = [np.zeros(levels, dtype=int), *units, *(2 * units), *(units[:-1] + units[1:])]
    counts = np.array([count(tuple(np.asarray(base) + point)) for point in points], dtype=float)
    at = _terms(np.array(points, dtype=float))
    coefficients = np.linalg.solve(at, counts)
    return lambda widths: _terms(np.asarray(widths, dtype=float) - np.asarray(base)) @ coefficients


def _terms(w: np.ndarray) -> np.ndarray:
    """1, w_i, w_i^2 and w_i w_(i+1) for widths (..., levels), along the last axis."""
    return np.concatenate([np.ones((*w.shape[:-1], 1)), w, w**2, w[..., :-1] * w[..., 1:]], axis=-1)


def _scale(base: np.ndarray, target: int, polynomial: Callable[[np.ndarray], np.ndarray]) -> float:
    """Factor of all widths at which the count meets the target, by bisection."""
    low, high = 0.0, 2.0
    while polynomial(high * base) < target:
        high *= 2
    # 60 halvings: more than the 53 bits of a double.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if polynomial(middle * base) < target else (low, middle)
    return high
