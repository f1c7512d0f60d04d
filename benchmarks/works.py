"""Data, networks and training steps of rows 1, 2, 3 and 10, the same for everybody."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Protocol

import numpy as np
import torch
from torch import nn

from attnbench.catalog import load_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.normalise import Normalisation
from attnbench.data.prepare import prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.models.spec import NetworkSpec
from attnbench.models.unet import UNet
from attnbench.study.groups import (
    AugmentationSettings,
    ComputeSettings,
    DatasetSettings,
    TrainingSettings,
)
from attnbench.training.device import autocast_type, claim_device, memory_format
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.optimiser import make_optimiser
from attnbench.training.plan import Planner
from attnbench.training.sampler import CasePool, batches
from benchmarks.timing import ROOT

DATA = ROOT / "results" / "bench" / "data"


@dataclass(frozen=True)
class Work:
    """One training: a dataset, its patches and the channels per level of a plain U-Net."""

    dataset: str
    patch: tuple[int, ...]
    batch: int
    widths: tuple[int, ...]

    def __str__(self) -> str:
        patch = " x ".join(map(str, self.patch))
        return f"{self.dataset}, {patch}, batch {self.batch}, widths {self.widths}"


WORKS = (
    Work("phantom2d", (80, 80), 4, (8, 16, 32, 64)),
    Work("phantom3d", (24, 24, 16), 4, (8, 16, 32, 64)),
    Work("hippocampus", (32, 48, 32), 2, (16, 32, 64, 128)),
    Work("nuclei_dsb2018", (256, 256), 4, (16, 32, 64, 128)),
)


class Contestant(Protocol):
    """Somebody who trains, on augmented data or a fixed batch, with worker processes or not."""

    def step(self) -> object: ...
    def fixed_step(self) -> object: ...
    def workers(self) -> Sequence[int]: ...
    def close(self) -> None: ...


def store_of(dataset: str) -> CaseStore | None:
    """Open the prepared cases, prepared first if need be.

    None for real data that is neither there nor on a mirror (ATTNBENCH_MIRROR).
    """
    folder, raw = DATA / "prepared" / dataset, DATA / "raw" / dataset
    if not folder.exists():
        entry = load_entry(dataset)
        if not dataset.startswith("phantom") and not os.environ.get("ATTNBENCH_MIRROR"):
            return None
        fetch_dataset(entry, raw)
        prepare_dataset(entry, DatasetSettings(name=dataset), raw, folder)
    return CaseStore.open(folder)


@contextmanager
def claimed(device: str) -> Iterator[torch.device]:
    """A device set up as for a run, with a thread for every core."""
    with claim_device(
        ComputeSettings(device=device, threads=os.cpu_count() or 1)
    ) as claimed_device:
        yield claimed_device


def unet(work: Work, store: CaseStore, device: torch.device) -> nn.Module:
    spec = NetworkSpec.of(store.info, work.patch)
    network = UNet(spec.ndim, spec.in_channels, spec.classes, work.widths)
    return network.to(device).to(memory_format=memory_format(spec.ndim, device))


class Ours:
    """This project: its sampler and its step."""

    def __init__(self, work: Work, store: CaseStore, device: torch.device) -> None:
        indices, settings = range(len(store)), TrainingSettings()
        rng = np.random.default_rng(0)
        planner = Planner(
            store,
            indices,
            work.patch,
            settings.foreground,
            rng,
            AugmentationSettings(),
            range(len(work.patch)),
        )
        pool = CasePool(store, indices, device, Normalisation("z_score"))
        noise = torch.Generator(pool.device).manual_seed(0)
        self.batches = batches(pool, planner, 10**9, work.batch, device, noise)
        self.network = unet(work, store, device).train()
        self.loss = loss_of(settings.loss)
        self.optimiser = make_optimiser(self.network, settings, device)
        self.autocast = autocast_type("auto", device)
        self.fixed = next(self.batches)

    def step(self) -> object:
        batch = next(self.batches)
        return take_step(self.network, *batch, self.loss, self.optimiser, self.autocast)

    def fixed_step(self) -> object:
        return take_step(self.network, *self.fixed, self.loss, self.optimiser, self.autocast)

    def workers(self) -> Sequence[int]:
        return ()

    def close(self) -> None:
        pass


class Seat:
    """A contestant in a process of its own, with the settings that it makes there.

    It stands still out of its turn.
    """

    def __init__(self, module: str, kind: str, work: Work, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_sit, args=(end, module, kind, work, device))
        self.process.start()
        end.close()
        self.pipe.recv()

    def take(self, step: str, count: int) -> None:
        """`count` steps, `step` or `fixed_step`."""
        self.pipe.send((step, count))
        self.pipe.recv()

    def leave(self) -> None:
        self.pipe.send(None)
        self.process.join()


@contextmanager
def seats(
    work: Work, device: str, kinds: Mapping[str, tuple[str, str]]
) -> Iterator[dict[str, Seat]]:
    """A seat for every contestant, each named with its module and class."""
    taken: dict[str, Seat] = {}
    try:
        for name, (module, kind) in kinds.items():
            taken[name] = Seat(module, kind, work, device)
        yield taken
    finally:
        for seat in taken.values():
            seat.leave()


def _sit(pipe: Connection, module: str, kind: str, work: Work, device: str) -> None:
    store = store_of(work.dataset)
    with claimed(device) if kind == Ours.__name__ else nullcontext(torch.device(device)) as where:
        contestant: Contestant = getattr(import_module(module), kind)(work, store, where)
        _signal(contestant, signal.SIGSTOP)
        pipe.send("ready")
        while order := pipe.recv():
            _signal(contestant, signal.SIGCONT)
            steps(contestant, *order, where)
            _signal(contestant, signal.SIGSTOP)
            pipe.send("done")
        _signal(contestant, signal.SIGCONT)
        contestant.close()


def steps(contestant: Contestant, step: str, count: int, device: torch.device) -> None:
    """Take `count` steps to their end.

    Args:
        contestant: who takes them.
        step: `step` or `fixed_step`.
        count: number of steps.
        device: waited for at the end.
    """
    for _ in range(count):
        getattr(contestant, step)()
    finish(device)


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _signal(contestant: Contestant, number: int) -> None:
    for worker in contestant.workers():
        os.kill(worker, number)
