"""Peak memory of a training step of every model, beside the plain U-Net's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from attnbench.models.build import build_network
from attnbench.models.listing import axes_of
from attnbench.models.names import model_names, named_model
from attnbench.models.spec import NetworkSpec
from attnbench.study.groups import TrainingSettings
from attnbench.study.models import BackboneSettings, ModelSettings
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.optimiser import make_optimiser
from benchmarks.record import Record
from benchmarks.timing import alone

INPUTS = {2: (4, 1, 128, 128), 3: (2, 1, 32, 32, 32)}


def peaks_of_models() -> Iterator[Record]:
    """One record per model and number of axes; Linux only, as it asks the kernel."""
    if not Path("/proc/self/clear_refs").exists():
        return
    for ndim, shape in INPUTS.items():
        peaks = alone("benchmarks.memory:peaks", ndim)
        plain = peaks["unet"] / 1e6
        for model, peak in peaks.items():
            work = f"peak memory of a step, {model}, {' x '.join(map(str, shape))}"
            yield Record(3, work, "unet", peak / 1e6, plain, "MB", *[peak / 1e6 / plain] * 3)


def peaks(ndim: int) -> dict[str, int]:
    """Peak memory of a step by model, in bytes beyond what the process had before.

    Weights are included.
    """
    torch.set_num_threads(1)
    models = [named_model(name) for name in model_names()]
    return {model.name: _peak_of_step(model, ndim) for model in models if ndim in axes_of(model)}


def _peak_of_step(model: ModelSettings, ndim: int) -> int:
    shape = INPUTS[ndim]
    images, masks = torch.randn(shape), torch.randint(2, (shape[0], *shape[2:]))

    def make_and_train() -> None:
        network = build_network(model, BackboneSettings(), NetworkSpec(ndim, 1, 2, shape[2:]))
        optimiser = make_optimiser(network, TrainingSettings(), images.device)
        loss = loss_of(TrainingSettings().loss)
        take_step(network.train(), images, masks, loss, optimiser, None)

    make_and_train()  # what the libraries keep for good is no part of a model
    return peak_bytes(make_and_train)


def peak_bytes(work: Callable[[], object]) -> int:
    """Largest resident memory during `work` beyond that before it, in bytes."""
    # Freed memory goes back to the kernel first: reused pages would not count as growth.
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    work()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise KeyError(field)
