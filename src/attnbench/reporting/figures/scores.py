"""Scores of every case by model and dataset, joined across models, with mean and interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    fill_panels,
    leads_row,
    make_grid,
    row_mm,
    score_label,
    set_model_rows,
)
from attnbench.reporting.results import keyed
from attnbench.reporting.style import NEUTRAL, QUIET
from attnbench.reporting.units import groups_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle

_PAIRED_UP_TO = 6
_VECTORS_UP_TO = 300  # cases; more are drawn as pixels, or the PDF gets slow to show
_GOLDEN = 0.6180339887
_COLUMNS = [
    "dataset", "model", "metric", "shown", "case", "group", "fold", "value", "low", "high",
]  # fmt: skip


def draw_scores(results: Results) -> Drawn:
    """Draw one panel per dataset, one row per model: a point per case, then its mean."""
    metric, styles = results.metric, results.styles
    values, means = results.case_values(metric), results.whole("means")
    titled = by_dataset(results, values)
    height = len(styles) * row_mm(len(styles)) + 15
    figure, panels = make_grid(results.page, len(titled), height)
    for axes, rows in fill_panels(panels, titled, "no score: no finished run, or undefined"):
        set_model_rows(axes, list(styles.values()), leads_row(axes))
        own = means[means["dataset"] == rows["dataset"].iloc[0]]
        _panel(axes, rows, keyed(own, "model"), styles, results.baseline)
        axes.locator_params(axis="x", nbins=5)
        label = score_label(metric, own["unit"].iloc[0] if len(own) else "")
        dataset, groups = str(rows["dataset"].iloc[0]), rows["group"].nunique()
        behind = groups_in_words(results.study, dataset, groups)
        counts = f"{rows['case'].nunique()} cases, {behind}"
        axes.set_xlabel(f"{label} of each case; {counts}")
    return Drawn(figure, _frame(values, means, metric))


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    means: Mapping[str, Mapping[str, Any]],
    styles: Mapping[str, ModelStyle],
    baseline: str,
) -> None:
    table = rows.pivot_table(index="case", columns="model", values="value", aggfunc="first")
    by_case = table.reindex(columns=list(styles))
    # multiples of the golden ratio spread cases evenly, however many there are
    heights = -0.3 + 0.4 * ((np.arange(len(by_case)) * _GOLDEN) % 1)
    many = len(by_case) > _VECTORS_UP_TO
    if len(styles) <= _PAIRED_UP_TO:
        across = heights[:, None] + np.arange(len(styles))[None]
        axes.plot(
            by_case.to_numpy().T, across.T, color=QUIET, linewidth=0.3, alpha=0.35, rasterized=many
        )
    for line, (model, style) in enumerate(styles.items()):
        values = by_case[model].to_numpy()
        if np.isnan(values).all():
            axes.text(
                0.02, line, "no score", transform=axes.get_yaxis_transform(), va="center",
                color=QUIET,
            )  # fmt: skip
            continue
        axes.scatter(
            values, line + heights, s=5, marker=style.marker, color=style.colour, alpha=0.5,
            linewidth=0, rasterized=many,
        )  # fmt: skip
        if model in means:
            _mean(axes, means[model], line + 0.3, style)
    if baseline in means:
        mean = means[baseline]["mean"]
        axes.axvline(mean, color=NEUTRAL, linewidth=0.6, linestyle=(0, (3, 2)), zorder=1)


def _mean(axes: Axes, row: Mapping[str, Any], height: float, style: ModelStyle) -> None:
    """Draw a mean as a marker with a black edge on its interval."""
    axes.plot(
        [row["low"], row["high"]], [height, height], color="black", solid_capstyle="butt", zorder=4
    )
    axes.plot(
        row["mean"], height, marker=style.marker, color=style.colour, markeredgecolor="black",
        markersize=4, zorder=5,
    )  # fmt: skip


def _frame(values: pd.DataFrame, means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points (`shown` is `case`) and means with their intervals (`shown` is `mean`)."""
    cases = values.assign(shown="case")
    averages = means.rename(columns={"mean": "value"}).assign(shown="mean")
    # an empty frame would turn columns of numbers into objects
    filled = [frame for frame in (cases, averages) if len(frame)]
    frame = pd.concat(filled, ignore_index=True) if filled else cases
    return frame.assign(metric=metric).reindex(columns=_COLUMNS)
