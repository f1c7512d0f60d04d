"""The optimiser of a run: torch's own, without loading torch's compiler."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch import nn

from attnbench.study.settings import TrainingSettings


def make_optimiser(
    network: nn.Module, part: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum 0.99; weight decay for kernels only, not for scales,
    biases and gammas.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": part.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in ("cuda", "cpu")
    if part.optimiser == "adamw":
        return _light(torch.optim.AdamW)(groups, lr=part.learning_rate, fused=fused)
    return _light(torch.optim.SGD)(
        groups, lr=part.learning_rate, momentum=0.99, nesterov=True, fused=fused
    )


@cache
def _light(kind: type[torch.optim.Optimizer]) -> type[Any]:
    """`kind` without what wraps three of its methods for torch's compiler.

    The wrappers change no number, but the first call of each imports the compiler, 800 modules,
    which takes a process as long as torch itself.
    """
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")}
    return type(
        kind.__name__, (kind,), plain | {"step": torch.no_grad()(inspect.unwrap(kind.step))}
    )
