"""Seconds and peak memory of a model's inference and training step, on the device of the runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from attnbench.data.store import CaseStore
from attnbench.files import write_json
from attnbench.models.spec import NetworkSpec
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.device import autocast_type, claim_device, memory_format
from attnbench.training.fits import advice_on_training
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.memory import naming_memory
from attnbench.training.optimiser import make_optimiser
from attnbench.training.provenance import provenance
from attnbench.training.run import network_for

FEWEST, MOST, SECONDS = 3, 50, 0.6
Work = Callable[[], object]
log = logging.getLogger("attnbench")


def measure_model(study: Study, dataset: str, model: str) -> dict[str, Any]:
    """Time one model on random patches of the study's size; write and return the figures.

    Inference of one patch and of a batch, and a training step, are timed in turn in many rounds,
    so that a slower moment of the machine meets all three; the figure is the median, and every
    time is kept (docs/files.md). The first call of each is not timed: it is the one whose peak
    memory is read, on CUDA.
    """
    store = CaseStore.open(study.layout.prepared(dataset))
    spec = NetworkSpec.of(store.info, study.patch(dataset, store.info.ndim))
    training = study.training_of(dataset, model)
    batch = training.batch
    with claim_device(study.compute) as device:
        advice = partial(advice_on_training, study, model, spec, training, device)
        with naming_memory(f"measuring {model} on {dataset}", device, advice):
            seconds, peaks = _timed(study, Run(dataset, model, 0, study.seeds[0]), store, device)
        facts = provenance(study.compute, device)
    medians = {name: median(times) for name, times in seconds.items()}
    facts = {
        "dataset": dataset,
        "model": model,
        "batch": batch,
        "input": [spec.in_channels, *spec.patch],
        **facts,
        **{f"{name}_seconds": value for name, value in medians.items()},
        **{f"{name}_images_per_second": batch / medians[name] for name in ("inference", "step")},
        **peaks,
        "rounds": len(seconds["step"]),
        "seconds": seconds,
    }
    write_json(study.layout.measured(dataset, model), facts)
    log.info("%s on %s: %s", model, dataset, _line(facts))
    return facts


def _timed(
    study: Study, run: Run, store: CaseStore, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, int | None]]:
    """Seconds of every call of the three works, and the peak memory of the first calls."""
    spec = NetworkSpec.of(store.info, study.patch(run.dataset, store.info.ndim))
    training = study.training_of(run.dataset, run.model)
    autocast = autocast_type(study.compute.precision, device)
    layout = memory_format(spec.ndim, device)
    network = network_for(study, run, store)
    network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(training.batch, spec.in_channels, *spec.patch, device=device).contiguous(
        memory_format=layout
    )
    masks = torch.randint(spec.classes, (training.batch, *spec.patch), device=device)
    loss, optimiser = loss_of(training.loss), make_optimiser(network, training, device)
    works: dict[str, Work] = {
        "latency": lambda: _infer(network, images[:1], autocast),
        "inference": lambda: _infer(network, images, autocast),
        "step": lambda: take_step(
            network.train(), images, masks, loss, optimiser, autocast, training.accumulate
        ),
    }
    peaks = {f"{name}_peak_bytes": _peak_of(work, device) for name, work in works.items()}
    return time_in_turn(works, device), peaks


def time_in_turn(works: Mapping[str, Work], device: torch.device) -> dict[str, list[float]]:
    """Seconds of every call of every work, one call of each per round.

    There are at least 3 rounds, and no more after 0.6 seconds or 50 rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    ends = time.perf_counter() + SECONDS
    for done in range(MOST):
        if done >= FEWEST and time.perf_counter() > ends:
            break
        for name, work in works.items():
            started = _now(device)
            work()
            seconds[name].append(_now(device) - started)
    return seconds


def _infer(network: nn.Module, images: torch.Tensor, autocast: torch.dtype | None) -> None:
    network.eval()
    with (
        torch.no_grad(),
        torch.autocast(images.device.type, autocast, enabled=autocast is not None),
    ):
        network(images)


def _now(device: torch.device) -> float:
    """Read the clock once the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def _peak_of(work: Work, device: torch.device) -> int | None:
    """Call `work`; bytes that tensors take at most meanwhile, weights included, None off CUDA."""
    if device.type != "cuda":
        work()
        return None
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device)


def _line(facts: Mapping[str, Any]) -> str:
    return (
        f"{1000 * facts['latency_seconds']:.3g} ms for one image, batch of {facts['batch']}: "
        f"{facts['inference_images_per_second']:.3g} images/s, training "
        f"{facts['step_images_per_second']:.3g} images/s"
    )
