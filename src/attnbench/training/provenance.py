"""Provenance of what is computed now: versions, device, precision and memory."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Any

import torch

from attnbench.study.groups import ComputeSettings
from attnbench.training.device import resolved_precision
from attnbench.training.stamp import Machine


def machine_of(compute: ComputeSettings, device: torch.device) -> Machine:
    """Kind of device, precision that really runs, and torch's version: part of a run's stamp."""
    return {
        "device": device.type,
        "precision": resolved_precision(compute.precision, device.type),
        "torch": str(torch.__version__),
    }


def provenance(compute: ComputeSettings, device: torch.device) -> dict[str, Any]:
    """Versions, device, threads and precision of what is computed now."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    packages = ("attnbench", "torch", "numpy")
    return {
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        "device_name": name,
        "threads": torch.get_num_threads(),
        **machine_of(compute, device),
    }


def peak_memory(device: torch.device) -> int:
    """Largest memory in bytes: of the device on CUDA, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
