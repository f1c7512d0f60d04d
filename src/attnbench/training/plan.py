"""All randomness of the training patches, drawn ahead: the same for every model of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.data.store import CaseStore
from attnbench.study.groups import AugmentationSettings, NnunetAugmentation
from attnbench.training.nnunet import draw_intensity, drawn, planes_of_rotation

_UNCHANGED = AugmentationSettings(rotation=0, scaling=0, brightness=0, contrast=0, gamma=0, noise=0)
# Voxels in the table, per case and class and in all: they bound memory, whatever the data.
_LARGEST_SHARE, _LARGEST_TABLE = 20_000, 20_000_000
_PART = 4_000_000  # voxels of a mask that are looked at together


@dataclass(frozen=True)
class PatchPlan:
    """Parameters of N patches: what to cut out and how to change it.

    `case` (N,) positions in the sampler's list of cases; `centre` (N, ndim) in voxels; `matrix`
    (N, ndim, ndim) maps an offset in the patch to an offset in the case, both in voxels;
    `intensity` has parameters of its changes by name, (N, ...): `brightness`, `contrast` (factor),
    `gamma` (exponent) and `noise` (standard deviation), (N,) each, or those of nnU-Net's set.
    """

    case: np.ndarray
    centre: np.ndarray
    matrix: np.ndarray
    intensity: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Foreground:
    """Positions of the foreground of some cases, as tables to draw from without a loop.

    `voxels` (V,) lists positions in a case's flat mask, in C order; those of class k + 1 in case n
    are the `count[n, k]` rows from `start[n, k]`.
    """

    voxels: np.ndarray
    start: np.ndarray
    count: np.ndarray

    def positions(self, rows: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        """Positions (N, ndim) of rows (N,) of the table, in cases of the given shapes (N, ndim)."""
        flat, positions = self.voxels[rows], np.empty(shapes.shape)
        for axis in reversed(range(shapes.shape[1])):
            flat, positions[:, axis] = np.divmod(flat, shapes[:, axis])
        return positions


def find_foreground(
    masks: Iterable[np.ndarray], cases: int, classes: int, rng: np.random.Generator
) -> Foreground:
    """Positions of classes 1 to `classes` in the masks of so many cases.

    Of more than 20,000 in a case and class a random 20,000; of fewer where there are so many cases
    that the table would get more than 20 million rows. Takes memory for one part of a mask.
    """
    limit = max(1, min(_LARGEST_SHARE, _LARGEST_TABLE // (cases * classes)))
    voxels, counts = [], np.zeros((cases, classes), dtype=np.int64)
    for number, mask in enumerate(masks):
        flat = mask.reshape(-1)
        for index in range(classes):
            found = _some_of(flat, index + 1, limit, rng)
            voxels.append(found)
            counts[number, index] = len(found)
    start = np.concatenate([[0], np.cumsum(counts.ravel())[:-1]]).reshape(counts.shape)
    return Foreground(np.concatenate(voxels), start, counts)


def _some_of(flat: np.ndarray, label: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted positions of `label` in a flat mask, all or a random `limit` of them."""
    parts = [slice(begin, begin + _PART) for begin in range(0, len(flat), _PART)]
    counts = [np.count_nonzero(flat[part] == label) for part in parts]
    total = sum(counts)
    ranks = (
        np.arange(total)
        if total <= limit
        else np.sort(rng.choice(total, limit, replace=False, shuffle=False))
    )
    # Of each part only the wanted: a large mask never has all its positions in memory.
    ends = np.cumsum(counts)
    wanted = np.split(ranks, np.searchsorted(ranks, ends[:-1]))
    found = [
        part.start + np.flatnonzero(flat[part] == label)[own - (end - count)]
        for part, own, end, count in zip(parts, wanted, ends, counts, strict=True)
        if len(own)
    ]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


