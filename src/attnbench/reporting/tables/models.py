"""Models of the study: what they are for, where their mechanisms sit, how large they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.reporting.format import scaled
from attnbench.reporting.results import records
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.reporting.words import mechanism_label

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.models import ModelSettings

_SIZES = ("parameters", "flops")


def tabulate_models(results: Results) -> Table:
    """Show every model with the slots of its mechanisms, parameters and FLOPs per dataset."""
    frame = results.frame("cost")
    sizes = {
        (row["dataset"], row["model"]): [row[name] for name in _SIZES] for row in records(frame)
    }
    unknown = [float("nan")] * len(_SIZES)
    return Table(
        name="models",
        caption="Models: slots of the mechanisms, size and operations",
        columns=(
            *(Column(heading, "l") for heading in ("Model", "Role", "Slots")),
            *map(Column, ("Parameters", "FLOPs")),
        ),
        blocks=tuple(
            Block(
                results.dataset_label(dataset),
                tuple(
                    _row(results, model, sizes.get((dataset, model.name), unknown))
                    for model in results.study.models
                ),
            )
            for dataset in results.datasets
        ),
        notes=("FLOPs: one forward pass of one training patch.",),
        frame=frame,
    )


def _row(results: Results, model: ModelSettings, size: list[float]) -> Row:
    role = "control" if model.control else "variant"
    role = "baseline" if model.name == results.baseline else role
    return plain_row(results.label(model.name), role, _slots(model), *map(scaled, size))


def _slots(model: ModelSettings) -> str:
    if model.network:
        return "own network"
    filled = (
        f"{slot}: {', '.join(mechanism_label(placement.name) for placement in placements)}"
        for slot, placements in model.slots.items()
    )
    return "; ".join(filled) or "none"
