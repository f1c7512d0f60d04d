"""From a study's words to networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from attnbench.errors import ModelError, nearest
from attnbench.models.controls import apply_control
from attnbench.models.cost import count_flops, count_parameters
from attnbench.models.external import ExternalNetwork
from attnbench.models.matching import TOLERANCE, Match, match_widths
from attnbench.models.names import model_names
from attnbench.models.presets import PRESETS
from attnbench.models.registry import get_mechanism
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, ModelSettings, Placement, Slot


def slots_of(model: ModelSettings) -> dict[Slot, tuple[Placement, ...]]:
    """Placements of a model: those the study names, else those of its word, a preset or a
    mechanism.
    """
    word = model.variant
    if model.slots or word == "unet":
        return dict(model.slots)
    if word in PRESETS:
        return dict(PRESETS[word])
    if model.backbone and word not in model_names():
        return {}
    if word not in model_names():
        raise ModelError(f"no model {word!r}; {nearest(word, model_names())}")
    return {slot: (Placement(name=word),) for slot in get_mechanism(word).default}


def build_network(
    model: ModelSettings,
    backbone: BackboneSettings,
    ndim: int,
    in_channels: int,
    classes: int,
    patch: Sequence[int],
) -> nn.Module:
    """The network of one model of a study; `classes` counts the background.

    `backbone` is the study's, `patch` the pixels per axis of a training patch: at this size a
    control is matched in FLOPs, and an external network is checked. Raises `ModelError` for what
    cannot be built.
    """
    if model.network:
        return ExternalNetwork(model, ndim, in_channels, classes, patch)
    backbone = model.backbone or backbone
    match = find_match(model, backbone, ndim, in_channels, classes, patch)
    if match:
        return build_unet(backbone, ndim, in_channels, classes, widths=match.widths)
    slots = {} if model.control == "identity" else slots_of(model)
    network = build_unet(backbone, ndim, in_channels, classes, slots)
    if model.control and slots:
        apply_control(network.slots, model.control)
    return network


def build_unet(
    backbone: BackboneSettings,
    ndim: int,
    in_channels: int,
    classes: int,
    slots: dict[Slot, tuple[Placement, ...]] | None = None,
    widths: Sequence[int] = (),
) -> UNet:
    """The U-Net of a backbone, with other `widths` where given."""
    part = backbone
    layers = (widths or part.widths, part.blocks_per_level, part.norm)
    return UNet(ndim, in_channels, classes, *layers, slots, part.block, part.deep_supervision)


def find_match(
    model: ModelSettings,
    backbone: BackboneSettings,
    ndim: int,
    in_channels: int,
    classes: int,
    patch: Sequence[int],
) -> Match | None:
    """Widths of a model's control `parameters` or `flops`, None for every other model; see
    `match_widths`.
    """
    if model.control not in TOLERANCE:
        return None
    shape = (1, in_channels, *patch)

    def count(network: nn.Module) -> int:
        return (
            count_parameters(network)
            if model.control == "parameters"
            else count_flops(network, shape)
        )

    with torch.device("meta"):
        target = count(build_unet(backbone, ndim, in_channels, classes, slots_of(model)))

        def count_plain(widths: tuple[int, ...]) -> int:
            return count(build_unet(backbone, ndim, in_channels, classes, widths=widths))

        try:
            return match_widths(backbone.widths, target, TOLERANCE[model.control], count_plain)
        except ModelError as error:
            raise ModelError(f"{model.name}: {error}") from error


def build_model(
    name: str,
    ndim: int,
    in_channels: int,
    classes: int,
    widths: Sequence[int] = (16, 32, 64, 128),
    patch: Sequence[int] | None = None,
    **backbone: Any,
) -> nn.Module:
    """Build a model by its word, e.g. `build_model("self_attention", ndim=2, in_channels=1,
    classes=3)`.

    `classes` counts the background; further arguments are those of the study's `backbone`.
    `patch`, at which a control `<variant>-flops` is matched, is 64 pixels per axis in 2-D and 32
    in 3-D unless given. Raises `ModelError` for an unknown name.
    """
    part = BackboneSettings(widths=tuple(widths), **backbone)
    return build_network(
        ModelSettings(name=name), part, ndim, in_channels, classes, patch or reference_patch(ndim)
    )


def reference_patch(ndim: int) -> tuple[int, ...]:
    """The patch at which models are compared where no study gives one: 64 x 64, or 32 x 32 x 32."""
    return (64, 64) if ndim == 2 else (32, 32, 32)
