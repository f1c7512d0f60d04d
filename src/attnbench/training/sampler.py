"""Patches cut, turned, scaled and mirrored by one resampling, on the training device."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from attnbench.data.normalise import Normalisation
from attnbench.data.store import CaseStore
from attnbench.study.groups import NnunetAugmentation
from attnbench.training.nnunet import Intensity
from attnbench.training.plan import PatchPlan, Planner

_STEPS_PER_BLOCK = 512  # so few copies to the device that none counts, so short a table too


class Boxes(NamedTuple):
    """N boxes, each the part of a case around one patch, and how the patch lies in its box.

    `start` (N,) and `shape` (N, ndim) say where the case lies in the flat arrays, `low` (N,
    ndim) which voxel is the first of the box, which may reach out of the case and has `sides`
    voxels per axis, the same for every patch. `numbers` (N, 4, C) normalise the
    case. `shift` (N, 1, ndim) and `linear` (N, ndim, ndim) map offsets from the patch's centre to
    coordinates of the box in [-1, 1], last axis first, as `grid_sample` wants them.
    """

    start: Tensor
    shape: Tensor
    low: Tensor
    numbers: Tensor
    shift: Tensor
    linear: Tensor
    sides: tuple[int, ...]

    def of(self, rows: slice) -> Boxes:
        """The boxes of some of the patches."""
        start, shape, low, numbers, shift, linear = (values[rows] for values in self[:-1])
        return Boxes(start, shape, low, numbers, shift, linear, self.sides)

    def voxels(self) -> tuple[Tensor, Tensor]:
        """Index into the flat arrays of every voxel, and its being inside its case: (N, *sides)."""
        ndim = len(self.sides)
        index, inside = torch.zeros_like(self.start), torch.ones_like(self.start, dtype=torch.bool)
        for axis, side in enumerate(self.sides):
            shape, column = self.shape[:, axis, None], (-1, *[1] * axis, side)
            position = self.low[:, axis, None] + torch.arange(side, device=self.low.device)
            inside = inside.unsqueeze(-1) & ((position >= 0) & (position < shape)).view(column)
            # Any voxel of the case will do for one outside: `cut` sets it to zero.
            position = position.clamp(min=0).minimum(shape - 1)  # (N, side)
            index = index.unsqueeze(-1) * shape.view(-1, *[1] * (axis + 1)) + position.view(column)
        return index + self.start.view(-1, *[1] * ndim), inside


class CasePool:
    """The images and masks of some cases of a store, flat and of different shapes, on one device.

    Images are kept in the file's own intensities and normalised when they are cut. On the CPU the
    arrays are the store's memory maps themselves; on a GPU they are copied once,
    or kept in host memory when they would take more than `share` of its free memory.
    """

    def __init__(
        self,
        store: CaseStore,
        indices: Sequence[int],
        device: torch.device,
        normalisation: Normalisation,
        share: float = 0.6,
    ) -> None:
        images = _read_only(store.images).view(-1, store.info.channels)
        # torch hardly knows unsigned 16-bit integers: their bits travel as signed ones.
        self.unsigned = images.dtype == torch.uint16
        images = images.view(torch.int16) if self.unsigned else images
        masks = _read_only(store.masks)
        self.device = (
            device if _fits(images.nbytes + masks.nbytes, device, share) else torch.device("cpu")
        )
        self.images, self.masks = images.to(self.device), masks.to(self.device)
        self.starts = np.asarray(store.offsets)[list(indices)]
        self.shapes = np.array([store.shape(i) for i in indices])
        numbers = normalisation.numbers(store.statistics[list(indices)])
        self.clips = bool(np.isfinite(numbers[..., :2]).any())
        self.numbers = numbers.swapaxes(1, 2).astype(np.float32)  # (cases, 4, C)

    def locate(self, plan: PatchPlan, patch: Sequence[int]) -> Boxes:
        """Compute the boxes of all patches of a plan at once."""
        # From the centre to the farthest voxel, (N, ndim).
        reach = np.abs(plan.matrix) @ ((np.array(patch) - 1) / 2)
        low = np.floor(plan.centre - reach).astype(np.int64)
        # The upper neighbour belongs to it, for linear interpolation; the largest box serves all.
        sides = (np.floor(plan.centre + reach).astype(np.int64) + 2 - low).max(axis=0)
        # Voxel v of a box is 2 (v + 0.5) / sides - 1 for `grid_sample`, x (the last axis) first.
        shift = ((plan.centre - low + 0.5) * 2 / sides - 1)[:, None, ::-1]
        linear = (plan.matrix * (2 / sides)[:, None])[:, ::-1].transpose(0, 2, 1)

        def send(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

        return Boxes(
            send(self.starts[plan.case]),
            send(self.shapes[plan.case]),
            send(low),
            send(self.numbers[plan.case]),
            send(shift.astype(np.float32)),
            send(linear.astype(np.float32)),
            tuple(sides.tolist()),
        )

    def cut(self, boxes: Boxes, patch: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Cut images (N, C, *patch), linear, and masks (N, *patch), nearest; zero off the case.

        Images are normalised before they are interpolated: off the case lies their mean.
        """
        index, inside = boxes.voxels()
        images = self.images.index_select(0, index.view(-1)).view(*index.shape, -1).movedim(-1, 1)
        # In place from here on: `index_select` has made a copy that belongs to nobody else, and
        # channels apart let numbers that differ by channel be applied to long rows.
        images = images.to(torch.float32, memory_format=torch.contiguous_format)
        if self.unsigned:
            images.remainder_(2**16)
        columns = boxes.numbers.view(*boxes.numbers.shape, *[1] * len(patch))
        low, high, shift, scale = columns.unbind(1)
        if self.clips:
            images.clamp_(low, high)
        images.sub_(shift).mul_(scale).mul_(inside.unsqueeze(1))
        masks = self.masks.index_select(0, index.view(-1)).view_as(index).float().mul_(inside)
        offsets = _patch_offsets(patch, self.device).expand(len(index), -1, -1)
        # (N, P, ndim) coordinates: one product turns, scales, mirrors and shifts every patch.
        grid = torch.baddbmm(boxes.shift, offsets, boxes.linear).view(-1, *patch, len(patch))
        images = F.grid_sample(images, grid, "bilinear", align_corners=False)
        masks = F.grid_sample(masks.unsqueeze(1), grid, "nearest", align_corners=False)
        return images, masks.squeeze(1).long()


