"""Facts of a model on one dataset: size, cost, widths, and the target of a matched control."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from attnbench.data.store import CaseStore
from attnbench.files import write_json
from attnbench.models.build import build_network, build_unet, find_match
from attnbench.models.cost import count_activation_bytes, count_flops, count_parameters
from attnbench.models.own_output import watched
from attnbench.models.registry import get_mechanism
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import UNet
from attnbench.study.models import BackboneSettings, ModelSettings
from attnbench.study.settings import Study

log = logging.getLogger("attnbench")


def describe_model(study: Study, dataset: str, model: str) -> dict[str, Any]:
    """Build one model for one dataset; write and return size, cost per training patch, papers."""
    info = CaseStore.open(study.layout.prepared(dataset)).info
    spec = NetworkSpec.of(info, study.patch(dataset, info.ndim))
    settings, backbone = study.model(model), study.backbone_of(model)
    network = build_network(settings, backbone, spec)
    facts: dict[str, Any] = {
        "dataset": dataset,
        "model": model,
        "parameters": count_parameters(network),
        "frozen_parameters": _size(network) - count_parameters(network),
        "activation_bytes": count_activation_bytes(network, spec.input_shape),
        "flops": _flops(network, spec),
        "input": [spec.in_channels, *spec.patch],
        "papers": [
            {"mechanism": name, **asdict(entry.paper), "in_paper": entry.in_paper}
            for name, entry in ((name, get_mechanism(name)) for name in settings.mechanisms())
            if entry.paper
        ],
    }
    if isinstance(network, UNet):
        facts["widths"] = network.widths
    match = find_match(settings, backbone, spec)
    if match:
        plain = tuple((settings.backbone or backbone).widths)
        facts |= {
            "target": match.target,
            "difference": match.difference,
            "coincides": match.widths == plain,
        }
    if settings.control == "conv1x1":
        facts |= _stand_in(facts["parameters"], settings, backbone, spec)
    write_json(study.layout.model(dataset, model), facts)
    log.info("%s on %s: %s", model, dataset, _line(facts))
    return facts


def _stand_in(
    parameters: int, control: ModelSettings, backbone: BackboneSettings, spec: NetworkSpec
) -> dict[str, Any]:
    """Size of a `conv1x1` control of so many `parameters`: whole, and without the backbone's.

    It keeps the widths and replaces the mechanisms: its target is the variant's own size.
    """
    # Shapes are enough to count by.
    with torch.device("meta"):
        variant = build_network(control.model_copy(update={"control": None}), backbone, spec)
        plain = count_parameters(build_unet(control.backbone or backbone, spec))
    target = count_parameters(variant)
    return {
        "target": target,
        "difference": parameters / target - 1,
        "mechanism_parameters": target - plain,
        "stand_in_parameters": parameters - plain,
    }


def _flops(network: nn.Module, spec: NetworkSpec) -> int:
    with watched(network):
        return count_flops(network, spec.input_shape)


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _line(facts: dict[str, Any]) -> str:
    line = f"{facts['parameters']:,} parameters, {facts['flops'] / 1e9:.3g} GFLOPs"
    if "widths" in facts:
        line += f", widths {list(facts['widths'])}"
    if "target" in facts:
        line += f", matched to {facts['target']:,} ({facts['difference']:+.2%})"
    return line
