"""Where a model gains: its benefit over the baseline against the difficulty of the case, and the
slopes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attnbench.analysis.case_values import case_values
from attnbench.data.store import CaseStore
from attnbench.reporting.figures.drawing import (
    Drawn,
    coloured,
    grid,
    legend_mm,
    message_figure,
    model_legend,
    say,
)
from attnbench.reporting.figures.forest import forest
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.style import NEUTRAL, OTHERS, ModelStyle, page_of
from attnbench.reporting.words import display_measure, display_name
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attnbench.study.settings import Study

_PREFIX = "difficulty_"
_SHOWN = 3
_FIRST = ("contrast_to_noise", "clutter", "boundary_sharpness")
_POINTS_UP_TO = 6
_UNMEASURED = "no score of a case of measured difficulty yet"
COLUMNS = [
    "dataset",
    "model",
    "measure",
    "known_truth",
    "shown",
    "case",
    "group",
    "difficulty",
    "gain",
    "low",
    "high",
]


def difficulty(study: Study) -> Drawn:
    """One row per dataset, one column per measure: a point per case; the line joins the means of
    thirds of the cases.

    Phantoms show their known truths, other datasets three measured ones; `difficulty_slopes` has
    all.
    """
    metric = main_metrics(study.metrics)[0]
    frame, page = difficulty_frame(study, metric), page_of(study)
    if frame.empty:
        return message_figure(page, _nothing(study), frame)
    styles = _variants(study)
    names = [part.name for part in study.datasets]
    figure, panels = grid(
        page,
        len(names) * _SHOWN,
        45,
        extra_mm=legend_mm(len(styles) + 1, page.double),
        columns=_SHOWN,
    )
    for position, axes in enumerate(panels):
        name, column = names[position // _SHOWN], position % _SHOWN
        own = frame[frame["dataset"] == name]
        measures = list(dict.fromkeys(own["measure"]))
        axes.set_title(display_name(name) if column == 0 else " ")
        if column >= len(measures):
            say(axes, "no further measure" if measures else _UNMEASURED)
            continue
        rows = own[own["measure"] == measures[column]]
        _panel(axes, rows, styles)
        axes.set_xlabel(display_measure(measures[column], bool(rows["known_truth"].iloc[0])))
        axes.set_ylabel(f"Gain in {METRICS[metric].label}" if column == 0 else "")
    figure.align_ylabels()
    model_legend(figure, styles.values(), lines=True, others=len(study.models) - 1 - len(styles))
    return Drawn(figure, frame)


def difficulty_slopes(study: Study) -> Drawn:
    """Forest of slopes: change of the benefit per standard deviation of every measure; filled:
    significant (Holm).
    """
    metric = main_metrics(study.metrics)[0]
    frame = read_frame(study, "difficulty")
    frame = frame[(frame["metric"] == metric) & (frame["model"] != study.baseline)].reset_index(
        drop=True
    )
    if frame.empty:
        return message_figure(page_of(study), _nothing(study), frame)
    words = [display_measure(row["measure"], bool(row["known_truth"])) for row in records(frame)]
    figure = forest(
        study, frame.assign(row=np.array(words, dtype=object)), _variants(study),
        f"Gain in {METRICS[metric].label} per standard deviation of the measure",
        filled="the gain changes with the measure", lacking=_UNMEASURED,
    )  # fmt: skip
    return Drawn(figure, frame)


def _variants(study: Study) -> dict[str, ModelStyle]:
    return {name: style for name, style in coloured(study).items() if name != study.baseline}


def _nothing(study: Study) -> str:
    if len(study.models) == 1:
        return (
            f"No gain to relate to difficulty: the study has {display_name(study.baseline)} alone."
        )
    return "No case of measured difficulty has been scored by a model and the baseline."


def difficulty_frame(study: Study, metric: str) -> pd.DataFrame:
    """The points (`shown` is `case`) and the means of thirds of the cases (`stratum`) of the
    measures shown.
    """
    strata = read_frame(study, "difficulty_strata")
    strata = strata[strata["metric"] == metric]
    gains = _gains(study, metric)
    frames = []
    for dataset, rows in strata.groupby("dataset", sort=False):
        cases = CaseStore.open(study.layout.prepared(str(dataset))).cases
        for measure, known in _chosen(rows):
            column = measure if known else f"{_PREFIX}{measure}"
            points = cases[["case", column]].rename(columns={column: "difficulty"})
            frames.append(
                gains[gains["dataset"] == dataset]
                .merge(points, on="case")
                .assign(shown="case", measure=measure, known_truth=known)
            )
            thirds = rows[(rows["measure"] == measure) & (rows["known_truth"] == known)]
            middle = (thirds["from"] + thirds["to"]) / 2
            frames.append(
                thirds.rename(columns={"benefit": "gain"}).assign(
                    difficulty=middle, shown="stratum"
                )
            )
    frames = [frame for frame in frames if len(frame)]
    return (
        pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)
        if frames
        else pd.DataFrame(columns=COLUMNS)
    )


def _chosen(rows: pd.DataFrame) -> list[tuple[str, bool]]:
    """Known truths first, then the measures that name a reason, then the others."""
    pairs = rows[["measure", "known_truth"]].drop_duplicates().itertuples(index=False, name=None)
    order = sorted(
        ((str(measure), bool(known)) for measure, known in pairs),
        key=lambda pair: (not pair[1], _FIRST.index(pair[0]) if pair[0] in _FIRST else len(_FIRST)),
    )
    return order[:_SHOWN]


def _gains(study: Study, metric: str) -> pd.DataFrame:
    """`dataset, model, case, group, gain`: value minus the baseline's, its sign turned where
    lower is better.
    """
    values = case_values(study, metric)
    base = values.loc[values["model"] == study.baseline, ["dataset", "case", "value"]]
    pairs = values[values["model"] != study.baseline].merge(
        base, on=["dataset", "case"], suffixes=("", "_baseline")
    )
    sign = 1 if METRICS[metric].higher_is_better else -1
    gain = sign * (pairs["value"].astype(float) - pairs["value_baseline"].astype(float))
    return pairs[["dataset", "model", "case", "group"]].assign(gain=gain)


def _panel(axes: Axes, rows: pd.DataFrame, styles: dict[str, ModelStyle]) -> None:
    axes.grid()
    axes.axhline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
    for _, own in rows[~rows["model"].isin(styles) & (rows["shown"] == "stratum")].groupby(
        "model", sort=False
    ):
        line = own.sort_values("difficulty")
        axes.plot(line["difficulty"], line["gain"], color=OTHERS, linewidth=0.5, zorder=1.5)
    for model, style in styles.items():
        own = rows[rows["model"] == model]
        points, thirds = (
            own[own["shown"] == "case"],
            own[own["shown"] == "stratum"].sort_values("difficulty"),
        )
        if len(styles) <= _POINTS_UP_TO:
            axes.scatter(
                points["difficulty"], points["gain"], s=7, marker=style.marker, color=style.colour, alpha=0.35,
                linewidth=0,
            )  # fmt: skip
        axes.plot(
            thirds["difficulty"], thirds["gain"], color=style.colour, linestyle=style.dashes, marker=style.marker,
            markersize=4, markeredgecolor="black", zorder=4,
        )  # fmt: skip
        axes.vlines(
            thirds["difficulty"],
            thirds["low"],
            thirds["high"],
            color=style.colour,
            linewidth=0.8,
            zorder=3,
        )
    axes.locator_params(nbins=5)
