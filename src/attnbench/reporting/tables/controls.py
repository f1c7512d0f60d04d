"""Every variant against its controls, each of which rules out another cause of its gain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.format import count, decimals, interval, p_value
from attnbench.reporting.results import ALL, records
from attnbench.reporting.tables.cells import block_title, exploratory, few_groups, p_cell
from attnbench.reporting.tables.facts import control_notes
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.reporting.units import groups_cell
from attnbench.reporting.words import whole_networks

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_COLUMNS = (
    *(Column(heading, "l") for heading in ("Variant", "Control")),
    *map(Column, ("Δ", "p", "p (Holm)", "p retrained", "Cases", "Groups")),
)
_RULED_OUT = {
    "gamma0": "Gamma0: the mechanism's scale held at zero.",
    "random": "Random: the mechanism's weights never trained, but for scales that start near zero.",
    "uniform": "Uniform: every position weighted alike.",
    "conv1x1": "Conv1x1: 1 × 1 convolutions of as many parameters.",
    "parameters": "Parameters: a plain U-Net of as many parameters.",
    "flops": "Flops: a plain U-Net of as many operations.",
}


def tabulate_controls(results: Results) -> Table:
    """Show the main metrics; the CSV has every metric and class."""
    frame = results.control_effects()
    compared = frame[frame["class"] == ALL]
    present = {model.control for model in results.study.models}
    return Table(
        name="controls",
        caption="Paired differences of every variant from its controls, mean over classes",
        columns=_COLUMNS,
        blocks=tuple(
            Block(
                block_title(results, frame, dataset, metric),
                tuple(_rows(results, compared, dataset, metric)),
            )
            for dataset in results.datasets
            for metric in results.metrics
        ),
        notes=(
            f"Δ: variant minus control, with {results.study.analysis.confidence:.0%} intervals "
            "over groups. p: sign-flip test over groups; Holm: corrected together with the "
            "comparisons with the baseline; retrained: corrected p when the models are trained "
            "again as well. ⁺ the variant is better, ⁻ worse than its control. Without a mark "
            "nothing is shown, neither that the control explains the gain nor that it does not.",
            exploratory(results),
            *(words for control, words in _RULED_OUT.items() if control in present),
            *(f"{note}." for note in whole_networks(results.study.models)),
            *control_notes(results),
            *few_groups(compared["difference"], compared["low"]),
            *(["No variant and control have both been scored yet."] if frame.empty else []),
        ),
        frame=frame,
    )


def _rows(results: Results, compared: pd.DataFrame, dataset: str, metric: str) -> Iterator[Row]:
    shown = (compared["dataset"] == dataset) & (compared["metric"] == metric)
    for row in records(compared[shown]):
        digits = decimals(row["unit"])
        # In these rows the control stands where other rows have the study's baseline.
        yield plain_row(
            results.label(row["model"]),
            str(results.study.model(row["baseline"]).control),
            interval(row["difference"], row["low"], row["high"], digits, sign=True),
            p_value(row["p"]),
            p_cell(row["p_holm"], row["verdict"]),
            p_cell(row["p_retrained_holm"], row["verdict_retrained"]),
            count(row["cases"]),
            groups_cell(results.study, row["dataset"], row["groups"]),
        )
