"""The contract of losses, tried before any training: on random logits, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from attnbench.catalog import load_entry
from attnbench.errors import AttnBenchError, StudyError
from attnbench.models.spec import NetworkSpec
from attnbench.study.loss import LossSettings
from attnbench.study.settings import Study
from attnbench.training.loss import Loss, loss_of

_SIDE, _BATCH = 16, 2
CERTAIN = 20.0  # logit of the class that a network is sure of


def check_losses(study: Study, source: str) -> None:
    """Try every loss of a study on what it will be given; raises `StudyError` with all problems.

    Logits and masks have the axes and classes of every dataset, the first levels of deep
    supervision too; masks of random classes, and of the background alone.
    """
    problems = list(dict.fromkeys(_problems(study)))
    if problems:
        lines = "\n".join(f"  {line}" for line in problems)
        raise StudyError(f"{source}: {len(problems)} problem(s) of losses\n{lines}")


def _problems(study: Study) -> Iterator[str]:
    tried: list[tuple[LossSettings, tuple[int, ...], int]] = []
    for dataset in study.trained_datasets:
        entry = load_entry(dataset.name, study.catalog)
        patch = study.patch(dataset.name, entry.ndim)
        spec = NetworkSpec.of(entry, patch)
        sides = tuple(min(side, _SIDE) for side in spec.patch)
        for model in study.trained_models:
            loss = study.training_of(dataset.name, model.name).loss
            if (case := (loss, sides, spec.classes)) not in tried:
                tried.append(case)
                yield from loss_problems(*case)


def loss_problems(settings: LossSettings, sides: Sequence[int], classes: int) -> Iterator[str]:
    """Yield what a loss does not do as its contract says; it has to be found before.

    Args:
        settings: the loss with its options.
        sides: of the finest grid that it is tried on; halved once and twice as well.
        classes: background included.
    """
    try:
        loss = loss_of(settings)
    except AttnBenchError as error:
        yield str(error)
        return
    for halvings in range(3):
        grid = tuple(max(1, side >> halvings) for side in sides)
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(_BATCH, classes, *grid, generator=generator)
        masks = torch.randint(classes, (_BATCH, *grid), generator=generator)
        where = f"{loss.name} on logits {tuple(logits.shape)} and masks {tuple(masks.shape)}"
        # Each says something only of a loss that has passed those before.
        found = (
            list(_of_one(loss, logits, masks, gradient=True))
            or list(_of_one(loss, logits, torch.zeros_like(masks), gradient=False))
            or list(_rises(loss, masks, classes))
        )
        if found:
            yield from (f"{where}: {text}" for text in found)
            return


def _of_one(loss: Loss, logits: Tensor, masks: Tensor, gradient: bool) -> Iterator[str]:
    logits, given = logits.clone().requires_grad_(), masks.clone()
    empty = "" if masks.any() else ", where masks have no foreground"
    try:
        values = loss(logits, masks).values
        if values.requires_grad:
            values.sum().backward()
    except AttnBenchError as error:
        yield str(error)
        return
    except Exception as error:  # own code may raise anything
        yield f"{type(error).__name__}: {error}{empty}"
        return
    if not torch.equal(masks, given):
        yield "it changes the masks in place; clone them first, other levels need them as they are"
    if not values.isfinite().all():
        yield f"it is {values.sum().item()}{empty}; a loss is finite for every mask"
    elif not values.requires_grad or logits.grad is None:
        yield "it has no gradient; compute it from the logits with torch alone, without argmax"
    elif not logits.grad.isfinite().all():
        yield f"its gradient is not finite{empty}"
    elif gradient and not logits.grad.any():
        yield "its gradient is zero everywhere; compute it from the logits, without argmax"


def _rises(loss: Loss, masks: Tensor, classes: int) -> Iterator[str]:
    right = CERTAIN * F.one_hot(masks, classes).movedim(-1, 1).float()
    with torch.no_grad():
        best, worst = (
            loss(logits, masks).values.sum().item() for logits in (right, right.roll(1, dims=1))
        )
    if best > worst:
        yield (
            f"it is {best:.3g} where every voxel is right and {worst:.3g} where every voxel is "
            "wrong; training lowers it: return 1 - it, or -it"
        )
