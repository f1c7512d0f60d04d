"""The optimiser of a run: torch's own, without loading torch's compiler."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from attnbench.study.groups import TrainingSettings

# torch 2 wraps methods of its optimisers so that its compiler leaves them alone. The wrappers
# change no number, but their first call imports the compiler: 800 modules, which takes a process
# as long as torch itself. Both classes can go once torch imports it only where it compiles.
_add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
_load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class _AdamW(torch.optim.AdamW):
    add_param_group, state_dict = _add_param_group, _state_dict
    load_state_dict = _load_state_dict
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class _SGD(torch.optim.SGD):
    add_param_group, state_dict = _add_param_group, _state_dict
    load_state_dict = _load_state_dict
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


def make_optimiser(
    network: nn.Module, settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """Return AdamW, or SGD with Nesterov momentum 0.99, for all trainable parameters.

    Weight decay is for kernels only, not for scales, biases and gammas. Clear gradients with
    `network.zero_grad`: the optimiser's own `zero_grad` would import torch's compiler.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in ("cuda", "cpu")
    if settings.optimiser == "adamw":
        return _AdamW(groups, lr=settings.learning_rate, fused=fused)
    return _SGD(groups, lr=settings.learning_rate, momentum=0.99, nesterov=True, fused=fused)


def rate_factor(step: int, steps: int, settings: TrainingSettings) -> float:
    """Learning rate after `step` of `steps` steps as a share of the largest, in [0, 1].

    It rises linearly over the first `warm_up` share of the steps, never from zero, and falls over
    the rest as (1 - progress) ** power.
    """
    rising = min(round(settings.warm_up * steps), steps - 1)
    if step < rising:
        return (step + 1) / (rising + 1)
    return float((1 - (step - rising) / (steps - rising)) ** settings.power)
