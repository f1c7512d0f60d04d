"""Costs of a model: size, operations, time, memory and energy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.verdicts import MADE_ELSEWHERE
from attnbench.reporting.diverged import diverged_notes
from attnbench.reporting.format import duration, number, scaled
from attnbench.reporting.recipes import undertrained_notes
from attnbench.reporting.results import keyed
from attnbench.reporting.tables.cells import DASH
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_COLUMNS = (
    Column("Model", "l"),
    *map(
        Column,
        (
            "Parameters", "FLOPs", "Latency (ms)", "Inference (images/s)", "Training",
            "All trainings", "Training (images/s)", "Peak memory (MiB)", "Energy (kJ)",
        ),
    ),
)  # fmt: skip


def tabulate_cost(results: Results) -> Table:
    """Show size, operations, and what was measured, per dataset and model."""
    frame = results.frame("cost")
    return Table(
        name="cost",
        caption="Cost of every model",
        columns=_COLUMNS,
        blocks=tuple(_block(results, frame, dataset) for dataset in results.datasets),
        notes=(
            "FLOPs: one forward pass of one patch. Latency: inference of one patch, not mirrored; "
            "inference: of a batch; both measured alone on the machine. Training, peak memory and "
            "energy: of whole runs, median; a dash where the machine does not measure it. All "
            "trainings: the time of all runs of the study so far together"
            + (_of_trials(frame) if results.study.training.sweep else "."),
            *_machines(frame),
            *undertrained_notes(results),
            *diverged_notes(results),
            *_absent(results, frame),
        ),
        frame=frame,
    )


def _of_trials(frame: pd.DataFrame) -> str:
    trials, seconds = frame["trials"].sum(), frame["trial_seconds"].sum()
    return f", {trials:.0f} trials of the sweep ({duration(seconds)}) included."


def _block(results: Results, frame: pd.DataFrame, dataset: str) -> Block:
    costs = keyed(frame[frame["dataset"] == dataset], "model")
    rows = (
        plain_row(results.label(model), MADE_ELSEWHERE, *[DASH] * (len(_COLUMNS) - 2))
        if model in results.study.elsewhere
        else _row(results.label(model), costs.get(model))
        for model in results.models
    )
    return Block(results.dataset_label(dataset), tuple(rows))


def _row(label: str, cost: dict[str, Any] | None) -> Row:
    if cost is None:
        return plain_row(label, *[DASH] * (len(_COLUMNS) - 1))
    return plain_row(
        label,
        scaled(cost["parameters"]),
        scaled(cost["flops"]),
        number(cost["latency_seconds"] * 1000, 1),
        number(cost["inference_images_per_second"], 1),
        duration(cost["train_seconds"]),
        duration(cost["all_seconds"]),
        number(cost["images_per_second"], 1),
        number(cost["peak_memory_bytes"] / 2**20, 0),
        number(cost["energy_j"] / 1000, 1),
    )


def _machines(frame: pd.DataFrame) -> list[str]:
    devices = sorted(set(frame["device"].dropna().astype(str)))
    return [f"Measured on: {'; '.join(devices)}."] if devices else []


def _absent(results: Results, frame: pd.DataFrame) -> Iterator[str]:
    measured = frame[frame["parameters"].notna() | frame["train_seconds"].notna()]
    recorded = set(zip(measured["dataset"], measured["model"], strict=True))
    for dataset in results.datasets:
        for model in results.models:
            if (dataset, model) not in recorded and model not in results.study.elsewhere:
                label = results.dataset_label(dataset)
                yield f"{label}, {results.label(model)}: no cost recorded yet"
