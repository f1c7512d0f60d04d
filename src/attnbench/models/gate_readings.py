"""How far the mechanisms of a network are open: what they do to features, read while it runs.

Its weights, numbers and speed stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from attnbench.models.attention._attend import watched
from attnbench.models.registry import Mechanism, mechanism_of
from attnbench.models.unet import UNet

COLUMNS = ("slot", "level", "mechanism", "scale", "gate_mean", "gate_sd", "entropy", "change")
# Of more queries evenly spaced ones are read: their mean is as good, and time stays linear.
_QUERIES = 1024
_PAIRS = 2**22  # of queries and keys in memory at once
_SIGMOIDS = frozenset({torch.sigmoid, Tensor.sigmoid, F.sigmoid, F.hardsigmoid})
_NOTHING = float("nan")


@torch.no_grad()
def read_gates(network: nn.Module, x: Tensor) -> list[dict[str, Any]]:
    """Read every mechanism in one pass of `x` (B, C, *spatial): a row each, with `COLUMNS`.

    A mechanism of several levels has a row for each. NaN where a mechanism has no such thing:

    - `scale`: mean |value| of the parameters that make it the identity at zero (gamma);
    - `gate_mean`, `gate_sd`: mean and standard deviation of the weights in (0, 1) that its
      sigmoids give, each sigmoid counting alike;
    - `entropy`: entropy of the softmax of a query over its keys, divided by the logarithm of
      their number, where `attend` computes it; mean over layers, heads and at most 1024 evenly
      spaced queries of a sequence; 1 is uniform, 0 a single key;
    - `change`: ||y - x|| / ||x|| of its input x and output y.

    External networks have no rows, nor has what stands in a mechanism's place in a control.

    Args:
        network: in evaluation mode, on the device of `x`.
        x: images.
    """
    rows: list[dict[str, Any]] = []
    with ExitStack() as hooks:
        for slot, levels, module in mechanisms_of(network):
            hook = module.register_forward_hook(partial(_read, rows, slot, levels))
            # A hook left behind would read again in every later pass.
            hooks.callback(hook.remove)
        network(x)
    return rows


def mechanisms_of(network: nn.Module) -> Iterator[tuple[str, tuple[int, ...], nn.Module]]:
    """Yield the slot, the levels and the module of every mechanism in the network."""
    if not isinstance(network, UNet):
        return
    for key, chain in network.slots.chains.items():
        slot, level = re.findall(r"\D+|\d+", key)
        yield from (
            (slot, (int(level),), module) for module in chain.children() if mechanism_of(module)
        )
    for module, levels in zip(network.slots.joint, network.slots.joint_levels, strict=True):
        if mechanism_of(module):
            yield "skip", levels, module


def _entry(module: nn.Module) -> Mechanism:
    entry = mechanism_of(module)
    assert entry is not None  # `mechanisms_of` yields no others
    return entry


def _read(
    rows: list[dict[str, Any]],
    slot: str,
    levels: tuple[int, ...],
    module: nn.Module,
    arguments: tuple[Any, ...],
    output: Any,
) -> None:
    gates, rowwise = _Sigmoids(), _Entropy()
    with gates, rowwise.watch(module):
        # Once more, past the hooks: nothing is watched while the network itself computes.
        module.forward(*arguments)
    scale = [module.get_parameter(name) for name in _entry(module).scale]
    before, after = arguments[0], output
    if isinstance(before, Tensor):
        before, after = [before], [after]
    for level, x, y in zip(levels, before, after, strict=True):
        rows.append(
            {
                "slot": slot,
                "level": level,
                "mechanism": _entry(module).name,
                "scale": _mean_size(scale),
                "gate_mean": _mean(gates.means),
                "gate_sd": _mean(gates.spreads),
                "entropy": rowwise.mean(),
                "change": _ratio(float((y - x).double().norm()), float(x.double().norm())),
            }
        )


def _mean(values: list[float]) -> float:
    return _ratio(sum(values), len(values))


def _mean_size(parameters: Iterable[Tensor]) -> float:
    values = [float(value) for parameter in parameters for value in parameter.abs().flatten()]
    return _mean(values)


def _ratio(value: float, by: float) -> float:
    return value / by if by else _NOTHING


class _Sigmoids(TorchFunctionMode):
    """Mean and standard deviation of the result of every sigmoid that is called within.

    Watched where they are computed, so that every gate is one, that of channels beside that of
    positions too, and a mechanism has nothing to declare.
    """

    def __init__(self) -> None:
        super().__init__()
        self.means: list[float] = []
        self.spreads: list[float] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _SIGMOIDS:
            weights = result.double()
            self.means.append(float(weights.mean()))
            self.spreads.append(float(weights.std(correction=0)))
        return result


class _Entropy:
    """Normalised entropy of the softmax of every query that attends within `watch`."""

    def __init__(self) -> None:
        self.total = self.number = 0.0
        self.inside: Tensor | None = None

    def mean(self) -> float:
        return _ratio(self.total, self.number)

    def watch(self, module: nn.Module) -> ExitStack:
        """Return the context in which every `attend` of a mechanism is read.

        Where a part of it pads its positions, its `inside` says which queries lie in the image;
        the others attend to padding alone and are not counted.
        """
        stack = ExitStack()
        stack.enter_context(watched(self._add))
        for part in module.modules():
            if hasattr(part, "inside"):
                hook = part.register_forward_pre_hook(self._keep_inside)
                stack.callback(hook.remove)
        return stack

    def _keep_inside(self, part: Any, arguments: tuple[Tensor, ...]) -> None:
        self.inside = part.inside(*arguments)

    def _add(self, query: Tensor, key: Tensor, scale: float, bias: Tensor | None) -> None:
        inside, self.inside = self.inside, None  # of this call alone
        queries, keys = query.shape[-2], key.shape[-2]
        dtype = torch.promote_types(query.dtype, torch.float32)
        rows = torch.arange(0, queries, -(-queries // _QUERIES), device=query.device)
        block = max(1, _PAIRS // (query[..., 0, 0].numel() * keys))
        for chosen in rows.split(block):
            scores = scale * query[..., chosen, :].to(dtype) @ key.to(dtype).transpose(-1, -2)
            if bias is not None:
                scores = scores + (bias if bias.shape[-2] == 1 else bias[..., chosen, :])
            entropy = torch.special.entr(scores.softmax(-1)).sum(-1)
            # Keys behind a mask are none; of one key alone there is nothing to choose.
            free = scores.isfinite().sum(-1)
            counted = (free > 1).to(dtype)
            if inside is not None:
                counted = counted * inside[..., chosen]
            self.total += float((counted * entropy / free.clamp(min=2).to(dtype).log()).sum())
            self.number += float(counted.sum())
