"""What a training took: seconds, joules and memory, over all the processes that it ran in."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from attnbench.training.energy import energy_between, energy_used
from attnbench.training.provenance import peak_memory


class Spent(NamedTuple):
    """Seconds, joules (None where a process had no meter) and largest memory in bytes."""

    seconds: float = 0.0
    joules: float | None = 0.0
    peak_bytes: int = 0


class Meter:
    """Counts on from what former processes took.

    Args:
        device: of the training.
        alone: whether no other run is on the GPU: its counter cannot tell them apart.
        before: what former processes took.
    """

    def __init__(self, device: torch.device, alone: bool, before: Spent) -> None:
        self.device, self.alone, self.before = device, alone, before
        self.energy, self.started = self._energy(), time.perf_counter()

    def read(self) -> Spent:
        """What all processes took until now."""
        seconds = time.perf_counter() - self.started
        joules = energy_between(self.energy, self._energy())
        before = self.before
        return Spent(
            before.seconds + seconds,
            None if joules is None or before.joules is None else before.joules + joules,
            max(before.peak_bytes, peak_memory(self.device)),
        )

    def _energy(self) -> float | None:
        return energy_used(self.device) if self.alone else None
