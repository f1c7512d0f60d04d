"""Ranking: the critical-difference diagram, and the stability of positions under resampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attnbench.reporting.figures.drawing import (
    Drawn,
    by_dataset,
    draw_message,
    fill_panels,
    make_grid,
    row_mm,
    set_model_rows,
    write_heading,
)
from attnbench.reporting.results import ALL, records
from attnbench.reporting.style import NEUTRAL, QUIET
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from attnbench.reporting.results import Results
    from attnbench.reporting.style import ModelStyle


def draw_ranks(results: Results) -> Drawn:
    """Draw mean ranks per dataset; a bar joins models that Nemenyi's test cannot distinguish.

    Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006, with
    models as rows.
    """
    tests = results.whole("rank_tests")[["dataset", "p_f", "critical_difference"]]
    frame = _ranked(results).merge(tests, on="dataset", how="left")
    return _drawn(results, frame, "mean_rank", _critical_difference)


def draw_rank_stability(results: Results) -> Drawn:
    """Draw every model's position, its interval, and how often it is first in resamples."""
    draw = partial(_places, confidence=results.study.analysis.confidence)
    return _drawn(results, _ranked(results), "position", draw)


def _ranked(results: Results) -> pd.DataFrame:
    """Rankings by the first main metric with groups resampled, best first."""
    ranks = results.whole("ranks", resampled="groups")
    return ranks.sort_values("mean_rank", kind="stable").reset_index(drop=True)


def _drawn(
    results: Results, frame: pd.DataFrame, column: str, draw: Callable[[Axes, pd.DataFrame], None]
) -> Drawn:
    """Draw one panel per ranking, that over datasets last: markers at `column`, then `draw`."""
    models, page = len(results.study.trained_models), results.page
    if models < 2:
        return draw_message(page, "No ranking: the study has one model.", frame)
    titled = by_dataset(results, frame)
    across = frame[frame["dataset"] == ALL]
    if len(across):
        titled.append((results.dataset_label(ALL), across))
    height = models * row_mm(models) + 17
    figure, panels = make_grid(page, len(titled), height, columns=page.columns(80))
    lacking = "no ranking yet: no group was scored by every model"
    for axes, rows in fill_panels(panels, titled, lacking):
        styles = [results.styles[model] for model in rows["model"]]
        set_model_rows(axes, styles, labelled=True)
        _points(axes, rows[column], styles)
        if len(rows) < models:
            axes.set_title(f"{axes.get_title(loc='left')} ({len(rows)} of {models} models)")
        draw(axes, rows)
    write_heading(figure, f"Ranks by {METRICS[results.metric].label}, 1 is best")
    return Drawn(figure, frame)


def _points(axes: Axes, ranks: pd.Series, styles: Sequence[ModelStyle]) -> None:
    for line, (rank, style) in enumerate(zip(ranks, styles, strict=True)):
        axes.plot(
            rank, line, marker=style.marker, color=style.colour, markersize=4.5, zorder=3,
            clip_on=False,
        )  # fmt: skip
    margin = 0.2 + 0.025 * len(ranks)
    axes.set_xlim(1 - margin, len(ranks) + margin)
    axes.locator_params(axis="x", integer=True, nbins=8)
    # the locator puts ticks beyond the range, too, and there is no rank below the first
    ticks = {max(1, round(tick)) for tick in axes.get_xticks() if tick <= len(ranks)}
    axes.set_xticks(sorted(ticks))


def _blocks(rows: pd.DataFrame) -> str:
    """Number and kind of the blocks over which models were ranked."""
    blocks, unit = int(rows["blocks"].iloc[0]), "group"
    if rows["dataset"].iloc[0] == ALL:
        unit = "dataset"
    return f"{blocks} {unit}{'' if blocks == 1 else 's'}"


def _critical_difference(axes: Axes, rows: pd.DataFrame) -> None:
    critical = float(rows["critical_difference"].iloc[0])
    axes.set_xlabel(f"Mean rank over {_blocks(rows)}")
    if math.isnan(critical):
        _write_corner(axes, 0.98, "no test: too few models or blocks")
        return
    _write_corner(axes, 0.98, f"critical difference {critical:.2f}")
    for column, (first, last) in enumerate(alike(rows["mean_rank"].tolist(), critical)):
        axes.plot(
            [1.02 + 0.025 * column] * 2, [first - 0.25, last + 0.25],
            transform=axes.get_yaxis_transform(), color=NEUTRAL, linewidth=2, clip_on=False,
            solid_capstyle="butt",
        )  # fmt: skip


def _write_corner(axes: Axes, x: float, text: str) -> None:
    axes.text(
        x, 1.0, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=6, color=QUIET
    )


def alike(mean_ranks: Sequence[float], critical: float) -> Iterator[tuple[int, int]]:
    """Longest stretches (first, last position) of ascending mean ranks within `critical`.

    >>> list(alike([1.0, 1.5, 2.2, 4.0], 1.0))
    [(0, 1), (1, 2)]
    """
    # a stretch that ends no later than an earlier one lies inside it
    reached = -1
    for first, rank in enumerate(mean_ranks):
        last = max(i for i, other in enumerate(mean_ranks) if other - rank <= critical)
        if last > max(first, reached):
            yield first, last
        reached = max(reached, last)


def _places(axes: Axes, rows: pd.DataFrame, confidence: float) -> None:
    axes.set_xlabel(f"Place by mean rank over {_blocks(rows)}; line: {confidence:.0%} interval")
    for line, row in enumerate(records(rows)):
        ends = [row["position_low"], row["position_high"]]
        axes.plot(ends, [line] * 2, color=QUIET, linewidth=1, solid_capstyle="butt")
        first = "" if math.isnan(row["first"]) else f"{row['first']:.0%}"
        axes.text(1.01, line, first, transform=axes.get_yaxis_transform(), va="center", fontsize=6)
    if rows["first"].isna().all():
        _write_corner(axes, 0.98, "too few groups for an interval")
    else:
        _write_corner(axes, 1.1, "first in")
