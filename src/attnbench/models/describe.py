"""Size and cost of a network, found without computing: on the meta device."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attnbench.data.store import CaseStore
from attnbench.files import write_json
from attnbench.models.build import build_network
from attnbench.study import Study


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Floating-point operations of one forward pass on an input of `shape` (B, C, *spatial).

    A multiplication and an addition count as two. Convolutions, matrix products and attention are counted;
    normalisation, activation and interpolation are not (torch.utils.flop_counter).
    """
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        network.to("meta").eval()(torch.empty(shape))
    return counter.get_total_flops()


def describe_model(study: Study, dataset: str, model: str) -> dict[str, Any]:
    """Build one model for one dataset, write and return its size and cost per training patch."""
    info = CaseStore.open(study.layout.prepared(dataset)).info
    network = build_network(study.model(model), study.backbone, info.ndim, info.channels, len(info.classes) + 1)
    shape = (info.channels, *study.patch(dataset, info.ndim))
    facts = {
        "dataset": dataset,
        "model": model,
        "parameters": count_parameters(network),
        "flops": count_flops(network, (1, *shape)),
        "input": list(shape),
    }
    write_json(study.layout.model(dataset, model), facts)
    return facts
