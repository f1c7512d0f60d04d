"""The slots of a U-Net: which mechanisms sit where, and how they receive the decoder's gating
signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from attnbench.errors import ModelError
from attnbench.models.registry import Mechanism, create_mechanism, get_mechanism
from attnbench.study.models import Placement, Slot


class Chain(nn.ModuleList):
    """Mechanisms one after the other at one level of a slot."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[str | None] = []

    def add(self, module: nn.Module, gate: str | None) -> None:
        """Append a mechanism and the name of the gating signal it receives."""
        self.append(module)
        self.gates.append(gate)

    def forward(self, x: Tensor, signals: Mapping[str, Tensor]) -> Tensor:
        """Pass x (B, C, *spatial) through all of them; a gated one also receives the signal it
        is gated by.
        """
        for module, gate in zip(self, self.gates, strict=True):
            x = module(x, signals[gate]) if gate else module(x)
        return x


class Slots(nn.Module):
    """All mechanisms of a network by slot and level; an empty place passes its input on unchanged.

    `widths` are the channels per level. Raises `ModelError` for a slot a mechanism cannot take
    or a level that does not exist.
    """

    def __init__(
        self, ndim: int, widths: Sequence[int], slots: Mapping[Slot, Sequence[Placement]]
    ) -> None:
        super().__init__()
        self.ndim, self.widths = ndim, tuple(widths)
        self.untrained = False
        self.joint = nn.ModuleList()
        self.joint_levels: list[tuple[int, ...]] = []
        chains: dict[str, Chain] = {}
        for slot, placements in slots.items():
            for placement in placements:
                self._place(slot, placement, chains)
        self.chains = nn.ModuleDict(chains)

    def _place(self, slot: Slot, placement: Placement, chains: dict[str, Chain]) -> None:
        found = get_mechanism(placement.name)
        if slot not in found.slots:
            raise ModelError(
                f"{found.name} cannot sit in slot {slot!r}; allowed: {', '.join(found.slots)}"
            )
        levels = self._levels(slot, found, placement)
        if found.joint:
            widths = [self.widths[level] for level in levels]
            self.joint.append(create_mechanism(found.name, widths, self.ndim, **placement.options))
            self.joint_levels.append(levels)
            return
        for level in levels:
            gate_channels = (
                self.widths[level + 1 if found.gate == "coarse" else level] if found.gate else None
            )
            module = create_mechanism(
                found.name,
                self.widths[level],
                self.ndim,
                gate_channels=gate_channels,
                **placement.options,
            )
            chains.setdefault(f"{slot}{level}", Chain()).add(module, found.gate)

    def _levels(self, slot: Slot, found: Mechanism, placement: Placement) -> tuple[int, ...]:
        depth = len(self.widths)
        available = (depth - 1,) if slot == "bottleneck" else tuple(range(depth - 1))
        wrong = set(placement.levels or ()) - set(available)
        if wrong:
            raise ModelError(
                f"{found.name}: slot {slot!r} has no level {min(wrong)}; allowed: "
                f"{', '.join(map(str, available))}"
            )
        return found.default_levels(available) if placement.levels is None else placement.levels

    def train(self, mode: bool = True) -> Self:
        """Set the mode; slots that are `untrained` (a control) stay in evaluation, so that no
        statistics run along.
        """
        return super().train(mode and not self.untrained)

    def forward(self, slot: Slot, level: int, x: Tensor, **signals: Tensor) -> Tensor:
        """Pass the features of one level, (B, C, *spatial), through the mechanisms of a slot."""
        key = f"{slot}{level}"
        return self.chains[key](x, signals) if key in self.chains else x

    def mix_skips(self, skips: list[Tensor]) -> list[Tensor]:
        """Pass the skips of all levels through the joint mechanisms."""
        for module, levels in zip(self.joint, self.joint_levels, strict=True):
            for level, mixed in zip(
                levels, module([skips[level] for level in levels]), strict=True
            ):
                skips[level] = mixed
        return skips
