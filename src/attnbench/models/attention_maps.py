"""Attention maps of a network, read by hooks while it runs.

Its weights, numbers and speed stay what they are.
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
    """Weight of every position, (B, 1, *spatial), by slot and level, in one pass of `x`.

    `x` is (B, C, *spatial). A key is a slot and its level, as in `skip0`; where a level holds
    several mechanisms with a map, their number follows, as in `decoder1.2`. Keys are those of
    `mechanisms_with_map`, in that order. Maps of coarser levels are resized linearly to the
    input. The mechanism's `attention_map` says what a weight means; mechanisms that weight
    channels alone have a `channel_map` instead and no key here, nor has an external network.
    """
    mapped = dict(mechanisms_with_map(network))
    maps: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(partial(_keep, maps, key)) for key, module in mapped.items()
    ]
    try:
        network(x)
    finally:
        # A hook left behind would compute its map again in every later pass.
        for hook in hooks:
            hook.remove()
    return {key: _on_input(maps[key], key, x) for key in mapped}


def mechanisms_with_map(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every mechanism of the network that has an attention map, behind its key."""
    for key, chain in network.slots.chains.items() if isinstance(network, UNet) else ():
        mapped = [module for module in chain.children() if hasattr(module, "attention_map")]
        for number, module in enumerate(mapped):
            yield (key if len(mapped) == 1 else f"{key}.{number}"), module


def _keep(
    maps: dict[str, Tensor],
    key: str,
    module: Any,
    arguments: tuple[Tensor, ...],
    _output: Tensor,
) -> None:
    maps[key] = module.attention_map(*arguments)


def _on_input(weights: Tensor, key: str, x: Tensor) -> Tensor:
    """A level's map on the grid of the input.

    The U-Net pads at the far ends, and so many positions are cut off again.
    """
    level = int(re.findall(r"\d+", key)[0])
    return crop(resize(weights, tuple(side * 2**level for side in weights.shape[2:])), x.shape[2:])
