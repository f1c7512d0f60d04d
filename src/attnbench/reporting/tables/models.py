"""Models of the study: their role, settings of their own, size and operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.analysis.verdicts import MADE_ELSEWHERE
from attnbench.reporting.format import NOTHING, scaled
from attnbench.reporting.results import records
from attnbench.reporting.tables.facts import control_notes, model_differences
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.models import ModelSettings

_SIZES = ("parameters", "flops")


def tabulate_models(results: Results) -> Table:
    """Show what differs from the shared backbone, parameters and FLOPs per dataset."""
    frame = results.frame("cost")
    sizes = {
        (row["dataset"], row["model"]): [row[name] for name in _SIZES] for row in records(frame)
    }
    unknown = [float("nan")] * len(_SIZES)
    return Table(
        name="models",
        caption="Models: their own settings, size and operations",
        columns=(
            *(Column(heading, "l") for heading in ("Model", "Role", "Own settings")),
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
        notes=(
            "FLOPs: one forward pass of one training patch. Settings are those that differ from "
            "the shared backbone, or of a control from its variant.",
            *control_notes(results),
        ),
        frame=frame,
    )


def _row(results: Results, model: ModelSettings, size: list[float]) -> Row:
    role = "external network" if model.is_external else "variant"
    role = "control" if model.control else role
    role = "baseline" if model.name == results.baseline else role
    role = MADE_ELSEWHERE if model.predictions else role
    own = model_differences(results.study, model) or NOTHING
    return plain_row(results.label(model.name), role, own, *map(scaled, size))
