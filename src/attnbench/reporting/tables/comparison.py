"""The main result: every model's score on every dataset, and its difference from the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.second_rater import SECOND_RATER
from attnbench.reporting.diverged import diverged_notes
from attnbench.reporting.format import NOTHING, count, decimals, number
from attnbench.reporting.recipes import undertrained_notes
from attnbench.reporting.results import ALL, absent_runs, keyed, records
from attnbench.reporting.tables.cells import (
    DASH,
    against_baseline,
    best_cell,
    best_notes,
    difference_cells,
    exploratory,
    few_groups,
    legend,
    mean_interval,
    score_columns,
    unit_of,
)
from attnbench.reporting.tables.render import Block, Cell, Row, Table, plain_row
from attnbench.reporting.units import groups_cell, groups_known
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_KEYS = ["dataset", "class", "metric", "model"]
_EFFECT = [
    "difference", "difference_low", "difference_high", "p_holm", "retrained_low", "retrained_high",
    "p_retrained_holm", "verdict_retrained",
]  # fmt: skip
SECOND_RATER_NOTE = (
    "Second rater: another person's annotation scored as a model, on the cases that have one; "
    "`analysis/second_rater.csv` has the models on the same cases."
)


def join_comparison(results: Results) -> pd.DataFrame:
    """Return every mean beside the difference from the baseline.

    A row is a dataset, class, metric and model. Columns: those of `means.csv`, then `difference,
    difference_low, difference_high, p_holm` and the columns of `effects.csv` about retrained
    models, `best` (has the best mean of its dataset, class and metric) and `as_good` (not
    distinguishable from it) of `best.csv`, and `against_baseline`, the verdict on the models as
    trained.
    """
    effects = results.frame("effects").rename(
        columns={"low": "difference_low", "high": "difference_high"}
    )
    frame = results.frame("means")
    frame = frame.merge(effects[[*_KEYS, *_EFFECT, "verdict"]], on=_KEYS, how="left")
    best = results.frame("best")[[*_KEYS, "best", "as_good"]]
    frame = frame.merge(best, on=_KEYS, how="left")
    # `as_good` is NaN without a row in best.csv, or where few groups cannot tell: no mark then.
    return frame.assign(
        best=frame["best"].eq(frame["model"]),
        as_good=frame["as_good"].eq(True),
        against_baseline=against_baseline(results, frame),
    ).drop(columns="verdict")


def tabulate_comparison(results: Results) -> Table:
    """Show the main metrics over all classes beside the difference from the baseline."""
    frame, rater = join_comparison(results), _second_rater(results)
    frame = pd.concat([frame, rater]) if len(rater) else frame
    frame = frame[frame["class"] == ALL].reset_index(drop=True)
    metrics = " and ".join(METRICS[metric].label for metric in results.metrics)
    return Table(
        name="comparison",
        caption=(
            f"Comparison with {results.baseline_label} by {metrics}, mean over classes, with "
            f"{results.study.analysis.confidence:.0%} intervals"
        ),
        columns=score_columns(results),
        blocks=tuple(_block(results, frame, dataset) for dataset in results.datasets),
        notes=(
            *best_notes(results),
            *legend(results),
            *([exploratory(results)] if results.compared else []),
            *few_groups(frame["mean"], frame["low"]),
            *([SECOND_RATER_NOTE] if len(rater) else []),
            *_penalised(results),
            *_undefined(results, frame),
            *undertrained_notes(results),
            *diverged_notes(results),
            *absent_runs(results),
        ),
        frame=frame,
    )


def _second_rater(results: Results) -> pd.DataFrame:
    """Return means of the second rater, never the best of a dataset; empty without one."""
    means = results.frame("second_rater")
    return means[means["model"] == SECOND_RATER].assign(
        best=False, as_good=False, against_baseline=""
    )


def _block(results: Results, frame: pd.DataFrame, dataset: str) -> Block:
    of_dataset = frame[frame["dataset"] == dataset]
    rated = (of_dataset["model"] == SECOND_RATER).any()
    rows = [
        _row(results, model, keyed(of_dataset[of_dataset["model"] == model], "metric"))
        for model in (*results.models, *([SECOND_RATER] if rated else []))
    ]
    cases, groups = ([str(row[column]) for row in rows] for column in (-2, -1))
    known = groups_known(results.study, dataset)
    behind = f"{_span(cases, 'cases')}, {_span(groups, 'groups') if known else 'groups unknown'}"
    return Block(_title(results, frame, dataset), tuple(rows), behind)


def _title(results: Results, frame: pd.DataFrame, dataset: str) -> str:
    units = {metric: unit_of(frame, dataset, metric) for metric in results.metrics}
    stated = [f"{METRICS[metric].label} in {unit}" for metric, unit in units.items() if unit]
    label = results.dataset_label(dataset)
    return f"{label} ({', '.join(stated)})" if stated else label


def _row(results: Results, model: str, by_metric: Mapping[str, dict[str, Any]]) -> Row:
    cells: list[Cell] = []
    for metric in results.metrics:
        cells += _cells(by_metric.get(metric), brief=metric != results.metric)
    most = max(by_metric.values(), key=lambda row: row["cases"], default=None)
    behind = (NOTHING, NOTHING)
    if most:
        groups = groups_cell(results.study, most["dataset"], most["groups"])
        behind = (count(most["cases"]), groups)
    return plain_row(results.label(model), *cells, *behind)


def _cells(row: dict[str, Any] | None, brief: bool) -> tuple[Cell, Cell, Cell]:
    """Return mean, difference and p of one model and metric.

    `brief`: where there is little room, the mean has no interval.
    """
    if row is None:
        return DASH, DASH, DASH
    rated = row["model"] == SECOND_RATER
    mean = best_cell(mean_interval(row), row)
    if brief:
        text = number(row["mean"], decimals(row["unit"]))
        mean = replace(mean, narrow=Cell(text, strong=mean.strong))
    return (mean, DASH, DASH) if rated else (mean, *difference_cells(row))


def _span(counts: Sequence[str], unit: str) -> str:
    """Return the cases or groups behind a block's rows; all counts where they differ."""
    distinct = list(dict.fromkeys(text for text in counts if text != NOTHING))
    return f"{' or '.join(distinct) or 'no'} {unit}"


def _penalised(results: Results) -> Iterator[str]:
    """Yield a sentence for each main metric in which a failure has a price."""
    for metric in results.metrics:
        if METRICS[metric].prediction_empty == "diagonal":
            label = METRICS[metric].label
            yield f"{label}: where exactly one mask is empty it is the image's diagonal."


def _why(row: dict[str, Any]) -> str:
    """Return why values of a row of means are undefined."""
    numbers = row["not_a_number"]
    if not numbers:
        return "an empty mask"
    return "no number" if numbers == row["undefined"] else f"an empty mask, {numbers:.0f} no number"


def _undefined(results: Results, frame: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per dataset, model and metric with undefined values, which no mean has."""
    rows = frame[frame["metric"].isin(results.metrics) & (frame["undefined"] > 0)]
    for row in records(rows):
        yield (
            f"{results.dataset_label(row['dataset'])}, {results.label(row['model'])}: "
            f"{METRICS[row['metric']].label} undefined {row['undefined']:.0f} times ({_why(row)})"
        )
