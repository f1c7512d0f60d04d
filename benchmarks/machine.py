"""Rates that a device reaches, measured, and the least time in which a step could run on it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

SIDE, VALUES = 2048, 2**26
_VIEWS = (
    "view",
    "detach",
    "t",
    "transpose",
    "permute",
    "expand",
    "select",
    "slice",
    "split",
    "alias",
    "empty",
)


@dataclass(frozen=True)
class Machine:
    """Highest rates of matrix products and of bytes read and written.

    Products are of single precision, on CUDA of bfloat16.
    """

    device: torch.device
    flops_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Roofline:
    """Work of a step and its floor: every operation at the rate that limits it, none fused."""

    flops: float
    bytes: float
    floor: float
    losses: str


def limits_of(device: torch.device) -> Machine:
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = torch.randn(2, SIDE, SIDE, device=device, dtype=kind)
    values = torch.randn(VALUES, device=device)
    target = torch.empty_like(values)
    product, copy = _best(lambda: left @ right, device), _best(lambda: target.copy_(values), device)
    return Machine(device, 2 * SIDE**3 / product, 2 * values.nbytes / copy)


def roofline(step: Callable[[], object], machine: Machine) -> Roofline:
    """Count one step.

    `losses` names the three operations that lose most time against their floors.
    """
    with _Counter() as counter:
        step()
    floors = {
        name: max(flops / machine.flops_per_second, size / machine.bytes_per_second)
        for name, (flops, size) in counter.work.items()
    }
    taken = _measured(step, machine.device)
    lost = sorted(
        ((taken.get(name, 0) - floor, name) for name, floor in floors.items()), reverse=True
    )[:3]
    flops, size = (sum(values) for values in zip(*counter.work.values(), strict=True))
    losses = ", ".join(
        f"{name} {1000 * taken[name]:.3g} ms (floor {1000 * floors[name]:.3g})" for _, name in lost
    )
    return Roofline(flops, size, sum(floors.values()), losses)


class _Counter(TorchDispatchMode):
    """FLOPs and bytes of every operation by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.work: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._overloadpacket.__name__
        if name not in _VIEWS:
            # By identity: an operation in place has the same tensor as argument and result.
            tensors = {id(leaf): leaf for leaf in _tensors([args, kwargs, result])}
            formula = flop_registry.get(func._overloadpacket)
            self.work[name][0] += formula(*args, **(kwargs or {}), out_val=result) if formula else 0
            self.work[name][1] += sum(tensor.nbytes for tensor in tensors.values())
        return result


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))


def _measured(step: Callable[[], object], device: torch.device, steps: int = 3) -> dict[str, float]:
    """Seconds of every operation per step, the operations that it calls included."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiled:
        for _ in range(steps):
            step()
    field = "device_time_total" if device.type == "cuda" else "cpu_time_total"
    return {
        event.key.removeprefix("aten::"): getattr(event, field) / 1e6 / steps
        for event in profiled.key_averages()
    }


def _best(work: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)
