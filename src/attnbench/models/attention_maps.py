"""Attention maps of a network, read by hooks while it runs: its weights, numbers and speed stay
what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from attnbench.models.layers import resize
from attnbench.models.unet import UNet, crop


def attention_maps(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Weight of every position by place, (B, 1, *spatial), of one pass of `x` (B, C, *spatial)
    through the network.

    A place is a slot and its level, as in `skip0`; where a level holds several mechanisms with a
    map, their number follows, as in `decoder1.2`. Places are those of `mechanisms_with_map`, in
    that order. Maps of coarser levels are resized linearly to the input. What a weight means is
    said by the mechanism's `attention_map`; mechanisms that weight channels alone have a
    `channel_map` instead and no place here, nor has a network from elsewhere.
    """
    mapped = dict(mechanisms_with_map(network))
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(partial(_keep, found, place))
        for place, module in mapped.items()
    ]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {place: _on_input(found[place], place, x) for place in mapped}


def mechanisms_with_map(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every mechanism of the network that has an attention map, and its place."""
    for place, chain in network.slots.chains.items() if isinstance(network, UNet) else ():
        mapped = [module for module in chain.children() if hasattr(module, "attention_map")]
        for number, module in enumerate(mapped):
            yield (place if len(mapped) == 1 else f"{place}.{number}"), module


def _keep(
    found: dict[str, Tensor],
    place: str,
    module: Any,
    arguments: tuple[Tensor, ...],
    _output: Tensor,
) -> None:
    found[place] = module.attention_map(*arguments)


def _on_input(weights: Tensor, place: str, x: Tensor) -> Tensor:
    """A level's map on the grid of the input: the U-Net pads at the far ends, and so many are
    cut off again.
    """
    level = int(re.findall(r"\d+", place)[0])
    return crop(resize(weights, tuple(side * 2**level for side in weights.shape[2:])), x.shape[2:])
