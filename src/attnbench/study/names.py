"""Names that exist, and what a study has to know of them before any download or training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Slot = Literal["encoder", "bottleneck", "skip", "decoder"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
Control = Literal["gamma0", "random", "uniform", "conv1x1", "parameters", "flops"]
CONTROLS: tuple[Control, ...] = get_args(Control)
SIZES: tuple[Control, ...] = ("parameters", "flops")
"""Controls that rule out size: plain U-Nets with as many parameters, and as many operations."""


@dataclass(frozen=True)
class DatasetFacts:
    """Facts of a dataset that decide whether a study fits it; `classes` has names by number."""

    ndim: int
    groups: int
    channels: int = 1
    classes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MechanismFacts:
    """Slots of a mechanism, and the controls that it `lacks`.

    `default`: its slots by default; `slots`: all that it can take; `finest`: first level that it
    takes by default; `deepest`: number of a slot's deepest levels that it takes by default (None:
    all).
    """

    default: tuple[Slot, ...]
    slots: tuple[Slot, ...] = SLOTS
    finest: int = 0
    deepest: int | None = None
    lacks: tuple[Control, ...] = ()


@dataclass(frozen=True)
class Known:
    """All that a study is checked against; an empty collection is not checked against.

    `presets` are models of several mechanisms: names of mechanisms by slot. `own_metrics` are the
    references of metrics that installed packages bring.
    """

    datasets: Mapping[str, DatasetFacts] = field(default_factory=dict)
    mechanisms: Mapping[str, MechanismFacts] = field(default_factory=dict)
    metrics: Collection[str] = ()
    presets: Mapping[str, Mapping[Slot, tuple[str, ...]]] = field(default_factory=dict)
    losses: Collection[str] = ()
    own_metrics: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Every name that is a model by itself."""
        return ("unet", *sorted((*self.mechanisms, *self.presets)))
