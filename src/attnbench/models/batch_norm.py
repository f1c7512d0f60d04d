"""Networks whose layers normalise a patch by those that it shares a batch with."""

from __future__ import annotations

from torch import nn

from attnbench.errors import ModelError


def refuse_batch_norm(network: nn.Module, parts: int) -> None:
    """Refuse several parts for a network whose layers normalise by the patches beside them.

    Raises:
        ModelError: with the layers.
    """
    layers = _layers(network)
    if parts > 1 and layers:
        raise ModelError(
            f"training.accumulate is {parts}, and {len(layers)} layer(s) of this network are batch "
            f"norm, the first {layers[0]!r}: they would normalise by the patches of a part instead "
            "of those of the batch, which is another training; set accumulate to 1 for it and a "
            "smaller batch or patch for all models, or take instance or group norm"
        )


def has_batch_norm(network: nn.Module) -> bool:
    """True for a network that no batch of may be taken in parts."""
    return bool(_layers(network))


def _layers(network: nn.Module) -> list[str]:
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
