"""The training loop: a fixed number of steps, the same for every model, read top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from attnbench.errors import DivergenceError
from attnbench.study.groups import TrainingSettings
from attnbench.training.accumulate import gradients
from attnbench.training.keeper import NOTHING, Keeper
from attnbench.training.loss import Loss, Terms, loss_of, pooled_dice
from attnbench.training.optimiser import make_optimiser, rate_factor

LARGEST_GRADIENT = 12.0  # norm over all parameters, as in nnU-Net
HISTORY = (
    "step",
    "loss",
    "loss_dice",
    "loss_cross_entropy",
    "validation_dice",
    "learning_rate",
    "images_per_second",
)
Batch = tuple[Tensor, Tensor]


def train(
    network: nn.Module,
    batches: Iterable[Batch],
    validation: Sequence[Batch],
    settings: TrainingSettings,
    steps: int,
    device: torch.device,
    autocast: torch.dtype | None,
    keeper: Keeper = NOTHING,
) -> Iterator[dict[str, float]]:
    """Train in place; yield a row of HISTORY every fifth of `validate_every` and at the end.

    The loss of a row is the mean since the row before, its parts are NaN where the study's loss
    has no such part; `validation_dice` is NaN on rows without a validation pass. The learning rate
    of a step is that of `rate_factor`.

    Args:
        network: on `device`, returns logits (B, K, *patch) or a sequence of them.
        batches: pairs of images (B, C, *patch) and masks (B, *patch) on `device`: of all `steps`,
            or of those that `keeper` has not kept.
        validation: fixed batches of the same form.
        settings: loss, optimiser, learning rate, its schedule, and how often to validate.
        steps: length of the schedule.
        device: where everything is.
        autocast: dtype of mixed precision; None for float32.
        keeper: has the state of a former process to go on from, and writes down that of this one.

    Raises:
        Stopped: the process was asked to stop.
        DivergenceError: the loss is not finite, or the weights behind the last step.
        OwnCodeError: an own loss cannot be loaded, or returns no scalar.
    """
    loss = loss_of(settings.loss)
    optimiser = make_optimiser(network, settings, device)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_factor(step, steps, settings)
    )
    row_every = max(1, settings.validate_every // 5)
    network.train()
    sums, since, started = keeper.resume(network, optimiser, schedule)
    for step, (images, masks) in enumerate(batches, start=keeper.course.step + 1):
        rate = float(schedule.get_last_lr()[0])
        terms = take_step(network, images, masks, loss, optimiser, autocast, settings.accumulate)
        sums = sums + terms.values
        schedule.step()
        since += 1
        validate = step % settings.validate_every == 0 or step == steps
        if step % row_every and not validate:
            keeper.after(step, sums, since, started)
            continue
        # Reading numbers waits for the device: only here, never at every step.
        means = dict(zip(terms.names, (sums / since).tolist(), strict=True))
        if not torch.isfinite(sums).all():
            raise DivergenceError(_diverged(loss, step, means), step, step - since)
        if step == steps and not _finite(optimiser):
            raise DivergenceError(_LAST_STEP.format(step=step), step, step)
        speed = since * len(images) / (time.perf_counter() - started)
        score = math.nan
        if validate:
            score = validation_dice(network, validation, device, autocast, settings.accumulate)
        parts = (means.get(name, math.nan) for name in ("dice", "cross_entropy"))
        row = (step, sum(means.values()), *parts, score, rate, speed)
        yield dict(zip(HISTORY, row, strict=True))
        sums, since, started = torch.zeros((), device=device), 0, time.perf_counter()
        keeper.after(step, sums, since, started)


_LAST_STEP = (
    "weights are not finite after the last step, {step}, whose loss was; lower "
    "training.learning_rate or set compute.precision: float32"
)


def _finite(optimiser: torch.optim.Optimizer) -> bool:
    # Those that were trained: what a network never uses may hold anything.
    return all(bool(torch.isfinite(parameter).all()) for parameter in optimiser.state)


def _diverged(loss: Loss, step: int, means: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {value:g}" for name, value in means.items())
    return (
        f"the loss {loss.name} is not finite at step {step} ({parts}); lower "
        "training.learning_rate or set compute.precision: float32"
    )


def take_step(
    network: nn.Module,
    images: Tensor,
    masks: Tensor,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    autocast: torch.dtype | None,
    parts: int = 1,
) -> Terms:
    """Take one step on one batch; return the terms of the loss before it, on the device.

    Args:
        network: in training mode.
        images: (B, C, *patch) float32.
        masks: (B, *patch) integers.
        loss: of logits and masks.
        optimiser: of the network's parameters.
        autocast: dtype of mixed precision; None for float32.
        parts: that the batch is taken in, where memory is short (`gradients`).
    """
    terms = gradients(network, images, masks, loss, autocast, parts)
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimiser.step()
    network.zero_grad(set_to_none=True)
    return terms


@torch.no_grad()
def validation_dice(
    network: nn.Module,
    validation: Sequence[Batch],
    device: torch.device,
    autocast: torch.dtype | None,
    parts: int = 1,
) -> float:
    """Mean over the foreground classes of the Dice pooled over all patches, in [0, 1].

    A class with neither reference nor prediction in any patch is left out; NaN if that is every
    class.

    Args:
        network: left in training mode.
        validation: fixed batches of the inner validation.
        device: where network and batches are.
        autocast: dtype of mixed precision; None for float32.
        parts: that each batch is taken in; what is counted is the same.
    """
    network.eval()
    counts = torch.zeros(())
    pieces = (
        piece
        for images, masks in validation
        for piece in zip(images.tensor_split(parts), masks.tensor_split(parts), strict=True)
    )
    for images, masks in pieces:
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            counts = counts.to(device) + pooled_dice(network(images), masks)
    network.train()
    overlap, predicted, reference = counts  # (K - 1,) each; 0 / 0 is the NaN that nanmean skips
    dice: float = (2 * overlap / (predicted + reference)).nanmean().item()
    return dice
