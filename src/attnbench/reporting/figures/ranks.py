"""Which model ranks first: the critical-difference diagram, and how far resampled patients move
the places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.reporting.figures.drawing import (
    Drawn,
    grid,
    head,
    message_figure,
    model_rows,
    row_mm,
    say,
)
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.style import NEUTRAL, QUIET, ModelStyle, model_styles, page_of
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

ALL = "all"


def ranks(study: Study) -> Drawn:
    """Mean rank of every model per dataset; a bar at the right joins models that Nemenyi's test
    does not tell apart.

    Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006, with
    models as rows.
    """
    tests = _main(study, "rank_tests")[
        ["dataset", "models", "blocks", "p_f", "critical_difference"]
    ]
    frame = _ranked(study).merge(tests.drop(columns=["models", "blocks"]), on="dataset", how="left")
    return _drawn(study, frame, "mean_rank", _critical_difference)


def rank_stability(study: Study) -> Drawn:
    """Place of every model by mean rank, with the interval and the share of first places when
    groups are resampled.
    """
    return _drawn(
        study, _ranked(study), "position", partial(_places, level=study.analysis.confidence)
    )


def _main(study: Study, name: str) -> pd.DataFrame:
    frame = read_frame(study, name)
    return frame[(frame["class"] == ALL) & (frame["metric"] == main_metrics(study.metrics)[0])]


def _ranked(study: Study) -> pd.DataFrame:
    """Rankings by the first main metric, best first; the one over datasets stands last, groups
    resampled.
    """
    frame = _main(study, "ranks")
    return (
        frame[frame["resampled"] == "groups"]
        .sort_values("mean_rank", kind="stable")
        .reset_index(drop=True)
    )


def _drawn(
    study: Study, frame: pd.DataFrame, shown: str, draw: Callable[[Axes, pd.DataFrame], None]
) -> Drawn:
    """One panel per ranking: the column `shown` as markers, and what `draw` adds."""
    if len(study.models) < 2:
        return message_figure(page_of(study), "No ranking: the study has one model.", frame)
    names = [part.name for part in study.datasets]
    names += [ALL] if (frame["dataset"] == ALL).any() else []
    height = len(study.models) * row_mm(len(study.models)) + 17
    page = page_of(study)
    figure, panels = grid(page, len(names), height, columns=page.columns(80))
    styles = model_styles(study)
    for axes, name in zip(panels, names, strict=True):
        axes.set_title("All datasets" if name == ALL else display_name(name))
        rows = frame[frame["dataset"] == name]
        if rows.empty:
            say(axes, "no ranking yet: no group was scored by every model")
            continue
        model_rows(axes, [styles[model] for model in rows["model"]], labelled=True)
        _points(axes, rows, shown, styles)
        if len(rows) < len(study.models):
            axes.set_title(
                f"{axes.get_title(loc='left')} ({len(rows)} of {len(study.models)} models)"
            )
        draw(axes, rows)
    metric = METRICS[main_metrics(study.metrics)[0]].label
    head(figure, f"Ranks by {metric}, 1 is best")
    return Drawn(figure, frame)


def _points(axes: Axes, rows: pd.DataFrame, shown: str, styles: dict[str, ModelStyle]) -> None:
    for place, row in enumerate(records(rows)):
        style = styles[row["model"]]
        axes.plot(
            row[shown],
            place,
            marker=style.marker,
            color=style.colour,
            markersize=4.5,
            zorder=3,
            clip_on=False,
        )
    margin = 0.2 + 0.025 * len(rows)
    axes.set_xlim(1 - margin, len(rows) + margin)
    axes.locator_params(axis="x", integer=True, nbins=8)
    axes.set_xticks(
        sorted({max(1, round(tick)) for tick in axes.get_xticks() if tick <= len(rows)})
    )


def _behind(rows: pd.DataFrame) -> str:
    blocks, word = (
        int(rows["blocks"].iloc[0]),
        "dataset" if rows["dataset"].iloc[0] == ALL else "group",
    )
    return f"{blocks} {word}{'s' if blocks != 1 else ''}"


def _critical_difference(axes: Axes, rows: pd.DataFrame) -> None:
    critical = float(rows["critical_difference"].iloc[0])
    axes.set_xlabel(f"Mean rank over {_behind(rows)}")
    if critical != critical:
        axes.text(0.98, 1.0, "no test: needs three models", **_corner(axes))
        return
    axes.text(0.98, 1.0, f"critical difference {critical:.2f}", **_corner(axes))
    for column, (first, last) in enumerate(alike(rows["mean_rank"].tolist(), critical)):
        place = [1.02 + 0.025 * column] * 2
        axes.plot(
            place, [first - 0.25, last + 0.25], transform=axes.get_yaxis_transform(), color=NEUTRAL, linewidth=2,
            clip_on=False, solid_capstyle="butt",
        )  # fmt: skip


def _corner(axes: Axes) -> dict[str, Any]:
    return {
        "transform": axes.transAxes,
        "ha": "right",
        "va": "bottom",
        "fontsize": 6,
        "color": QUIET,
    }


def alike(mean_ranks: Sequence[float], critical: float) -> Iterator[tuple[int, int]]:
    """Maximal stretches of two or more models (first, last place in ascending `mean_ranks`) within
    `critical`.

    >>> list(alike([1.0, 1.5, 2.2, 4.0], 1.0))
    [(0, 1), (1, 2)]
    """
    reached = -1
    for first, rank in enumerate(mean_ranks):
        last = max(place for place, other in enumerate(mean_ranks) if other - rank <= critical)
        if last > max(first, reached):
            yield first, last
        reached = max(reached, last)


def _places(axes: Axes, rows: pd.DataFrame, level: float) -> None:
    axes.set_xlabel(f"Place by mean rank over {_behind(rows)}; line: {level:.0%} interval")
    for place, row in enumerate(records(rows)):
        axes.plot(
            [row["position_low"], row["position_high"]],
            [place] * 2,
            color=QUIET,
            linewidth=1,
            solid_capstyle="butt",
        )
        first = "" if row["first"] != row["first"] else f"{row['first']:.0%}"
        axes.text(1.01, place, first, transform=axes.get_yaxis_transform(), va="center", fontsize=6)
    stated = "too few groups for an interval" if rows["first"].isna().all() else "first in"
    axes.text(1.1 if stated == "first in" else 0.98, 1.0, stated, **_corner(axes))
