"""Inputs and outputs that a network is built for: axes, channels, classes and patch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, Self


class Facts(Protocol):
    """Facts of a dataset; `classes` are those of its reference, without background."""

    @property
    def ndim(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def classes(self) -> Collection[int]: ...


@dataclass(frozen=True)
class NetworkSpec:
    """Inputs and outputs of a network.

    `classes` counts the background, class 0. `patch` has the pixels per axis of a training patch:
    at this size FLOPs are counted and controls matched, and an external network is checked.
    """

    ndim: int
    in_channels: int
    classes: int
    patch: tuple[int, ...]

    @classmethod
    def of(cls, facts: Facts, patch: Sequence[int]) -> Self:
        """Spec for a dataset; nothing else counts the background."""
        return cls(facts.ndim, facts.channels, len(facts.classes) + 1, tuple(patch))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (1, in_channels, *patch) of one training patch as a batch."""
        return (1, self.in_channels, *self.patch)
