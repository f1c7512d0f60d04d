"""The loss of a run: one by name or own code, at every resolution that a network has logits of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from attnbench.errors import OwnCodeError
from attnbench.own import load
from attnbench.study.loss import LossSettings
from attnbench.training.losses import FOLDER, reference_of


class Terms(NamedTuple):
    """Terms of a loss that are added: their names, and their values (T,) on the device."""

    names: tuple[str, ...]
    values: Tensor


@dataclass(frozen=True)
class Loss:
    """A loss by its name in the study; calling it checks what the function returns."""

    name: str
    function: Callable[..., Tensor | Mapping[str, Tensor]]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, logits: Tensor, masks: Tensor) -> Terms:
        """Terms of logits (B, K, *spatial) and masks (B, *spatial), integers in [0, K).

        Raises:
            OwnCodeError: what the function returns is no scalar and no mapping of scalars.
        """
        # A loss sums over a whole batch of voxels: in float32, also under mixed precision.
        found = self.function(logits.float(), masks, **self.options)
        terms = found if isinstance(found, Mapping) else {self.name: found}
        for name, value in terms.items():
            if not isinstance(value, Tensor) or value.dim():
                kind = (
                    f"a tensor of shape {tuple(value.shape)}"
                    if isinstance(value, Tensor)
                    else f"a {type(value).__name__}"
                )
                raise OwnCodeError(
                    f"{self.name}: found {kind}{'' if len(terms) == 1 else f' as {name!r}'}; a "
                    "loss returns a scalar tensor, or a mapping of names to scalar tensors, which "
                    "are added"
                )
        if not terms:
            raise OwnCodeError(f"{self.name}: found a mapping without a term")
        return Terms(tuple(terms), torch.stack(list(terms.values())))


def loss_of(settings: LossSettings) -> Loss:
    """The loss that a study names.

    Raises:
        OwnCodeError: own code cannot be loaded, is no function, or has changed since the study was
            planned.
    """
    name = settings.name
    if (FOLDER / f"{name}.py").is_file():
        module = import_module(f"attnbench.training.losses.{name}")
        return Loss(name, getattr(module, name), settings.options)
    reference = reference_of(name)
    if reference is None:
        raise OwnCodeError(f"there is no loss {name!r}, and no installed package brings one")
    function = load(reference, settings.source)
    if not callable(function) or isinstance(function, type):
        raise OwnCodeError(f"{reference}: {NO_FUNCTION}")
    return Loss(name, function, settings.options)


NO_FUNCTION = "no function; a loss is `def my_loss(logits, masks)`, which returns a scalar tensor"


def losses_of(loss: Loss, outputs: Tensor | Sequence[Tensor], masks: Tensor) -> Terms:
    """Terms of a loss of a network's outputs in training.

    Logits, or with deep supervision a sequence of them from fine to coarse: their losses weigh
    1, 1/2, 1/4, ... (in sum 1), against masks (B, *spatial) brought to their resolution by the
    nearest voxel (nnU-Net).
    """
    levels = [outputs] if isinstance(outputs, Tensor) else outputs
    weights = [0.5**level for level in range(len(levels))]
    losses = [loss(logits, nearest_mask(masks, logits.shape[2:])) for logits in levels]
    values = torch.stack(
        [
            weight / sum(weights) * terms.values
            for weight, terms in zip(weights, losses, strict=True)
        ]
    ).sum(0)
    return Terms(losses[0].names, values)


def nearest_mask(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks (B, *size) of masks (B, *spatial), each voxel the class of the nearest one."""
    if tuple(masks.shape[1:]) == tuple(size):
        return masks
    resized = F.interpolate(masks.unsqueeze(1).float(), tuple(size), mode="nearest")
    return resized.squeeze(1).to(masks.dtype)


def pooled_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Voxels per foreground class, (3, K - 1): overlap, predicted and reference."""
    classes = torch.arange(1, logits.shape[1], device=logits.device).view(-1, *[1] * masks.dim())
    predicted, reference = logits.argmax(dim=1) == classes, masks == classes
    axes = tuple(range(1, predicted.dim()))
    return torch.stack(
        [(predicted & reference).sum(axes), predicted.sum(axes), reference.sum(axes)]
    )
