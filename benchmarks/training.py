"""Rows 1, 2 and 3: training steps against peers, against a fixed batch, and against what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from statistics import median

import torch

from benchmarks.machine import Machine, limits_of, roofline
from benchmarks.memory import peaks_of_models
from benchmarks.record import Record, compare
from benchmarks.timing import interleave
from benchmarks.works import WORKS, Contestant, Ours, Work, claimed, contest, finish, store_of, turn

ROUNDS = 5
SECONDS = 1.2
DRAIN = 10
PEERS = {"MONAI": ("benchmarks.peers.monai", "Monai"), "nnU-Net v2": ("benchmarks.peers.nnunet", "NnUNet")}


def row_1(device: str) -> Iterator[Record]:
    """Images per second with random changes; a peer's data path counts where it takes a tenth of its step."""
    with claimed(device) as where:
        for work in WORKS:
            store = store_of(work.dataset)
            if store is None:
                yield Record(1, str(work), "", None, None, "", note="not measured: no real data (ATTNBENCH_MIRROR)")
                continue
            kinds = {name: getattr(import_module(module), kind) for name, (module, kind) in PEERS.items()}
            with contest(work, store, where, {"here": Ours} | kinds) as contestants:
                yield from _compare_steps(work, contestants, where)
    yield Record(
        1, "any", "segmentation_models_pytorch", None, None, "", note=f"not run: networks only, {_why_not_smp()}"
    )


def _compare_steps(work: Work, contestants: Mapping[str, Contestant], device: torch.device) -> Iterator[Record]:
    for contestant in contestants.values():
        turn(contestant, contestant.step, DRAIN)()  # empties what workers have put aside while others were made
    count = _steps_per_turn(contestants["here"].fixed_step, device)
    turns = {}
    for name, contestant in contestants.items():
        turns[name] = turn(contestant, contestant.step, count)
        turns[f"{name}, fixed"] = turn(contestant, contestant.fixed_step, count)
    seconds = interleave(turns, ROUNDS, finish=partial(finish, device))
    images = work.batch * count
    for name in PEERS:
        share = 1 - median(seconds[f"{name}, fixed"]) / median(seconds[name])
        fixed = images / median(seconds[f"{name}, fixed"])
        goal = ">= 3" if device.type == "cuda" else ">= 1.5" if share >= 0.1 else ">= 1"
        note = f"data path takes {max(0, share):.0%} of the peer's step; {fixed:.3g} images/s on a fixed batch"
        yield compare(1, str(work), name, seconds["here"], seconds[name], goal, note, images, "images")


def row_2(device: str) -> Iterator[Record]:
    """Images per second with the sampler over those on one fixed batch."""
    with claimed(device) as where:
        for work in WORKS:
            store = store_of(work.dataset)
            if store is None:
                continue
            ours = Ours(work, store, where)
            count = _steps_per_turn(ours.fixed_step, where)
            turns = {"all": turn(ours, ours.step, count), "fixed": turn(ours, ours.fixed_step, count)}
            seconds = interleave(turns, ROUNDS, finish=partial(finish, where))
            images = work.batch * count
            yield compare(
                2, str(work), "one fixed batch", seconds["all"], seconds["fixed"], ">= 0.9", "", images, "images"
            )


def row_3(device: str) -> Iterator[Record]:
    """The U-Net's step against the machine's matrix products and copies, and memory of every model's step."""
    with claimed(device) as where:
        limits = limits_of(where)
        for work in WORKS:
            store = store_of(work.dataset)
            if store:
                yield _utilisation(work, Ours(work, store, where), limits)
    if device == "cpu":
        yield from peaks_of_models()


def _utilisation(work: Work, ours: Ours, limits: Machine) -> Record:
    seconds = interleave({"step": ours.fixed_step}, ROUNDS, finish=partial(finish, limits.device))["step"]
    roof = roofline(ours.fixed_step, limits)
    reached = roof.flops / median(seconds)
    note = (
        f"{roof.flops / 1e9:.3g} GFLOP and {roof.bytes / 1e9:.3g} GB per step; copies at "
        f"{limits.bytes_per_second / 1e9:.3g} GB/s; floor {1000 * roof.floor:.3g} ms, "
        f"measured {1000 * median(seconds):.3g} ms; {roof.losses}"
    )
    rate = [limits.flops_per_second / 1e9, reached / 1e9]
    return Record(3, str(work), "matrix product", rate[1], rate[0], "GFLOP/s", *[rate[1] / rate[0]] * 3, note=note)


def _steps_per_turn(step: Callable[[], object], device: torch.device) -> int:
    step()
    finish(device)
    started = time.perf_counter()
    step()
    finish(device)
    return max(2, round(SECONDS / (time.perf_counter() - started)))


def _why_not_smp() -> str:
    try:
        import_module("segmentation_models_pytorch")
    except (ImportError, RuntimeError) as error:
        return f"no data path or trainer; not importable beside this torch ({error})"
    return "no data path or trainer of its own"
