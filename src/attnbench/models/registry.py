"""The registry of mechanisms: a dict filled by a decorator, one file in `attention/` per entry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from typing import Any, Literal, TypeVar

from torch import nn

from attnbench.errors import ModelError, nearest
from attnbench.models.names import mechanism_names
from attnbench.study.models import SLOTS, Slot

Gate = Literal["coarse", "upsampled"]
ModuleType = TypeVar("ModuleType", bound=type[nn.Module])


@dataclass(frozen=True)
class Paper:
    """Where a mechanism comes from."""

    authors: str
    year: int
    title: str
    source: str


@dataclass(frozen=True)
class Mechanism:
    """A mechanism and where it may sit.

    `slots` are the slots it can take, `default` those the paper uses, `deepest` how many of the
    deepest levels of a slot it takes by default (None: all). A `gate` is the decoder's signal
    that a skip mechanism receives: `coarse` (the decoder's features one level deeper, before
    up-sampling) or `upsampled` (at the skip's own resolution). A `joint` mechanism maps the list
    of all skips at once.
    """

    name: str
    title: str
    module: type[nn.Module]
    paper: Paper
    slots: tuple[Slot, ...]
    default: tuple[Slot, ...]
    deepest: int | None
    ndims: tuple[int, ...]
    gate: Gate | None
    joint: bool
    scale: tuple[str, ...]
    logits: tuple[str, ...]

    def default_levels(self, levels: Sequence[int]) -> tuple[int, ...]:
        """Of the `levels` of a slot, those the mechanism takes when the study names none."""
        return tuple(levels if self.deepest is None else levels[-self.deepest :])

    def makes_logits(self, name: str) -> bool:
        """Whether a module, parameter or number of this name is among `logits`."""
        return any(fnmatch(name, pattern) for pattern in self.logits)

    def options(self) -> tuple[str, ...]:
        """Names of the arguments that a study may set."""
        given = {"self", "channels", "ndim", "gate_channels"}
        return tuple(
            name for name in inspect.signature(self.module.__init__).parameters if name not in given
        )


_MECHANISMS: dict[str, Mechanism] = {}


def mechanism(
    *,
    title: str,
    paper: Paper,
    default: tuple[Slot, ...],
    slots: tuple[Slot, ...] = SLOTS,
    deepest: int | None = None,
    ndims: tuple[int, ...] = (2, 3),
    gate: Gate | None = None,
    joint: bool = False,
    scale: tuple[str, ...] = (),
    logits: tuple[str, ...] = (),
) -> Callable[[ModuleType], ModuleType]:
    """Register the decorated module under the name of its file; a second one of that name raises
    `ModelError`.
    """

    def register(module: ModuleType) -> ModuleType:
        name = module.__module__.rpartition(".")[2]
        if name in _MECHANISMS:
            raise ModelError(f"mechanism {name!r} is registered twice")
        entry = Mechanism(
            name, title, module, paper, slots, default, deepest, ndims, gate, joint, scale, logits
        )
        _MECHANISMS[name] = entry
        return module

    return register


def get_mechanism(name: str) -> Mechanism:
    """The mechanism of that name; `ModelError` lists the choices if there is none."""
    names = mechanism_names()
    if name not in names:
        raise ModelError(f"no mechanism {name!r}; {nearest(name, names)}")
    import_module(f"attnbench.models.attention.{name}")
    return _MECHANISMS[name]


def create_mechanism(
    name: str,
    channels: int | Sequence[int],
    ndim: int,
    gate_channels: int | None = None,
    **options: Any,
) -> nn.Module:
    """Build a mechanism that maps (B, channels, *spatial) to the same shape.

    `gate_channels` is needed by mechanisms with a gate; a joint mechanism takes the channels of
    all skips. Raises `ModelError` for an unknown name or option, a number of axes the mechanism
    does not have, or channels it refuses.
    """
    found = get_mechanism(name)
    if ndim not in found.ndims:
        raise ModelError(
            f"{name} has no {ndim}-D form; allowed: {', '.join(f'{n}-D' for n in found.ndims)}"
        )
    for option in options:
        if option not in found.options():
            raise ModelError(f"{name} has no option {option!r}; {nearest(option, found.options())}")
    if found.gate and gate_channels is None:
        raise ModelError(f"{name} needs gate_channels, the width of the decoder's gating signal")
    gate = {"gate_channels": gate_channels} if found.gate else {}
    try:
        return found.module(channels, ndim, **gate, **options)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{name} with channels={channels}, ndim={ndim}, {options}: {error}"
        ) from error
