"""nnU-Net v2's changes of intensity, for a whole batch at once.

Isensee et al., nnU-Net, Nature Methods 2021; `nnUNetTrainer.get_training_transforms` of nnunetv2
2.8 says which, docs/nnunet.md what is done otherwise. Each change concerns some planes, a plane
being one channel of one patch; which ones is drawn ahead, so that no step waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.study.groups import Chance, NnunetAugmentation

_CHANNEL = 0.5  # share of the channels of a blurred or coarse patch that are so
_ANISOTROPIC, _ELONGATED = 3.0, 1.5  # ratio of a patch's sides: turned in one plane; by 15 degrees


def planes_of_rotation(
    settings: NnunetAugmentation, patch: Sequence[float]
) -> tuple[list[tuple[int, int]], Chance]:
    """Planes, as pairs of axes, that a patch is turned in, and by how many degrees."""
    ratio = max(patch) / min(patch)
    if len(patch) == 2:
        degrees = settings.rotation_2d
        if ratio > _ELONGATED:
            degrees = degrees.model_copy(update={"low": -15.0, "high": 15.0})
        return [(0, 1)], degrees
    flat = _thin_axis(patch)
    if flat is None:
        return [(0, 1), (0, 2), (1, 2)], settings.rotation_3d
    first, second = (axis for axis in range(3) if axis != flat)
    return [(first, second)], settings.rotation_2d


def _thin_axis(patch: Sequence[float]) -> int | None:
    """The shortest axis of a 3-D patch three times as long elsewhere: nothing crosses slices."""
    thin = len(patch) == 3 and max(patch) / min(patch) > _ANISOTROPIC
    return int(np.argmin(patch)) if thin else None


def drawn(chance: Chance, rng: np.random.Generator, count: int, neutral: float) -> np.ndarray:
    """Values (count,) of a change, `neutral` for patches that it does not concern."""
    concerned = rng.random(count) < chance.share
    return np.where(concerned, rng.uniform(chance.low, chance.high, count), neutral)


def draw_intensity(
    settings: NnunetAugmentation, rng: np.random.Generator, count: int, channels: int, ndim: int
) -> dict[str, np.ndarray]:
    """Parameters of every plane of `count` patches by change, in the order of application.

    (count, channels, 1), but (count, channels, ndim) for `blur`; neutral where a change does not
    concern the plane.
    """

    def concerned(chance: Chance, channel: float = 1) -> np.ndarray:
        patch = rng.random((count, 1, 1)) < chance.share
        return patch & (rng.random((count, channels, 1)) < channel)

    def values(chance: Chance, *shape: int) -> np.ndarray:
        return rng.uniform(chance.low, chance.high, (count, *shape))

    def factors(chance: Chance) -> np.ndarray:
        """Factors as often below 1 as above it, whatever the range."""
        below = rng.uniform(chance.low, max(chance.low, 1), (count, channels, 1))
        above = rng.uniform(max(chance.low, 1), chance.high, (count, channels, 1))
        lower = (rng.random((count, channels, 1)) < 0.5) & (chance.low < 1)
        return np.where(concerned(chance), np.where(lower, below, above), 1)

    blur, coarse = settings.blur, settings.resolution
    return {
        "noise": np.where(concerned(settings.noise), values(settings.noise, 1, 1), 0),
        "blur": np.where(concerned(blur, _CHANNEL), values(blur, channels, ndim), 0),
        "brightness": factors(settings.brightness),
        "contrast": factors(settings.contrast),
        "resolution": np.where(concerned(coarse, _CHANNEL), values(coarse, channels, 1), 1),
        "gamma_inverted": factors(settings.gamma_inverted),
        "gamma": factors(settings.gamma),
    }


class Rows(NamedTuple):
    """Planes that a change concerns, in order: number in the batch (M,), parameters (M, ...).

    Those of batch i lie between `bounds[i]` and `bounds[i + 1]`, which the host knows.
    """

    plane: Tensor
    values: Tensor
    bounds: list[int]


class Intensity:
    """The changes of a block of batches, on the device that they are made on.

    Args:
        parameters: of `draw_intensity`.
        batch: patches per batch.
        patch: voxels per axis.
        device: of the patches.
        generator: of the noise.
    """

    def __init__(
        self,
        parameters: Mapping[str, np.ndarray],
        batch: int,
        patch: Sequence[int],
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        thin = _thin_axis(patch)
        axes = [axis + 1 for axis in range(len(patch)) if axis != thin]
        self.changes: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "noise": lambda planes, sd: add_noise(planes, sd, generator),
            "blur": blurred,
            "brightness": lambda planes, factor: planes * _column(factor, planes),
            "contrast": contrasted,
            "resolution": lambda planes, zoom: coarsened(planes, zoom, axes),
            "gamma_inverted": lambda planes, gamma: -gamma_changed(-planes, gamma),
            "gamma": gamma_changed,
        }
        self.rows = {
            name: _rows(values, 0.0 if name in ("noise", "blur") else 1.0, batch, device)
            for name, values in parameters.items()
        }

    def change(self, images: Tensor, number: int) -> Tensor:
        """Change `images` (B, C, *patch) of batch `number` of the block."""
        images = images.contiguous()
        planes = images.view(-1, *images.shape[2:])  # written through it
        for name, (plane, values, bounds) in self.rows.items():
            some = slice(*bounds[number : number + 2])
            if some.start < some.stop:
                before = planes.index_select(0, plane[some])
                planes.index_copy_(0, plane[some], self.changes[name](before, values[some]))
        return images


def _rows(values: np.ndarray, neutral: float, batch: int, device: torch.device) -> Rows:
    count, channels = values.shape[:2]
    flat = values.reshape(count * channels, -1)
    found = np.flatnonzero((flat != neutral).any(axis=1))
    ends = np.arange(0, (count + batch) * channels, batch * channels)
    return Rows(
        torch.from_numpy(found % (batch * channels)).to(device),
        torch.from_numpy(flat[found]).float().to(device),
        np.searchsorted(found, ends).tolist(),
    )


def _column(values: Tensor, planes: Tensor) -> Tensor:
    return values.view(-1, *[1] * (planes.dim() - 1))


def _spatial(planes: Tensor) -> tuple[int, ...]:
    return tuple(range(1, planes.dim()))


def add_noise(planes: Tensor, sd: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of standard deviation `sd` (M, 1) to `planes` (M, *patch)."""
    return planes + torch.empty_like(planes).normal_(generator=generator) * _column(sd, planes)


