"""What a model costs: size, operations, time, memory and energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.format import NOTHING, duration, number, scaled
from attnbench.reporting.frames import read_frame
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_HEAD = (
    "Model", "Parameters", "FLOPs", "Latency (ms)", "Inference (images/s)", "Training", "Training (images/s)",
    "Peak memory (MiB)", "Energy (kJ)",
)  # fmt: skip


def cost(study: Study) -> Table:
    """Size, operations, and what was measured of inference and training, each per dataset and
    model.
    """
    frame = read_frame(study, "cost")
    return Table(
        name="cost",
        caption="Cost of every model",
        head=_HEAD,
        align=("l", *("r",) * (len(_HEAD) - 1)),
        blocks=tuple(
            Block(
                display_name(part.name),
                tuple(_row(study, frame, part.name, model.name) for model in study.models),
            )
            for part in study.datasets
        ),
        notes=(
            "FLOPs: one forward pass of one patch. Latency: inference of one patch; inference: of "
            "a batch; both "
            "measured alone on the machine. Training, peak memory and energy: of whole runs, "
            "median; a dash where the "
            "machine does not measure it.",
            *_machines(frame),
            *_absent(study, frame),
        ),
        frame=frame,
    )


def _row(study: Study, frame: pd.DataFrame, dataset: str, model: str) -> tuple[str, ...]:
    found = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
    if found.empty:
        return (display_name(model), *(NOTHING,) * (len(_HEAD) - 1))
    row = found.iloc[0]
    return (
        display_name(model),
        scaled(row["parameters"]),
        scaled(row["flops"]),
        number(row["latency_seconds"] * 1000, 1),
        number(row["inference_images_per_second"], 1),
        duration(row["train_seconds"]),
        number(row["images_per_second"], 1),
        number(row["peak_memory_bytes"] / 2**20, 0),
        number(row["energy_j"] / 1000, 1),
    )


def _machines(frame: pd.DataFrame) -> list[str]:
    devices = sorted(set(frame["device"].dropna().astype(str)))
    return [f"Measured on: {'; '.join(devices)}."] if devices else []


def _absent(study: Study, frame: pd.DataFrame) -> list[str]:
    measured = frame[frame["parameters"].notna() | frame["train_seconds"].notna()]
    known = set(zip(measured["dataset"], measured["model"], strict=True))
    return [
        f"{display_name(part.name)}, {display_name(model.name)}: no cost recorded yet"
        for part in study.datasets
        for model in study.models
        if (part.name, model.name) not in known
    ]
