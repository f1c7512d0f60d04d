"""Predictions made elsewhere in the terminal, labelled as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from attnbench.analysis.external import compare_fold
from attnbench.reporting.format import decimals, interval, number
from attnbench.reporting.terminal import WIDTH
from attnbench.reporting.units import groups_in_words
from attnbench.reporting.words import ELSEWHERE, model_label
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study


def show_fold(study: Study, run: Run) -> None:
    """Print the mean of every class and metric of one fold that was predicted elsewhere.

    As far as the baseline is scored there, also its means and the paired differences from it.
    """
    table, model = compare_fold(study, run), study.model(run.model)
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    level = f"{100 * study.analysis.confidence:g} %"
    label, baseline = model_label(model), model_label(study.model(study.baseline))
    compared = table["mean_baseline"].notna().any()
    added = [baseline, f"{label} minus {baseline} [{level}]"] if compared else []
    for heading in ("class", "metric", label, *added):
        grid.add_column(heading, justify="left" if heading in ("class", "metric") else "right")
    for row in table.to_dict("records"):
        digits = decimals(row["unit"])
        cells = [row["class_name"], METRICS[row["metric"]].label, number(row["mean"], digits)]
        if compared:
            difference = interval(row["difference"], row["low"], row["high"], digits, sign=True)
            cells += [number(row["mean_baseline"], digits), difference]
        grid.add_row(*cells)
    console = Console(highlight=False)
    console = Console(
        highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH
    )
    console.print(grid)
    cases, groups = int(table["cases"].max()), int(table["groups"].max())
    behind = groups_in_words(study, run.dataset, groups)
    origin = model.predictions.origin if model.predictions else ""
    console.print(
        f"{ELSEWHERE} predictions made elsewhere: {origin}; {run.dataset}, fold {run.fold}: "
        f"{cases} cases, {behind}, each with equal weight; as trained only; no difference where "
        "the two failed on different cases",
        markup=False,
    )
