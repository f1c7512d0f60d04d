"""Patches cut, turned, scaled and mirrored by one batched resampling where the cases lie: on the training device."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from attnbench.data.store import CaseStore
from attnbench.training.plan import PatchPlan, Planner

_STEPS_PER_BLOCK = 512


class CasePool:
    """The images and masks of some cases of a store, flat and of different shapes, on one device.

    On the CPU the arrays are the store's memory maps themselves; on an accelerator they are copied once, or kept in
    host memory when they would take more than `share` of its free memory.
    """

    def __init__(self, store: CaseStore, indices: Sequence[int], device: torch.device, share: float = 0.6) -> None:
        images = _read_only(store.images).view(-1, store.info.channels)
        masks = _read_only(store.masks)
        home = device if _fits(images.nbytes + masks.nbytes, device, share) else torch.device("cpu")
        self.images, self.masks, self.device = images.to(home), masks.to(home), home
        self.offsets = torch.from_numpy(np.asarray(store.offsets)[list(indices)]).to(home)
        self.shapes = torch.tensor([store.shape(i) for i in indices], device=home)

    def cut(self, case: Tensor, centre: Tensor, matrix: Tensor, patch: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Images (B, C, *patch) by linear and masks (B, *patch) by nearest interpolation; zero outside the case.

        `case` (B,), `centre` (B, ndim) and `matrix` (B, ndim, ndim) as in `PatchPlan`.
        """
        shape = self.shapes[case].unsqueeze(1)  # (B, 1, ndim)
        offset = self.offsets[case].unsqueeze(1)  # (B, 1)
        points = centre.unsqueeze(1) + _patch_offsets(patch, self.device) @ matrix.transpose(1, 2)  # (B, P, ndim)
        lower = points.floor()
        rest = points - lower
        images = torch.zeros((), device=self.device)
        for corner in product((0, 1), repeat=len(patch)):
            step = torch.tensor(corner, device=self.device)
            weight = torch.where(step.bool(), rest, 1 - rest).prod(dim=2)
            index, inside = _flat_index(lower.long() + step, shape)
            images = images + (weight * inside).unsqueeze(2) * self.images[offset + index]
        index, inside = _flat_index(points.round().long(), shape)
        masks = self.masks[offset + index] * inside
        batch = len(case)
        return images.view(batch, *patch, -1).movedim(-1, 1), masks.view(batch, *patch).long()


def _flat_index(position: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """C-order index of `position` (B, P, ndim) in an array of `shape` (B, 1, ndim), and whether it lies inside."""
    inside = ((position >= 0) & (position < shape)).all(dim=2)
    position = torch.minimum(position.clamp(min=0), shape - 1)
    index = position[..., 0]
    for axis in range(1, position.shape[2]):
        index = index * shape[..., axis] + position[..., axis]
    return index, inside


def _patch_offsets(patch: Sequence[int], device: torch.device) -> Tensor:
    """Offsets of a patch's voxels from its centre, (P, ndim)."""
    axes = [torch.arange(side, device=device, dtype=torch.float32) - (side - 1) / 2 for side in patch]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, len(patch))


def _read_only(array: np.ndarray) -> Tensor:
    """A tensor over a read-only memory map; torch warns that it could be written to, which nobody does here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _fits(size: int, device: torch.device, share: float) -> bool:
    return device.type != "cuda" or size < share * torch.cuda.mem_get_info(device)[0]


def change_intensity(images: Tensor, plan: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Contrast, brightness, gamma and Gaussian noise of (B, C, *patch), each patch by its own parameters (B,).

    Gamma acts on the patch's own range of values, which it keeps.
    """
    spatial = tuple(range(1, images.dim()))
    column = {name: values.view(-1, *[1] * (images.dim() - 1)) for name, values in plan.items()}
    images = images * column["contrast"] + column["brightness"]
    low, high = images.amin(dim=spatial, keepdim=True), images.amax(dim=spatial, keepdim=True)
    width = (high - low).clamp(min=1e-6)
    images = ((images - low) / width).clamp(min=0) ** column["gamma"] * width + low
    noise = torch.empty_like(images).normal_(generator=generator)
    return images + noise * column["noise"]


def _as_tensors(plan: PatchPlan, steps: int, device: torch.device) -> dict[str, Tensor]:
    tensors = {}
    for name, values in vars(plan).items():
        tensor = torch.from_numpy(values if name == "case" else values.astype(np.float32))
        tensors[name] = tensor.view(steps, -1, *tensor.shape[1:]).to(device)
    return tensors


def batches(
    pool: CasePool, planner: Planner, steps: int, batch: int, device: torch.device, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` batches of images (batch, C, *patch) and masks (batch, *patch) on `device`.

    Parameters are drawn and sent to the device in blocks, so no step waits for the host. The noise field is the only
    thing drawn on the device; on the CPU everything is the same for the same seed.
    """
    patch = tuple(int(side) for side in planner.patch)
    generator = torch.Generator(pool.device).manual_seed(seed)
    for block in range(math.ceil(steps / _STEPS_PER_BLOCK)):
        length = min(_STEPS_PER_BLOCK, steps - block * _STEPS_PER_BLOCK)
        plan = _as_tensors(planner.draw(length * batch), length, pool.device)
        for step in range(length):
            now = {name: values[step] for name, values in plan.items()}
            images, masks = pool.cut(now.pop("case"), now.pop("centre"), now.pop("matrix"), patch)
            images = change_intensity(images, now, generator)
            yield images.to(device, non_blocking=True), masks.to(device, non_blocking=True)