def blurred(planes: Tensor, sigma: Tensor) -> Tensor:
    """Blur `planes` (M, *patch) with Gaussians, cut at 3 voxels; `sigma` (M, ndim) in voxels.

    Beyond the edge lies the mirror image of what is inside.
    """
    offsets = torch.arange(-3, 4, device=planes.device)
    for axis in _spatial(planes):
        kernel = torch.exp(-0.5 * (offsets / sigma[:, axis - 1, None]) ** 2)
        kernel = kernel / kernel.sum(dim=1, keepdim=True)
        side = planes.shape[axis]
        last = side - 1
        where = last - (last - torch.arange(-3, side + 3, device=planes.device).abs()).abs()
        where = where.clamp(0, last)  # a patch may be thinner than the kernel
        padded = planes.index_select(axis, where)
        planes = torch.zeros_like(planes)
        for tap in range(7):
            planes.addcmul_(padded.narrow(axis, tap, side), _column(kernel[:, tap], planes))
    return planes


def contrasted(planes: Tensor, factor: Tensor) -> Tensor:
    """Stretch values of `planes` (M, *patch) about their mean by `factor` (M, 1), within range."""
    axes = _spatial(planes)
    mean = planes.mean(axes, keepdim=True)
    low, high = planes.amin(axes, keepdim=True), planes.amax(axes, keepdim=True)
    stretched = (planes - mean) * _column(factor, planes) + mean
    return torch.minimum(torch.maximum(stretched, low), high)


def coarsened(planes: Tensor, zoom: Tensor, axes: Sequence[int]) -> Tensor:
    """Sample `planes` (M, *patch) at `zoom` (M, 1) times as many voxels, and back.

    To the coarse grid by the nearest voxel, back linearly; along `axes` of `planes`. Both are
    separable: along each axis a voxel is a mixture of two.
    """
    for axis in axes:
        side = planes.shape[axis]
        coarse = (zoom * side).round().clamp(min=1)  # (M, 1) voxels
        place = ((torch.arange(side, device=planes.device) + 0.5) * coarse / side - 0.5).clamp(
            min=0
        )
        lower = place.floor()
        upper = torch.minimum(lower + 1, coarse - 1)
        shape = [len(planes), *[side if other == axis else 1 for other in _spatial(planes)]]
        below, above = (
            planes.gather(axis, nearest.long().view(shape).expand_as(planes))
            for nearest in (((end + 0.5) * side / coarse).floor() for end in (lower, upper))
        )
        planes = torch.lerp(below, above, (place - lower).view(shape))
    return planes


def gamma_changed(planes: Tensor, gamma: Tensor) -> Tensor:
    """Raise `planes` (M, *patch), scaled to [0, 1], to `gamma` (M, 1); mean and deviation stay."""
    axes = _spatial(planes)
    low, high = planes.amin(axes, keepdim=True), planes.amax(axes, keepdim=True)
    # A constant plane stays what it is: nothing is divided by zero.
    raised = ((planes - low) / (high - low).clamp(min=1e-7)).pow(_column(gamma, planes))
    (sd, mean), (sd_raised, mean_raised) = (
        torch.std_mean(values, axes, keepdim=True) for values in (planes, raised)
    )
    return (raised - mean_raised) * (sd / sd_raised.clamp(min=1e-7)) + mean
