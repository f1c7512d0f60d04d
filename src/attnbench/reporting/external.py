"""Predictions made elsewhere in the terminal, labelled as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from attnbench.analysis.external import compare_external
from attnbench.reporting.format import decimals, interval, number
from attnbench.reporting.terminal import WIDTH
from attnbench.reporting.units import groups_in_words
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def show_external(study: Study, dataset: str, name: str, fold: int, model: str | None) -> None:
    """Print the mean of every class and metric, and with a model the paired differences.

    Args:
        study: it has the confidence and the model.
        dataset: one of the study's.
        name: of the other tool.
        fold: the outer fold that was predicted.
        model: the study's model that it is compared with.
    """
    table = compare_external(study, dataset, name, fold, model)
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    level = f"{100 * study.analysis.confidence:g} %"
    added = [model, f"{model} minus {name} [{level}]"] if model else []
    for heading in ("class", "metric", f"{name}*", *added):
        grid.add_column(heading, justify="left" if heading in ("class", "metric") else "right")
    for row in table.to_dict("records"):
        digits = decimals(row["unit"])
        cells = [row["class_name"], METRICS[row["metric"]].label, number(row["mean"], digits)]
        if model:
            difference = interval(row["difference"], row["low"], row["high"], digits, sign=True)
            cells += [number(row["mean_model"], digits), difference]
        grid.add_row(*cells)
    console = Console(highlight=False)
    console = Console(
        highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH
    )
    console.print(grid)
    cases, groups = int(table["cases"].max()), int(table["groups"].max())
    behind = groups_in_words(study, dataset, groups)
    console.print(
        f"* predictions made elsewhere; {dataset}, fold {fold}: {cases} cases, {behind}, each "
        "with equal weight; one training of it, whose luck is in no interval",
        markup=False,
    )
