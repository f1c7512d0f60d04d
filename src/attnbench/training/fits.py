"""How many patches of a training fit into memory at once, found by trying."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import torch

from attnbench.models.batch_norm import has_batch_norm
from attnbench.models.build import build_network
from attnbench.models.cost import count_parameters
from attnbench.models.spec import NetworkSpec
from attnbench.study.groups import TrainingSettings
from attnbench.study.settings import Study
from attnbench.training.device import autocast_type, memory_format
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.memory import is_out_of_memory
from attnbench.training.optimiser import make_optimiser

log = logging.getLogger("attnbench")


def advice_on_training(
    study: Study, model: str, spec: NetworkSpec, recipe: TrainingSettings, device: torch.device
) -> list[str]:
    """Sentences on a training that memory did not suffice for: what it is, what fits, what to do.

    What fits is tried, in this process: two steps of the network on random patches, in twice as
    many parts each time, or with half as many patches where its norms forbid parts.
    """
    with torch.device("meta"):
        network = build_network(study.model(model), study.backbone, spec)
    parameters, whole = count_parameters(network), has_batch_norm(network)
    shape = " x ".join(map(str, spec.input_shape[1:]))
    in_parts = f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
    work = (
        f"{model} has {parameters:,} parameters, a step {recipe.batch} patches{in_parts} of "
        f"{shape} (channels, voxels)"
    )
    log.warning("out of memory: %s; trying what fits", work)
    fitting = next(
        (
            tried
            for tried in _smaller(recipe, whole)
            if step_fits(study, model, spec, tried, device)
        ),
        None,
    )
    more = (
        "give the job more (`compute.memory_mb`, a scheduler's limit), or let fewer runs share the "
        "machine (`compute.runs_per_gpu`, `--cores`)"
    )
    if fitting is None:
        found = (
            "nothing smaller fits into what is left to this process, which may be in pieces: in a "
            "new one it may"
        )
        least = "batch: 1" if whole else f"accumulate: {recipe.batch}"
        remedy = (
            f"try `training: {{{least}}}`, one patch at a time, take smaller patches "
            f"(`training.patch_2d`, `patch_3d`, `patch`), or {more}"
        )
    else:
        at_once = -(-fitting.batch // fitting.accumulate)
        found = f"{at_once} patch(es) at a time do fit (tried by halves, two steps each)"
        remedy = (
            f"set `training: {{batch: {fitting.batch}}}` for all models, whose budget it is, or "
            f"smaller patches, or {more}"
            if whole
            else f"set `training: {{accumulate: {fitting.accumulate}}}`, which keeps patches, "
            f"steps and gradients as they are, for all models or this one; or {more}"
        )
    return [work, found, remedy]


def _smaller(recipe: TrainingSettings, whole: bool) -> Iterator[TrainingSettings]:
    """Yield the recipe in ever more parts, or where a batch is `whole` with ever fewer patches."""
    if whole:
        batch = recipe.batch // 2
        while batch:
            yield recipe.model_copy(update={"batch": batch})
            batch //= 2
        return
    parts = recipe.accumulate
    while parts < recipe.batch:
        parts = min(2 * parts, recipe.batch)
        yield recipe.model_copy(update={"accumulate": parts})


def step_fits(
    study: Study, model: str, spec: NetworkSpec, recipe: TrainingSettings, device: torch.device
) -> bool:
    """True where two steps on random patches end without an error that memory ran out."""
    try:
        _steps(study, model, spec, recipe, device)
        fits = True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return fits


def _steps(
    study: Study, model: str, spec: NetworkSpec, recipe: TrainingSettings, device: torch.device
) -> None:
    layout = memory_format(spec.ndim, device)
    network = build_network(study.model(model), study.backbone, spec)
    network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(recipe.batch, spec.in_channels, *spec.patch, device=device)
    masks = torch.randint(spec.classes, (recipe.batch, *spec.patch), device=device)
    loss, optimiser = loss_of(recipe.loss), make_optimiser(network, recipe, device)
    autocast = autocast_type(study.compute.precision, device)
    for _ in range(2):  # the optimiser has its own memory from the second on
        take_step(
            network.train(),
            images.contiguous(memory_format=layout),
            *(masks, loss, optimiser, autocast, recipe.accumulate),
        )
