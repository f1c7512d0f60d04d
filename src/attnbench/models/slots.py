"""The slots of a U-Net: its mechanisms by level, and the gating signals that reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from attnbench.errors import ModelError
from attnbench.models.registry import create_mechanism, get_mechanism
from attnbench.study.models import Placement
from attnbench.study.names import Slot


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
        """Pass x (B, C, *spatial) through all of them; a gated one also receives its signal."""
        for module, gate in zip(self, self.gates, strict=True):
            x = module(x, signals[gate]) if gate else module(x)
        return x


class Slots(nn.Module):
    """All mechanisms of a network by slot and level; an empty slot passes its input on unchanged.

    `widths` are the channels per level; placements have explicit levels, as of a resolved model.
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
        name, levels, options = placement.name, placement.levels, placement.options
        source = placement.source
        entry = get_mechanism(name, source)
        if levels is None:
            raise ModelError(f"{name} in slot {slot!r}: no levels; resolve the model first")
        if entry.joint:
            widths = [self.widths[level] for level in levels]
            self.joint.append(create_mechanism(name, widths, self.ndim, source=source, **options))
            self.joint_levels.append(levels)
            return
        if entry.gate and slot != "skip":
            raise ModelError(f"{name} receives the decoder's gating signal: it sits in skips alone")
        for level in levels:
            # A coarse gate is taken before up-sampling, one level deeper.
            gate_level = level + 1 if entry.gate == "coarse" else level
            gate_channels = self.widths[gate_level] if entry.gate else None
            try:
                module = create_mechanism(
                    name,
                    self.widths[level],
                    self.ndim,
                    gate_channels=gate_channels,
                    source=source,
                    **options,
                )
            except ModelError as error:
                raise ModelError(f"level {level} of slot {slot!r}: {error}") from error
            chains.setdefault(f"{slot}{level}", Chain()).add(module, entry.gate)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; `untrained` slots (a control) stay in evaluation, statistics fixed."""
        return super().train(mode and not self.untrained)

    def forward(self, slot: Slot, level: int, x: Tensor, **signals: Tensor) -> Tensor:
        """Pass the features of one level, (B, C, *spatial), through the mechanisms of a slot."""
        key = f"{slot}{level}"
        return self.chains[key](x, signals) if key in self.chains else x

    def mix_skips(self, skips: list[Tensor]) -> list[Tensor]:
        """Pass the skips of all levels, in place, through the joint mechanisms."""
        for module, levels in zip(self.joint, self.joint_levels, strict=True):
            # A level may lie under several: each takes the skips as the one before left them.
            mixed = module([skips[level] for level in levels])
            for level, skip in zip(levels, mixed, strict=True):
                skips[level] = skip
        return skips
