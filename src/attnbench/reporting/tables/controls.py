"""Every variant against its controls: whether another explanation does for what it gains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reporting.format import count, decimals, interval, p_value
from attnbench.reporting.frames import read_controls, records
from attnbench.reporting.tables.cells import ALL, VERDICTS, block_title, few_groups
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import main_metrics

if TYPE_CHECKING:
    from attnbench.study.settings import Study

_HEAD = ("Variant", "Control", "Δ", "p", "p (Holm)", "p retrained", "Cases", "Groups")
_RULED_OUT = {
    "identity": "identity: the plain U-Net in its place",
    "gamma0": "gamma0: the mechanism's scale held at zero",
    "random": "random: the mechanism's weights never trained",
    "uniform": "uniform: every position weighted alike",
    "conv1x1": "conv1x1: 1 × 1 convolutions of as many parameters",
    "parameters": "parameters: a plain U-Net of as many parameters",
    "flops": "flops: a plain U-Net of as many operations",
}


def controls(study: Study) -> Table:
    """Differences of every variant from its controls in the main metrics; the CSV has every
    metric and class.
    """
    frame = read_controls(study)
    compared = frame[frame["class"] == ALL]
    asked = {part.control for part in study.models if part.control}
    return Table(
        name="controls",
        caption="Paired differences of every variant from its controls, mean over classes",
        head=_HEAD,
        align=("l", "l", *("r",) * (len(_HEAD) - 2)),
        blocks=tuple(
            Block(block_title(frame, part.name, metric), tuple(_rows(compared, part.name, metric)))
            for part in study.datasets
            for metric in main_metrics(study.metrics)
        ),
        notes=(
            f"Δ: variant minus control, with {study.analysis.confidence:.0%} bootstrap intervals "
            "over groups. p: "
            "Wilcoxon signed-rank test over groups; Holm: corrected together with the comparisons "
            "with the baseline; "
            "retrained: corrected p when the models are trained again as well. ⁺ the variant is "
            "better, ⁻ worse than "
            "its control.",
            *(
                f"{words[0].upper()}{words[1:]}."
                for control, words in _RULED_OUT.items()
                if control in asked
            ),
            *few_groups(compared["difference"], compared["low"]),
            *(["No variant and control have both been scored yet."] if frame.empty else []),
        ),
        frame=frame,
    )


def _rows(compared: pd.DataFrame, dataset: str, metric: str) -> list[tuple[str, ...]]:
    return [
        (
            display_name(row["model"]),
            row["baseline"].removeprefix(f"{row['model']}-"),
            interval(row["difference"], row["low"], row["high"], decimals(row["unit"]), sign=True),
            p_value(row["p"]),
            p_value(row["p_holm"]) + VERDICTS.get(row["verdict"], ""),
            p_value(row["p_retrained_holm"]) + VERDICTS.get(row["verdict_retrained"], ""),
            count(row["cases"]),
            count(row["groups"]),
        )
        for row in records(
            compared[(compared["dataset"] == dataset) & (compared["metric"] == metric)]
        )
    ]
