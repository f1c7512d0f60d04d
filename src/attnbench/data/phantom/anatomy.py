"""Anatomy: a group's organ, a case's vessels and lesions, and decoys that are not annotated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from attnbench.data.phantom.settings import Settings
from attnbench.data.phantom.shapes import Blob, Floats, Mask, Tube, draw_tubes, unit

ORGAN, LESION, VESSEL = 1, 2, 3
DECOYS = 12
_MARGIN = 2.0


@dataclass(frozen=True)
class Body:
    """The anatomy that the cases of a group share; lengths in pixels."""

    organ: Blob
    hilum: Floats
    vessel_radius: float
    size: tuple[int, ...]

    @property
    def radius(self) -> float:
        """The organ's mean half-axis."""
        return float(self.organ.axes.mean())


@dataclass(frozen=True)
class Decoy:
    """An object that is not annotated; `level` is its intensity in units of the case's contrast."""

    mask: Mask
    level: float


def draw_body(rng: np.random.Generator, settings: Settings) -> Body:
    """Draw the anatomy of one group."""
    size = np.array(settings.size, float)
    radius = rng.uniform(0.24, 0.32) * float(np.prod(size) ** (1 / len(size)))
    organ = Blob.draw(rng, size * rng.uniform(0.42, 0.58, len(size)), radius, roughness=0.10)
    hilum = unit(rng.normal(size=len(size)))
    return Body(organ, hilum, rng.uniform(1.3, 1.5), settings.size)


def draw_mask(rng: np.random.Generator, body: Body, lesion_absent: float) -> NDArray[np.uint8]:
    """Draw the reference (*size) of one case: the group's organ varied, own vessels, lesions."""
    organ = body.organ.varied(rng, 0.06)
    mask = organ.inside(body.size).astype(np.uint8)
    inside = mask > 0
    mask[draw_tubes(_vessel_tree(rng, body, organ), body.size)] = VESSEL
    if rng.uniform() >= lesion_absent:
        for _ in range(rng.integers(1, 4)):
            mask[_lesion(rng, body, inside) & inside] = LESION
    return mask


def _vessel_tree(rng: np.random.Generator, body: Body, organ: Blob) -> list[Tube]:
    entry = unit(body.hilum + 0.2 * rng.normal(size=len(body.hilum)))
    start = organ.centre - entry * body.radius * rng.uniform(0.2, 0.5)
    outward = Tube.grow(rng, start, entry, body.radius * rng.uniform(1.6, 2.1), body.vessel_radius)
    trunk = Tube(outward.points[::-1], outward.radius)
    branches = trunk.branches(rng, int(rng.integers(2, 5)))
    twigs = [twig for branch in branches for twig in branch.branches(rng, int(rng.integers(0, 2)))]
    return [trunk, *branches, *twigs]


def _lesion(rng: np.random.Generator, body: Body, inside: Mask) -> Mask:
    radius = _lesion_radius(rng, body)
    depth = ndimage.distance_transform_edt(inside)
    centre = _pick(rng, depth >= min(0.8 * radius, float(depth.max())))
    return Blob.draw(rng, centre, radius, roughness=0.08).inside(body.size)


def _lesion_radius(rng: np.random.Generator, body: Body) -> float:
    return max(2.8, body.radius * rng.uniform(0.15, 0.32))


def draw_decoys(rng: np.random.Generator, body: Body, mask: NDArray[np.uint8]) -> list[Decoy]:
    """Draw `DECOYS` decoys off the annotated, in the order in which growing clutter shows them."""
    distance = ndimage.distance_transform_edt(mask == 0)
    makers = (_cyst, _strand, _gland)
    kinds = rng.permuted(np.arange(DECOYS) % len(makers))
    return [makers[kind](rng, body, distance) for kind in kinds]


def _gland(rng: np.random.Generator, body: Body, distance: Floats) -> Decoy:
    """A decoy like a small organ."""
    radius = body.radius * rng.uniform(0.25, 0.6)
    centre = _pick_beside(rng, body, distance, 0.8 * radius)
    return Decoy(Blob.draw(rng, centre, radius, 0.1).inside(body.size) & (distance > _MARGIN), 1.0)


def _cyst(rng: np.random.Generator, body: Body, distance: Floats) -> Decoy:
    """A decoy as dark against the tissue as a lesion is against the organ, and as large."""
    radius = _lesion_radius(rng, body)
    centre = _pick_beside(rng, body, distance, radius)
    return Decoy(
        Blob.draw(rng, centre, radius, 0.08).inside(body.size) & (distance > _MARGIN), -1.5
    )


def _strand(rng: np.random.Generator, body: Body, distance: Floats) -> Decoy:
    """A decoy as bright and thin as a vessel that never reaches the organ."""
    centre = _pick_beside(rng, body, distance, 2 * _MARGIN)
    heading = unit(rng.normal(size=len(centre)))
    tube = Tube.grow(rng, centre, heading, body.radius * rng.uniform(0.7, 1.6), body.vessel_radius)
    return Decoy(draw_tubes([tube], body.size) & (distance > 2 * _MARGIN), 3.0)


def _pick_beside(rng: np.random.Generator, body: Body, distance: Floats, gap: float) -> Floats:
    """A pixel more than `gap` away from everything annotated, but not much more."""
    return _pick(rng, (distance > gap) & (distance <= gap + 0.7 * body.radius))


def _pick(rng: np.random.Generator, allowed: Mask) -> Floats:
    """A pixel drawn from those allowed; the grid's corner when none is."""
    pixels = np.argwhere(allowed)
    return (
        pixels[rng.integers(len(pixels))].astype(float) if len(pixels) else np.zeros(allowed.ndim)
    )