class Planner:
    """Draws patch plans for the given cases of a store.

    Args:
        store: the prepared dataset.
        indices: positions of the cases in it.
        patch: voxels per axis of the working grid.
        foreground: share in [0, 1] of patches centred on a voxel of a class, which is drawn
            uniformly among those present in the case.
        rng: source of every draw.
        augmentation: ranges of the random changes; None: patches are cut as they are, and a case
            smaller than a patch lies in its middle, not anywhere in it.
        mirror: axes that a changed patch is mirrored along with probability one half.
    """

    def __init__(
        self,
        store: CaseStore,
        indices: Sequence[int],
        patch: tuple[int, ...],
        foreground: float,
        rng: np.random.Generator,
        augmentation: AugmentationSettings | NnunetAugmentation | None = None,
        mirror: Sequence[int] = (),
    ) -> None:
        self.patch = np.array(patch, dtype=np.float64)
        self.share, self.rng = foreground, rng
        self.centred, self.augmentation = augmentation is None, augmentation or _UNCHANGED
        self.channels = store.info.channels
        self.mirrored = np.isin(np.arange(len(patch)), mirror)
        self.shapes = np.array([store.shape(i) for i in indices], dtype=np.float64)
        self.spacing = np.array([store.spacing(i) for i in indices], dtype=np.float64)
        self.foreground = find_foreground(
            map(store.mask, indices), len(indices), len(store.info.classes), rng
        )

    def draw(self, count: int) -> PatchPlan:
        """Parameters of the next `count` patches."""
        case = self.rng.integers(len(self.shapes), size=count)
        return PatchPlan(case, self._centres(case), self._matrices(case), self._intensity(count))

    def _centres(self, case: np.ndarray) -> np.ndarray:
        shape = self.shapes[case]
        # Both ends of a case on those of the patch: it holds the case, or the case holds it.
        ends = np.stack([self.patch / 2 + 0 * shape, shape - self.patch / 2]) - 0.5
        low, high = ends.min(axis=0), ends.max(axis=0)
        if self.centred:
            small = self.patch > shape
            low[small] = high[small] = (shape[small] - 1) / 2
        centre = low + self.rng.random(shape.shape) * (high - low)  # (N, ndim)
        # Drawn for every patch, used or not: so the next draws do not depend on these.
        pick, kind, voxel = self.rng.random((3, len(case)))
        present = self.foreground.count[case] > 0  # (N, classes)
        use = (pick < self.share) & present.any(axis=1)
        rank = np.floor(kind * present.sum(axis=1)).astype(np.int64)
        # The class in column `label` is number `rank` of those present.
        label = (np.cumsum(present, axis=1) == (rank + 1)[:, None]).argmax(axis=1)
        row = self.foreground.start[case, label] + np.floor(
            voxel * self.foreground.count[case, label]
        ).astype(np.int64)
        chosen = self.foreground.positions(row[use], shape[use].astype(np.int64))
        centre[use] = np.clip(chosen, low[use], high[use])
        middle = (self.patch - 1) / 2
        # Unturned, a patch begins at a whole voxel: no mask is rounded, no image is smoothed.
        return np.ceil(centre - middle - 0.5) + middle

    def _matrices(self, case: np.ndarray) -> np.ndarray:
        """Rotation about every axis, scaling and flips, (N, ndim, ndim) from voxels to voxels."""
        ndim = len(self.patch)
        matrix = np.tile(np.eye(ndim), (len(case), 1, 1))
        turns, zoom = self._turns_and_zoom(len(case))
        for (first, second), degrees in turns:
            angle = np.deg2rad(degrees)
            turn = np.tile(np.eye(ndim), (len(case), 1, 1))
            turn[:, first, first] = turn[:, second, second] = np.cos(angle)
            turn[:, first, second], turn[:, second, first] = -np.sin(angle), np.sin(angle)
            matrix = matrix @ turn
        mirror = np.where(self.rng.random((len(case), 1, ndim)) < 0.5 * self.mirrored, -1.0, 1.0)
        # Rotations act in physical space: to physical units on the right, back on the left.
        spacing = self.spacing[case]
        return matrix * zoom[:, None, None] * mirror * spacing[:, None, :] / spacing[:, :, None]

    def _turns_and_zoom(
        self, count: int
    ) -> tuple[list[tuple[tuple[int, int], np.ndarray]], np.ndarray]:
        """Degrees (count,) in every plane of two axes, and factors of size (count,)."""
        settings, rng = self.augmentation, self.rng
        if isinstance(settings, NnunetAugmentation):
            planes, degrees = planes_of_rotation(settings, tuple(self.patch))
            turned = rng.random(count) < degrees.share  # about every axis or about none
            return [
                (plane, rng.uniform(degrees.low, degrees.high, count) * turned) for plane in planes
            ], drawn(settings.scaling, rng, count, 1)
        planes = [(0, 1)] if len(self.patch) == 2 else [(0, 1), (0, 2), (1, 2)]
        turns = [(plane, rng.uniform(-1, 1, count) * settings.rotation) for plane in planes]
        return turns, 1 + rng.uniform(-1, 1, count) * settings.scaling

    def _intensity(self, count: int) -> dict[str, np.ndarray]:
        settings = self.augmentation
        if self.centred:
            return {}
        if isinstance(settings, NnunetAugmentation):
            return draw_intensity(settings, self.rng, count, self.channels, len(self.patch))
        shift, factor, log_gamma = self.rng.uniform(-1, 1, (3, count))
        noise = self.rng.random(count) * settings.noise
        return {
            "brightness": shift * settings.brightness,
            "contrast": 1 + factor * settings.contrast,
            "gamma": np.exp(log_gamma * settings.gamma),  # as often 1 / g as g
            "noise": noise,
        }
