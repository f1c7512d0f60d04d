"""Energy of a GPU, from the counter in it."""

from __future__ import annotations

import logging

import torch

log = logging.getLogger("attnbench")


def energy_used(device: torch.device) -> float | None:
    """Joules that an NVIDIA GPU has used since its driver was loaded; None without a counter.

    All its processes count; the difference of two readings is what was used in between. NVML
    (nvidia-ml-py, the extra `energy`) reads it, on GPUs since Volta.
    """
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        log.info("energy is not measured: install attnbench[energy]")
        return None
    try:
        pynvml.nvmlInit()
        # By UUID: NVML numbers all GPUs of the machine, torch only the visible ones.
        handle = pynvml.nvmlDeviceGetHandleByUUID(
            f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        )
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # from mJ
    except pynvml.NVMLError as error:
        log.info("energy is not measured: %s", error)
        return None


def energy_between(before: float | None, after: float | None) -> float | None:
    """Joules between two readings; None where one is missing."""
    return None if before is None or after is None else after - before
