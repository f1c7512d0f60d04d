"""Exact Euclidean distances on the device of the masks, axis by axis, without a loop over voxels.

The squared distance is a minimum of parabolas along each axis in turn (Felzenszwalb and
Huttenlocher, Distance Transforms of Sampled Functions, Theory of Computing 2012); here all lines
are taken at once, each axis in as many passes as it has voxels, so that nothing larger than the
masks is allocated.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def signed_distance(inside: Tensor) -> Tensor:
    """Signed distance of every voxel, in voxels, to the border of masks (N, *spatial), float32.

    Outside it is the distance to the nearest voxel of the mask, inside 1 minus that to the nearest
    one that is not: 0 on the mask's border, as in the boundary loss's own code. 0 everywhere where
    a mask is empty or full: it has no border.
    """
    spatial = tuple(range(1, inside.dim()))
    both = torch.cat([inside, ~inside])
    outward, inward = _squared_distance(both).sqrt_().chunk(2)
    distance = torch.where(inside, 1 - inward, outward)
    bordered = inside.any(spatial) & ~inside.all(spatial)
    return torch.where(bordered.view(-1, *[1] * len(spatial)), distance, 0.0)


def _squared_distance(inside: Tensor) -> Tensor:
    """Squared distance of every voxel to the nearest that is True; infinite without one."""
    squared = _along_the_last(inside)
    for axis in range(1, inside.dim() - 1):
        squared = _lower_envelope(squared, axis)
    return squared


def _along_the_last(inside: Tensor) -> Tensor:
    place = torch.arange(inside.shape[-1], device=inside.device, dtype=torch.float32)
    before = torch.where(inside, place, -torch.inf).cummax(-1).values
    behind = torch.where(inside, place, torch.inf).flip(-1).cummin(-1).values.flip(-1)
    return torch.minimum(place - before, behind - place).square_()


def _lower_envelope(squared: Tensor, axis: int) -> Tensor:
    """Minimum over j of `squared` at j plus (i - j)^2, for every i of an axis."""
    lines = squared.movedim(axis, 0).contiguous()
    place = torch.arange(len(lines), device=lines.device, dtype=torch.float32)
    column = place.view(-1, *[1] * (lines.dim() - 1))
    found = lines.clone()
    for start in range(len(lines)):
        torch.minimum(found, (column - start).square_() + lines[start], out=found)
    return found.movedim(0, axis)
