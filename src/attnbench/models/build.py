"""From a study's words to networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from attnbench.models.presets import PRESETS
from attnbench.models.registry import get_mechanism
from attnbench.models.unet import UNet
from attnbench.study import BackbonePart, ModelPart, Placement, Slot


def slots_of(model: ModelPart) -> dict[Slot, tuple[Placement, ...]]:
    """Placements of a model: those the study names, else those of its word, a preset or a mechanism."""
    if model.slots or model.name == "unet":
        return dict(model.slots)
    if model.name in PRESETS:
        return dict(PRESETS[model.name])
    return {slot: (Placement(name=model.name),) for slot in get_mechanism(model.name).default}


def build_network(model: ModelPart, backbone: BackbonePart, ndim: int, in_channels: int, classes: int) -> nn.Module:
    """The network of one model of a study; `classes` counts the background."""
    return UNet(ndim, in_channels, classes, backbone.widths, backbone.blocks_per_level, backbone.norm, slots_of(model))


def build_model(
    name: str,
    ndim: int,
    in_channels: int,
    classes: int,
    widths: Sequence[int] = (16, 32, 64, 128),
    **backbone: Any,
) -> nn.Module:
    """Build a model by its word, e.g. `build_model("self_attention", ndim=2, in_channels=1, classes=3)`.

    `classes` counts the background; further arguments are those of the study's `backbone`. Raises `ModelError` for an
    unknown name.
    """
    return build_network(
        ModelPart(name=name), BackbonePart(widths=tuple(widths), **backbone), ndim, in_channels, classes
    )
