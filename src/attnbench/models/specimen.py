"""A mechanism by itself, built and run on random features, for the checks of its contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.models.registry import Mechanism, create_mechanism, get_mechanism

EVEN = {2: (8, 12), 3: (4, 6, 8)}
ODD = {2: (7, 5), 3: (3, 5, 7)}
LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}
Arguments = tuple[Any, ...]


class Breach(Exception):
    """What was found where the contract is not kept, and what to do about it."""

    def __init__(self, found: str, advice: str = "") -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


class Doubt(Breach):
    """Something that works, and is not as it should be."""


@dataclass(frozen=True)
class Specimen:
    """One mechanism in one form: `ndim` axes, `options` of a study, a level of `channels`.

    A gating signal has half as many channels more; a joint mechanism has two levels, the second
    with twice the channels.
    """

    name: str
    ndim: int
    options: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 16

    @property
    def entry(self) -> Mechanism:
        """What the mechanism declares."""
        return get_mechanism(self.name)

    def build(self, seed: int = 0, channels: int | None = None) -> Any:
        """Build the module anew, in training mode; the same seed gives the same weights."""
        width = channels or self.channels
        torch.manual_seed(seed)
        return create_mechanism(
            self.name,
            (width, 2 * width) if self.entry.joint else width,
            self.ndim,
            gate_channels=_gate_width(width) if self.entry.gate else None,
            **self.options,
        )

    def inputs(self, size: tuple[int, ...], batch: int = 2, seed: int = 1) -> Arguments:
        """Arguments of the module's forward for features of `size`, as random numbers."""
        generator = torch.Generator().manual_seed(seed)

        def draw(channels: int, sides: tuple[int, ...]) -> Tensor:
            return torch.randn(batch, channels, *sides, generator=generator)

        if self.entry.joint:
            return ([draw(self.channels, size), draw(2 * self.channels, halved(size))],)
        x = draw(self.channels, size)
        if not self.entry.gate:
            return (x,)
        sides = halved(size) if self.entry.gate == "coarse" else size
        return x, draw(_gate_width(self.channels), sides)

    def run(self, module: nn.Module, arguments: Arguments) -> list[Tensor]:
        """Run the module; its output as a list, that of a mechanism of one level too.

        Raises:
            Breach: the output is no tensor, or of another shape than the features.
        """
        output = module(*arguments)
        expected = features(arguments)
        if problem := wrong_output(output, arguments):
            raise Breach(*problem)
        return list(output) if len(expected) > 1 else [output]


def wrong_output(output: Any, arguments: Arguments) -> tuple[str, str] | None:
    """What is wrong with the output of a mechanism, and what to do; None if nothing is.

    `arguments` are those of its forward: x (B, C, *spatial), perhaps a gate, or a list of skips.
    """
    expected = features(arguments)
    joint = isinstance(arguments[0], list)
    given = output if joint else [output]
    shapes = shapes_of(arguments)
    if not isinstance(given, list | tuple) or not all(isinstance(y, Tensor) for y in given):
        kind = type(output).__name__
        what = f"a {kind} of {len(output)}" if isinstance(output, list | tuple) else f"a {kind}"
        wanted = "a list of tensors, one per skip" if joint else "one tensor, the features"
        return f"{what} for {shapes}", f"return {wanted}; weights to look at go in `attention_map`"
    if [tuple(y.shape) for y in given] != [tuple(x.shape) for x in expected]:
        found = ", ".join(str(tuple(y.shape)) for y in given)
        wanted = ", ".join(str(tuple(x.shape)) for x in expected)
        return (
            f"output {found} for {shapes}",
            f"return the shape of x, {wanted}: resize weights to `x.shape[2:]` "
            "(attnbench.models.layers.resize) and pad what strides cut off",
        )
    return None


def features(arguments: Arguments) -> list[Tensor]:
    """The features that a mechanism maps: the gate is not one of them."""
    return list(arguments[0]) if isinstance(arguments[0], list) else [arguments[0]]


def apply(function: Callable[[Tensor], Tensor], arguments: Arguments) -> Arguments:
    """The same arguments with `function` applied to each tensor."""
    return tuple(
        [function(x) for x in item] if isinstance(item, list) else function(item)
        for item in arguments
    )


def halved(size: Iterable[int]) -> tuple[int, ...]:
    """Sides one level deeper, rounded up."""
    return tuple(-(-side // 2) for side in size)


def off_start(module: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter and running statistic off its start, in place: no zero hides anything.

    Returns the module.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    with torch.no_grad():
        for parameter in filter(Tensor.is_floating_point, module.parameters()):
            parameter.add_(0.3 * noise(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.3 * noise(buffer))
            if name.endswith("running_var"):
                buffer.mul_(0.5 + torch.rand(buffer.shape, generator=generator, dtype=buffer.dtype))
    return module


def shapes_of(arguments: Arguments) -> str:
    """Shapes of the arguments of a mechanism's forward: `x (2, 16, 8, 12), gate (2, 24, 4, 6)`."""
    x = arguments[0]
    first = ", ".join(str(tuple(one.shape)) for one in features(arguments))
    gate = f", gate {tuple(arguments[1].shape)}" if len(arguments) > 1 else ""
    return f"{'skips' if isinstance(x, list) else 'x'} {first}{gate}"


def _gate_width(channels: int) -> int:
    return channels + channels // 2
