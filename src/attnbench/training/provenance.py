"""Provenance of what is computed now: versions, device, precision and memory."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Any

import torch


def provenance(device: torch.device, autocast: torch.dtype | None) -> dict[str, Any]:
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
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "precision": str(autocast or torch.float32).removeprefix("torch."),
    }


def peak_memory(device: torch.device) -> int:
    """Largest memory in bytes: of the device on CUDA, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB, macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
