"""Networks from the models of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from attnbench.errors import ModelError
from attnbench.models.controls import apply_control
from attnbench.models.cost import count_flops, count_parameters
from attnbench.models.matching import TOLERANCE, Match, match_widths
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, ModelSettings, Placement
from attnbench.study.names import Slot


def build_network(model: ModelSettings, backbone: BackboneSettings, spec: NetworkSpec) -> nn.Module:
    """Build the network of one resolved model; `backbone` is the study's.

    Raises `ModelError` for what cannot be built.
    """
    if model.is_external:
        return _build_external(model, spec)
    backbone = model.backbone or backbone
    match = find_match(model, backbone, spec)
    if match:
        return build_unet(backbone, spec, widths=match.widths)
    network = build_unet(backbone, spec, model.slots)
    if model.control:
        apply_control(network.slots, model.control)
    return network


def build_unet(
    backbone: BackboneSettings,
    spec: NetworkSpec,
    slots: Mapping[Slot, Sequence[Placement]] | None = None,
    widths: Sequence[int] = (),
) -> UNet:
    """Build the U-Net of a backbone.

    Args:
        backbone: widths, blocks and normalisation.
        spec: number of axes, channels and classes.
        slots: mechanisms at explicit levels; none if not given.
        widths: channels per level, instead of the backbone's where not empty.
    """
    return UNet(
        spec.ndim,
        spec.in_channels,
        spec.classes,
        widths or backbone.widths,
        backbone.blocks_per_level,
        backbone.norm,
        slots,
        backbone.block,
        backbone.deep_supervision,
    )


def find_match(model: ModelSettings, backbone: BackboneSettings, spec: NetworkSpec) -> Match | None:
    """Widths of a control `parameters` or `flops`, see `match_widths`; None for other models."""
    if model.control not in TOLERANCE:
        return None

    def count(network: nn.Module) -> int:
        if model.control == "parameters":
            return count_parameters(network)
        return count_flops(network, spec.input_shape)

    if model.network:
        # Its constructor may read values, which the meta device does not have.
        with torch.random.fork_rng(devices=[]):
            target = count(_build_external(model, spec))
    # Shapes are enough to count by; on the meta device nothing is allocated or initialised, and
    # the random numbers of the network that is built afterwards stay untouched.
    with torch.device("meta"):
        if not model.network:
            target = count(build_unet(backbone, spec, model.slots))

        def count_plain(widths: tuple[int, ...]) -> int:
            return count(build_unet(backbone, spec, widths=widths))

        try:
            return match_widths(backbone.widths, target, TOLERANCE[model.control], count_plain)
        except ModelError as error:
            raise ModelError(f"{model.name}: {error}") from error


def _build_external(model: ModelSettings, spec: NetworkSpec) -> nn.Module:
    # Not at the top: a U-Net does not depend on this module, so that editing it reruns none.
    from attnbench.models.external import ExternalNetwork

    return ExternalNetwork(model, spec)


def build_model(
    name: str,
    ndim: int,
    in_channels: int,
    classes: int,
    widths: Sequence[int] = (16, 32, 64, 128),
    patch: Sequence[int] | None = None,
    **backbone: Any,
) -> nn.Module:
    """Build a model by its name, e.g. `build_model("self_attention", 2, in_channels=1, classes=3)`.

    Args:
        name: a model (`attnbench models`), or `<variant>-<control>`.
        ndim: spatial axes, 2 or 3.
        in_channels: channels of an image.
        classes: classes of a mask, background included.
        widths: channels per level, full resolution first.
        patch: pixels per axis at which a control `flops` is matched; `reference_patch` if None.
        backbone: further keys of a study's `backbone`.

    Raises:
        ModelError: the name is unknown, or the network cannot be built.
    """
    # Not at the top: a run's model was resolved with its study, and depends on no other's name.
    from attnbench.models.names import named_model

    settings = BackboneSettings(widths=tuple(widths), **backbone)
    spec = NetworkSpec(ndim, in_channels, classes, tuple(patch or reference_patch(ndim)))
    return build_network(named_model(name, settings), settings, spec)


def reference_patch(ndim: int) -> tuple[int, ...]:
    """Patch to compare models at where no study gives one: 64 x 64, or 32 x 32 x 32."""
    return (64, 64) if ndim == 2 else (32, 32, 32)
