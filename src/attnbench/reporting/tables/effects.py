"""Every paired difference from the baseline, with its test and what stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.format import count, decimals, interval
from attnbench.reporting.results import ALL, keyed, records
from attnbench.reporting.tables.cells import (
    DASH,
    against_baseline,
    block_title,
    exploratory,
    few_groups,
    legend,
    p_cell,
)
from attnbench.reporting.tables.render import Block, Column, Row, Table, plain_row
from attnbench.reporting.units import groups_cell
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_COLUMNS = (
    Column("Model", "l"),
    *map(
        Column,
        (
            "Δ", "Δ where present", "p (Holm)", "p retrained", "Missed (baseline)",
            "False alarms (baseline)", "Lost",
            "Cases", "Groups",
        ),
    ),
)  # fmt: skip


def tabulate_effects(results: Results) -> Table:
    """Show the main metrics; the CSV has every metric and class."""
    frame = results.frame("effects")
    frame = frame.assign(against_baseline=against_baseline(results, frame))
    return Table(
        name="effects",
        caption=f"Paired differences from {results.baseline_label}, mean over classes",
        columns=_COLUMNS,
        blocks=tuple(
            _block(results, frame, dataset, metric)
            for dataset in results.datasets
            for metric in results.metrics
        ),
        notes=(
            *legend(results),
            "p retrained: Holm-corrected p when the models are trained again as well (corrected "
            "resampled t test over folds); a dash below five folds. Δ where present: over the "
            "cases whose reference has the class.",
            "Missed: score rows (case, class, run) in which the class is present and nothing was "
            "predicted, of the model (of the baseline); False alarms: in which it is absent and "
            "something was; Lost: left out of the pairs, undefined for one of the two.",
            exploratory(results),
            "The CSV beside this table has every metric and every class.",
            *few_groups(frame["difference"], frame["low"]),
            *_notes(results, frame),
        ),
        frame=frame,
    )


def _block(results: Results, frame: pd.DataFrame, dataset: str, metric: str) -> Block:
    title = block_title(results, frame, dataset, metric)
    whole = frame["class"] == ALL
    shown = frame[whole & (frame["dataset"] == dataset) & (frame["metric"] == metric)]
    effects = keyed(shown, "model")
    rows = (_row(results, model, effects.get(model)) for model in results.compared)
    return Block(title, tuple(rows))


def _row(results: Results, model: str, effect: dict[str, Any] | None) -> Row:
    label = results.label(model)
    if effect is None:
        return plain_row(label, *[DASH] * (len(_COLUMNS) - 1))
    limits = effect["low"], effect["high"]
    digits = decimals(effect["unit"])
    present = effect["low_present"], effect["high_present"]
    return plain_row(
        label,
        interval(effect["difference"], *limits, digits, sign=True),
        interval(effect["difference_present"], *present, digits, sign=True),
        p_cell(effect["p_holm"], effect["verdict"]),
        p_cell(effect["p_retrained_holm"], effect["verdict_retrained"]),
        *(
            f"{count(effect[name])} ({count(effect[f'{name}_baseline'])})"
            for name in ("failures", "false_alarms")
        ),
        count(effect["lost_rows"]),
        count(effect["cases"]),
        groups_cell(results.study, effect["dataset"], effect["groups"]),
    )


def _notes(results: Results, frame: pd.DataFrame) -> list[str]:
    main = (frame["class"] == ALL) & frame["metric"].isin(results.metrics)
    notes = [
        f"{results.dataset_label(row['dataset'])}, {results.label(row['model'])}, "
        f"{METRICS[row['metric']].label}: "
        f"{row['dropped']:.0f} cases left out of the pairs (undefined for one of the two)"
        for row in records(frame[main & (frame["dropped"] > 0)])
    ]
    if not results.compared:
        return ["The study has the baseline alone: there is nothing to compare.", *notes]
    return ["No effect has been computed yet.", *notes] if frame.empty else notes
