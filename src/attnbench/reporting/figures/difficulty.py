"""Difficulty: a model's benefit over the baseline against a measure of how hard a case is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attnbench.analysis.case_values import case_gains
from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    coloured,
    draw_message,
    draw_model_legend,
    legend_mm,
    make_grid,
    write_message,
)
from attnbench.reporting.figures.forest import draw_forest
from attnbench.reporting.results import records
from attnbench.reporting.style import NEUTRAL, OTHERS
from attnbench.reporting.words import display_measure
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle

_PREFIX = "difficulty_"
_SHOWN = 3
_FIRST = ("contrast_to_noise", "clutter", "boundary_sharpness")
_POINTS_UP_TO = 6
_UNMEASURED = "no score of a case of measured difficulty yet"
_COLUMNS = [
    "dataset", "model", "measure", "known_truth", "shown", "case", "group", "difficulty", "gain",
    "low", "high",
]  # fmt: skip


def draw_difficulty(results: Results) -> Drawn:
    """Draw one row per dataset, one column per measure: a point per case, a line through thirds.

    Phantoms show their known truths, other datasets three measures of image and reference; all
    measures are in `difficulty_slopes`.
    """
    frame, page, styles = difficulty_frame(results), results.page, _variants(results)
    if frame.empty:
        return draw_message(page, _nothing(results), frame)
    legend = legend_mm(len(styles) + 1, page.double)
    count = len(results.datasets) * _SHOWN
    figure, panels = make_grid(page, count, 45, extra_mm=legend, columns=_SHOWN)
    for row, (title, own) in enumerate(by_dataset(results, frame)):
        measures = list(dict.fromkeys(own["measure"]))
        for column, axes in enumerate(panels[_SHOWN * row : _SHOWN * (row + 1)]):
            axes.set_title(title if column == 0 else " ")
            if column >= len(measures):
                write_message(axes, "no further measure" if measures else _UNMEASURED)
                continue
            rows = own[own["measure"] == measures[column]]
            _panel(axes, rows, styles)
            axes.set_xlabel(display_measure(measures[column], bool(rows["known_truth"].iloc[0])))
            axes.set_ylabel(f"Gain in {METRICS[results.metric].label}" if column == 0 else "")
    figure.align_ylabels()
    others = len(results.compared) - len(styles)
    draw_model_legend(figure, styles.values(), lines=True, others=others)
    return Drawn(figure, frame)


def draw_difficulty_slopes(results: Results) -> Drawn:
    """Draw a forest: change of the benefit per standard deviation of every measure."""
    frame = results.whole("difficulty")
    if frame.empty:
        return draw_message(results.page, _nothing(results), frame)
    names = [display_measure(row["measure"], bool(row["known_truth"])) for row in records(frame)]
    # A claim needs both scales and retraining: nothing else is filled.
    named = frame.assign(
        row=np.array(names, dtype=object), significant=frame["significant_retrained"]
    )
    odds = named.assign(
        slope=named["slope_logit"], low=named["low_logit"], high=named["high_logit"]
    )
    scales = {METRICS[results.metric].label: named, "log odds": odds.dropna(subset="slope")}
    titled = [
        (f"{title}: {scale}", rows)
        for dataset in zip(*(by_dataset(results, one) for one in scales.values()), strict=True)
        for scale, (title, rows) in zip(scales, dataset, strict=True)
    ]
    figure = draw_forest(
        results.page,
        titled,
        _variants(results),
        heading="Filled: the gain changes with the measure on both scales, also when retrained, "
        f"p ≤ {results.level:.2g}",
        label="Gain per standard deviation of the measure",
        lacking=_UNMEASURED,
    )
    return Drawn(figure, frame)


def _variants(results: Results) -> dict[str, ModelStyle]:
    return {name: style for name, style in coloured(results).items() if name in results.compared}


def _nothing(results: Results) -> str:
    if not results.compared:
        return f"No gain to relate to difficulty: the study has {results.baseline_label} alone."
    return "No case of measured difficulty has been scored by a model and the baseline."


def difficulty_frame(results: Results) -> pd.DataFrame:
    """Cases (`shown` is `case`) and means of thirds (`stratum`), by the measures shown."""
    strata = results.whole("difficulty_strata")
    gains = case_gains(results.case_values(results.metric), results.metric, results.baseline)
    frames = []
    for dataset, rows in strata.groupby("dataset", sort=False):
        own, cases = gains[gains["dataset"] == dataset], results.store(str(dataset)).cases
        for measure, known in _chosen(rows):
            column = measure if known else f"{_PREFIX}{measure}"
            points = own.merge(
                cases[["case", column]].rename(columns={column: "difficulty"}), on="case"
            )
            # a third has a range of difficulty, and is drawn at its middle
            thirds = rows[(rows["measure"] == measure) & (rows["known_truth"] == known)]
            middle = (thirds["from"] + thirds["to"]) / 2
            thirds = thirds.rename(columns={"benefit": "gain"}).assign(difficulty=middle)
            frames += [
                points.assign(shown="case", measure=measure, known_truth=known),
                thirds.assign(shown="stratum"),
            ]
    # an empty frame would turn columns of numbers into objects
    filled = [frame for frame in frames if len(frame)]
    joined = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    return joined.reindex(columns=_COLUMNS)


def _chosen(rows: pd.DataFrame) -> list[tuple[str, bool]]:
    """Choose measures: known truths first, then those that name a reason, then the others."""
    order = {measure: position for position, measure in enumerate(_FIRST)}
    pairs = rows[["measure", "known_truth"]].drop_duplicates().itertuples(index=False, name=None)
    measures = [(str(measure), bool(known)) for measure, known in pairs]
    measures.sort(key=lambda pair: (not pair[1], order.get(pair[0], len(order))))
    return measures[:_SHOWN]


def _panel(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, ModelStyle]) -> None:
    axes.grid()
    axes.axhline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
    cases = rows[rows["shown"] == "case"]
    strata = rows[rows["shown"] == "stratum"].sort_values("difficulty")
    for _, line in strata[~strata["model"].isin(styles)].groupby("model", sort=False):
        axes.plot(line["difficulty"], line["gain"], color=OTHERS, linewidth=0.5, zorder=1.5)
    for model, style in styles.items():
        points, thirds = cases[cases["model"] == model], strata[strata["model"] == model]
        if len(styles) <= _POINTS_UP_TO:
            axes.scatter(
                points["difficulty"], points["gain"], s=7, marker=style.marker, color=style.colour,
                alpha=0.35, linewidth=0,
            )  # fmt: skip
        axes.plot(
            thirds["difficulty"], thirds["gain"], color=style.colour, linestyle=style.dashes,
            marker=style.marker, markersize=4, markeredgecolor="black", zorder=4,
        )  # fmt: skip
        axes.vlines(
            thirds["difficulty"], thirds["low"], thirds["high"], color=style.colour, linewidth=0.8,
            zorder=3,
        )  # fmt: skip
    axes.locator_params(nbins=5)