def _patch_offsets(patch: Sequence[int], device: torch.device) -> Tensor:
    """Offsets of a patch's voxels from its centre, (P, ndim)."""
    axes = [
        torch.arange(side, device=device, dtype=torch.float32) - (side - 1) / 2 for side in patch
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, len(patch))


def _read_only(array: np.ndarray) -> Tensor:
    """Wrap a read-only memory map; torch warns that it could be written to: nobody does here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _fits(size: int, device: torch.device, share: float) -> bool:
    return device.type == "cuda" and size < share * torch.cuda.mem_get_info(device)[0]


def change_intensity(images: Tensor, plan: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Change contrast, brightness and gamma of `images` (B, C, *patch) and add Gaussian noise.

    Every patch has its own parameters, each (B,). Gamma acts on the patch's own range of values,
    which it keeps.
    """
    spatial = tuple(range(1, images.dim()))
    column = {name: values.view(-1, *[1] * (images.dim() - 1)) for name, values in plan.items()}
    # The first product is a new tensor; everything after it works in place to save passes.
    images = (images * column["contrast"]).add_(column["brightness"])
    low, high = images.amin(dim=spatial, keepdim=True), images.amax(dim=spatial, keepdim=True)
    width = (high - low).clamp_(min=1e-6)  # a constant patch is not divided by zero
    images.sub_(low).div_(width).clamp_(min=0).pow_(column["gamma"]).mul_(width).add_(low)
    noise = torch.empty_like(images).normal_(generator=generator)
    return images.add_(noise.mul_(column["noise"]))


def _changes(
    planner: Planner, plan: PatchPlan, batch: int, device: torch.device, generator: torch.Generator
) -> Callable[[Tensor, int], Tensor]:
    """What changes the intensity of images (B, C, *patch) of one of a plan's batches, by number."""
    if isinstance(planner.augmentation, NnunetAugmentation):
        patch = [int(side) for side in planner.patch]
        return Intensity(plan.intensity, batch, patch, device, generator).change
    if not plan.intensity:
        return lambda images, _: images
    parameters = {
        name: torch.from_numpy(values).float().to(device) for name, values in plan.intensity.items()
    }

    def change(images: Tensor, number: int) -> Tensor:
        now = slice(number * batch, (number + 1) * batch)
        return change_intensity(
            images, {name: values[now] for name, values in parameters.items()}, generator
        )

    return change


def batches(
    pool: CasePool,
    planner: Planner,
    steps: int,
    batch: int,
    device: torch.device,
    noise: torch.Generator,
    done: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of images (batch, C, *patch) and masks (batch, *patch) on `device`.

    Parameters are drawn and sent to the device in blocks, so no step waits for the host. The
    noise field is the only thing drawn on the device; on the CPU everything is the same for the
    same seed.

    Args:
        pool: the cases, where they lie.
        planner: draws what is cut and how it is changed.
        steps: number of batches, those that are left out included.
        batch: patches per batch.
        device: of the training; the pool's, or a GPU that its cases do not fit on.
        noise: draws the noise, on the pool's device.
        done: batches to leave out at the beginning: they are planned, so that all others are the
            same, but not cut, and of `noise` they draw nothing.
    """
    patch = tuple(int(side) for side in planner.patch)
    for block in range(math.ceil(steps / _STEPS_PER_BLOCK)):
        before = block * _STEPS_PER_BLOCK
        count = min(_STEPS_PER_BLOCK, steps - before)
        plan = planner.draw(batch * count)
        if before + count <= done:
            continue
        boxes = pool.locate(plan, patch)
        change = _changes(planner, plan, batch, pool.device, noise)
        for number in range(max(0, done - before), count):
            now = slice(number * batch, (number + 1) * batch)
            images, masks = pool.cut(boxes.of(now), patch)
            images = change(images, number)
            yield images.to(device, non_blocking=True), masks.to(device, non_blocking=True)
