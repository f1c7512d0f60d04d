"""Controls: networks that rule out another explanation for what a mechanism does.

They change the slots of a variant after it was built, so that the backbone keeps its initial
weights to the bit. A new one is a name in `study/names.py:Control` (then `make schema`), a case in
`apply_control` below, and a sentence about what it rules out in `reporting/tables/controls.py`.
One whose mechanisms do not train has `slots.untrained` set, or their statistics go on learning;
one that a mechanism must declare something for is named in `models/names.py:_NEEDED`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.errors import ModelError
from attnbench.models.layers import conv1x1
from attnbench.models.registry import Mechanism, mechanism_of
from attnbench.models.slots import Chain, Slots


class Pointwise(nn.Module):
    """x + W2 relu(W1 x): as many parameters as a mechanism, without its attention.

    W1 and W2 are 1x1 convolutions without bias.
    """

    def __init__(self, channels: int, hidden: int, ndim: int) -> None:
        super().__init__()
        self.first = conv1x1(ndim, channels, hidden, bias=False)
        self.second = conv1x1(ndim, hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class PointwiseLevels(nn.ModuleList):
    """One `Pointwise` per level, in the place of a joint mechanism."""

    def forward(self, skips: list[Tensor]) -> list[Tensor]:
        return [module(skip) for module, skip in zip(self, skips, strict=True)]


def hidden_widths(parameters: int, channels: Sequence[int]) -> list[int]:
    """Hidden widths of one `Pointwise` per entry of `channels`, together nearest `parameters`.

    They are at least 1 and in proportion to the channels; the narrowest level takes what is left.
    """
    ratio = parameters / (2 * sum(width**2 for width in channels))
    hidden = [max(1, int(ratio * width)) for width in channels]
    # A hidden unit of the narrowest level has the fewest parameters, so it leaves the least over.
    narrowest = min(range(len(channels)), key=lambda level: channels[level])
    left = parameters - sum(
        2 * width * inner for width, inner in zip(channels, hidden, strict=True)
    )
    hidden[narrowest] = max(1, hidden[narrowest] + round(left / (2 * channels[narrowest])))
    return hidden


def apply_control(slots: Slots, control: str) -> None:
    """Turn a variant's slots, in place, into those of one of its controls.

    `control` is `gamma0`, `random`, `uniform` or `conv1x1`. Raises `ModelError` where a mechanism
    has no start value to freeze at, or no softmax over positions.
    """
    if control == "conv1x1":
        _replace_by_pointwise(slots)
        return
    for mechanism, module in mechanisms_in(slots):
        match control:
            case "gamma0":
                _freeze(module, _scale_of(mechanism))
            case "random":
                _freeze(
                    module,
                    [
                        name
                        for name, _ in module.named_parameters()
                        if name not in (*mechanism.scale, *mechanism.gain)
                    ],
                )
            case "uniform":
                _make_uniform(mechanism, module)
    # Frozen parameters are not all: running statistics would go on learning in training mode.
    slots.untrained = control == "random"


def mechanisms_in(slots: Slots) -> Iterator[tuple[Mechanism, nn.Module]]:
    """Every mechanism of the slots: its entry in the registry, and the module."""
    for module in (
        *(module for chain in slots.chains.children() for module in chain.children()),
        *slots.joint,
    ):
        entry = mechanism_of(module)
        assert entry is not None  # slots hold mechanisms until a control replaces them
        yield entry, module


def _scale_of(mechanism: Mechanism) -> tuple[str, ...]:
    if not mechanism.scale:
        raise ModelError(f"control gamma0: {mechanism.name} has no scale that starts at zero")
    return mechanism.scale


def _freeze(module: nn.Module, names: Sequence[str]) -> None:
    for name in names:
        module.get_parameter(name).requires_grad_(False)


def _make_uniform(mechanism: Mechanism, module: nn.Module) -> None:
    if not mechanism.logits:
        raise ModelError(
            f"control uniform: {mechanism.name} has no softmax over positions to replace by the "
            "mean"
        )
    # A softmax over equal scores is the mean: what makes the scores is fixed at zero.
    for name, parameter in module.named_parameters():
        # A pattern may name the parameter or any module around it.
        owners = (name, *itertools.accumulate(name.split(".")[:-1], "{}.{}".format))
        if any(map(mechanism.makes_logits, owners)):
            nn.init.zeros_(parameter).requires_grad_(False)
    for name, owner in module.named_modules():
        for key, value in list(vars(owner).items()):
            if isinstance(value, float) and mechanism.makes_logits(f"{name}.{key}".lstrip(".")):
                setattr(owner, key, 0.0)


def _replace_by_pointwise(slots: Slots) -> None:
    for key, chain in slots.chains.items():
        assert isinstance(chain, Chain)
        channels = slots.widths[int(re.findall(r"\d+", key)[0])]
        for index, module in enumerate(chain):
            (hidden,) = hidden_widths(_size(module), [channels])
            chain[index] = Pointwise(channels, hidden, slots.ndim)
        chain.gates = [None] * len(chain)
    for index, levels in enumerate(slots.joint_levels):
        widths = [slots.widths[level] for level in levels]
        pairs = zip(widths, hidden_widths(_size(slots.joint[index]), widths), strict=True)
        slots.joint[index] = PointwiseLevels(
            Pointwise(width, hidden, slots.ndim) for width, hidden in pairs
        )


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
