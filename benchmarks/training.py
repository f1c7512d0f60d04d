"""Rows 1, 2 and 3: training steps against peers, a fixed batch and the machine's limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from statistics import median

from benchmarks.machine import Machine, limits_of, roofline
from benchmarks.memory import peaks_of_models
from benchmarks.record import Record, compare
from benchmarks.timing import interleave
from benchmarks.works import WORKS, Ours, Seat, Work, claimed, finish, seats, steps, store_of

ROUNDS = 5
SECONDS = 1.2
DRAIN = 10
STEPS = ("step", "fixed_step")
HERE = ("benchmarks.works", "Ours")
PEERS = {
    "MONAI": ("benchmarks.peers.monai", "Monai"),
    "nnU-Net v2": ("benchmarks.peers.nnunet", "NnUNet"),
}


def row_1(device: str) -> Iterator[Record]:
    """Images per second with random changes, beside every peer.

    A peer's data path counts where it takes a tenth of its step.
    """
    for work in WORKS:
        if store_of(work.dataset) is None:
            yield Record(
                1,
                str(work),
                "",
                None,
                None,
                "",
                note="not measured: no real data (ATTNBENCH_MIRROR)",
            )
            continue
        with seats(work, device, {"here": HERE} | PEERS) as seat:
            yield from _compare_steps(work, device, seat)
    note = f"not run: networks only, {_why_not_smp()}"
    yield Record(1, "any", "segmentation_models_pytorch", None, None, "", note=note)


def _compare_steps(work: Work, device: str, seat: Mapping[str, Seat]) -> Iterator[Record]:
    for one in seat.values():
        one.take("step", DRAIN)  # empties what workers had put aside
    count = _steps_per_turn(lambda: seat["here"].take("fixed_step", 1))
    turns = {
        (name, step): partial(one.take, step, count) for name, one in seat.items() for step in STEPS
    }
    seconds = interleave(turns, ROUNDS)
    images = work.batch * count
    for name in PEERS:
        whole, fixed = (median(seconds[name, step]) for step in STEPS)
        share = max(0, 1 - fixed / whole)
        goal = ">= 3" if device == "cuda" else ">= 1.5" if share >= 0.1 else ">= 1"
        note = (
            f"data path takes {share:.0%} of the peer's step; "
            f"{images / fixed:.3g} images/s on a fixed batch"
        )
        times = seconds["here", "step"], seconds[name, "step"]
        yield compare(1, str(work), name, *times, goal, note, images, "images")


def row_2(device: str) -> Iterator[Record]:
    """Images per second with the sampler over those on one fixed batch."""
    with claimed(device) as where:
        for work in WORKS:
            store = store_of(work.dataset)
            if store is None:
                continue
            ours = Ours(work, store, where)
            count = _steps_per_turn(partial(steps, ours, "fixed_step", 1, where))
            turns = {step: partial(steps, ours, step, count, where) for step in STEPS}
            times = interleave(turns, ROUNDS).values()
            yield compare(
                2, str(work), "one fixed batch", *times, ">= 0.9", "", work.batch * count, "images"
            )


def row_3(device: str) -> Iterator[Record]:
    """The U-Net's step beside the machine's limits, and the memory of every model's step."""
    with claimed(device) as where:
        limits = limits_of(where)
        for work in WORKS:
            store = store_of(work.dataset)
            if store:
                yield _utilisation(work, Ours(work, store, where), limits)
    if device == "cpu":
        yield from peaks_of_models()


def _utilisation(work: Work, ours: Ours, limits: Machine) -> Record:
    seconds = interleave({"step": ours.fixed_step}, ROUNDS, finish=partial(finish, limits.device))[
        "step"
    ]
    roof = roofline(ours.fixed_step, limits)
    reached = roof.flops / median(seconds)
    note = (
        f"{roof.flops / 1e9:.3g} GFLOP and {roof.bytes / 1e9:.3g} GB per step; copies at "
        f"{limits.bytes_per_second / 1e9:.3g} GB/s; floor {1000 * roof.floor:.3g} ms, "
        f"measured {1000 * median(seconds):.3g} ms; {roof.losses}"
    )
    rate = [limits.flops_per_second / 1e9, reached / 1e9]
    return Record(
        3,
        str(work),
        "matrix product",
        rate[1],
        rate[0],
        "GFLOP/s",
        *[rate[1] / rate[0]] * 3,
        note=note,
    )


def _steps_per_turn(step: Callable[[], object]) -> int:
    step()
    started = time.perf_counter()
    step()
    return max(2, round(SECONDS / (time.perf_counter() - started)))


def _why_not_smp() -> str:
    try:
        import_module("segmentation_models_pytorch")
    except (ImportError, RuntimeError) as error:
        return f"no data path or trainer; not importable beside this torch ({error})"
    return "no data path or trainer of its own"
