"""Size and cost of a network, found without computing: on the meta device, or with fake tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_flops(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Floating-point operations of one forward pass on an input of `shape` (B, C, *spatial).

    A multiplication and an addition count as two. Convolutions, matrix products and attention
    are counted (torch.utils.flop_counter), and the selective scan (`attention/_scan.py`);
    normalisation, activation and interpolation are not.
    """
    counter, was_training = _FlopCounter(), network.training
    # Copies by name on the meta device: the network's own tensors stay where they are.
    values = {name: value.to("meta") for name, value in _tensors(network)}
    with torch.device("meta"), torch.no_grad(), _without_normalisation(network), counter:
        functional_call(network.eval(), values, torch.empty(shape))
    network.train(was_training)
    return counter.flops


class _FlopCounter(TorchDispatchMode):
    """Sum of torch's formulas over the operations that have one.

    Torch's own counter also tracks every module.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


@contextmanager
def _without_normalisation(network: nn.Module) -> Iterator[None]:
    """Let normalisation pass its input on.

    It is not counted, and takes most of the time on the meta device.
    """
    layers = [module for module in network.modules() if isinstance(module, _NORMS)]
    for layer in layers:
        # On the instance: deleting it brings the class's own back.
        layer.forward = nn.Identity().forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def count_activation_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes that the forward pass of a training step keeps for the backward pass.

    In single precision; every tensor that automatic differentiation saves is counted once per
    storage, parameters are not. This is what the network needs beside its weights, before an
    allocator rounds it up and before the backward pass frees it.
    """
    try:
        return _saved_bytes(network, shape)
    except ValueError:
        # Batch normalisation of pooled features refuses a single value: half of what two keep.
        return _saved_bytes(network, (2 * shape[0], *shape[1:])) // 2


def _saved_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        # The address of the storage: views of one tensor keep the same bytes.
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    was_training = network.training
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        values: dict[str, Any] = {
            name: mode.from_tensor(value)
            for name, value in network.state_dict(keep_vars=True).items()
        }
        # Saved too, but in memory already without a backward pass.
        own = {value.untyped_storage()._cdata for value in values.values()}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = functional_call(network.train(), values, torch.empty(shape))
    network.train(was_training)
    del outputs
    return sum(tensor.untyped_storage().nbytes() for key, tensor in saved.items() if key not in own)


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, those that are not saved with the weights too."""
    yield from network.named_parameters()
    yield from network.named_buffers()
