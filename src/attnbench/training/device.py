"""The device of a run: chosen, claimed, and set up for speed and precision."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from attnbench.errors import AttnBenchError
from attnbench.models.layers import sound_gradients
from attnbench.study.groups import ComputeSettings
from attnbench.training.seats import gpu_seat

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # options of mallopt(3)


def choose_kind(device: str) -> str:
    """Return `cuda`, `mps` or `cpu`; `auto` takes the first that is there.

    Raises:
        AttnBenchError: a device that is asked for is absent.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(kind for kind, there in present.items() if there)
    if not present[device]:
        here = ", ".join(kind for kind, there in present.items() if there)
        raise AttnBenchError(f"compute.device: {device} is not on this machine; here: {here}")
    return device


def resolved_precision(precision: str, kind: str) -> str:
    """What `compute.precision` means on a kind of device: `float32`, `tf32` or `bfloat16`.

    Raises:
        AttnBenchError: TF32 is asked for where there is none.
    """
    if precision == "tf32" and kind != "cuda":
        raise AttnBenchError(
            f"compute.precision: tf32 is a way in which NVIDIA's GPUs multiply, and this run's "
            f"device is {kind}; say float32, or auto"
        )
    if precision == "auto":
        return "bfloat16" if kind == "cuda" else "float32"
    return precision


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The dtype of mixed precision, or None for float32 and TF32."""
    mixed = resolved_precision(precision, device.type) == "bfloat16"
    return torch.bfloat16 if mixed else None


def memory_format(ndim: int, device: torch.device) -> torch.memory_format:
    """Layout of a network of `ndim` axes: channels last where convolutions are faster so.

    On the CPU they are not: oneDNN blocks the channels itself, and norms want them apart
    (docs/performance.md).
    """
    if device.type != "cuda":
        return torch.contiguous_format
    return torch.channels_last if ndim == 2 else torch.channels_last_3d


@contextmanager
def claim_device(compute: ComputeSettings) -> Iterator[torch.device]:
    """Yield the device of this run and set up torch for it.

    Every visible GPU has `runs_per_gpu` seats, each a file lock that ends with the process; a
    run waits until one is free. On the CPU every operation is deterministic, and memory that
    tensors leave is kept for the next ones.

    Raises:
        AttnBenchError: the device is absent, or has no such precision.
    """
    torch.set_num_threads(compute.threads)
    kind = choose_kind(compute.device)
    precision = resolved_precision(compute.precision, kind)
    set_products(precision, kind)
    # Not `use_deterministic_algorithms`: it does the same and imports torch's compiler, which takes
    # as long as torch.
    torch.set_deterministic_debug_mode("error" if kind == "cpu" else "default")
    # A debugging aid that comes with it: writing every new tensor once more costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if kind != "cuda":
        _keep_freed_memory()
        on_cpu = kind == "cpu" and precision == "bfloat16"
        with sound_gradients() if on_cpu else nullcontext():
            yield torch.device(kind)
        return
    torch.backends.cudnn.benchmark = True  # pays off: all patches of a run have one shape
    with gpu_seat(compute.runs_per_gpu) as gpu:
        torch.cuda.set_device(gpu)
        yield torch.device("cuda", gpu)


def set_products(precision: str, kind: str) -> None:
    """Let a GPU's products and convolutions of float32 tensors be TF32 unless float32 is to run.

    Under bfloat16 they are few, and need not be more exact than the rest.
    """
    exact = precision == "float32" or kind != "cuda"
    torch.set_float32_matmul_precision("highest" if exact else "high")
    # Apart from products: torch lets convolutions be TF32 unless it is told otherwise.
    torch.backends.cudnn.allow_tf32 = not exact


def _keep_freed_memory() -> None:
    """Tell glibc to keep what tensors free, on Linux.

    By default it gives large blocks back, and the kernel zeroes every page of the next ones.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option:
        for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 2**26)):
            set_option(option, value)
