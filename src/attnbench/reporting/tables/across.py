"""The primary differences across retrainings and datasets, by methods that ask for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.reporting.format import NOTHING, decimals, interval, number, p_value
from attnbench.reporting.results import records
from attnbench.reporting.tables.cells import shares
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_METHODS = {
    "mixed": "mixed model",
    "datasets": "t over datasets",
    "signed_rank": "Bayesian signed rank",
}
_SPREAD = ("sd_dataset", "sd_fold", "sd_run", "sd_group", "sd_rest")
_COLUMNS = (
    *(Column(heading, "l") for heading in ("Model", "Method")),
    *map(Column, ("Δ", "p", "Better / equal / worse", "Spread", "Runs")),
)


def tabulate_across(results: Results) -> Table:
    """Show mixed models of every dataset, and what holds across them."""
    frame = results.frame("across")
    return Table(
        name="across",
        caption=f"Differences in {METRICS[results.study.primary[0]].label}, mean over classes, "
        "across retrainings and datasets",
        columns=_COLUMNS,
        blocks=tuple(
            Block(
                results.dataset_label(dataset),
                tuple(_row(results, row) for row in records(frame[frame["dataset"] == dataset])),
            )
            for dataset in dict.fromkeys(frame["dataset"])
        ),
        notes=(
            "Mixed model: groups and trainings as random effects, all of which are kept. Spread: "
            "standard deviations of dataset, fold, training and group, and the rest, a dash where "
            "the data cannot tell it from the others. Better / equal / worse: probabilities of the "
            f"Bayesian signed-rank test, equal within {results.study.analysis.margin:g}. "
            "Exploratory.",
            *(f"{reason.capitalize()}." for reason in dict.fromkeys(frame["note"].dropna())),
        ),
        frame=frame,
    )


def _row(results: Results, row: dict[str, Any]) -> Row:
    digits = decimals(row["unit"])
    spread = [number(row[name], digits) for name in _SPREAD]
    return plain_row(
        results.label(row["model"]),
        _METHODS[row["method"]],
        interval(row["difference"], row["low"], row["high"], digits, sign=True),
        p_value(row["p"]),
        shares(row),
        NOTHING if set(spread) == {NOTHING} else " / ".join(spread),
        str(row["runs"]),
    )
