"""Gain over the baseline against the known difficulty of phantoms, one point per case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.data.store import CaseStore
from attnbench.reporting.case_values import case_values
from attnbench.reporting.figures.drawing import Drawn, grid, legend_mm, message_figure, model_legend, say
from attnbench.reporting.names import display_name, main_metrics
from attnbench.reporting.style import NEUTRAL, model_styles
from attnbench.scoring.definitions import METRICS

if TYPE_CHECKING:
    from attnbench.study import Study

TRUTHS = {"blur": "Boundary blur", "contrast": "Contrast", "clutter": "Clutter"}


def difficulty(study: Study) -> Drawn:
    """One row per dataset with known truths, one column per truth; above zero a model is better than the baseline."""
    metric = main_metrics(study.metrics)[0]
    frame = difficulty_frame(study, metric)
    if frame.empty:
        return message_figure("No case with known difficulty has been scored by a model and the baseline.", frame)
    styles = {name: style for name, style in model_styles(study).items() if name != study.baseline}
    names = list(dict.fromkeys(frame["dataset"]))
    truths = [name for name in TRUTHS if name in frame]
    figure, panels = grid(len(names) * len(truths), 45, extra_mm=legend_mm(len(styles)), columns=len(truths))
    for position, axes in enumerate(panels):
        name, truth = names[position // len(truths)], truths[position % len(truths)]
        rows = frame[frame["dataset"] == name].dropna(subset=[truth, "gain"])
        axes.set_title(display_name(name) if position % len(truths) == 0 else " ")
        if rows.empty:
            say(axes, f"{truth} not known")
            continue
        axes.grid()
        axes.axhline(0, color=NEUTRAL, linewidth=0.8, zorder=1)
        for model, style in styles.items():
            own = rows[rows["model"] == model]
            axes.scatter(own[truth], own["gain"], s=9, marker=style.marker, color=style.colour, alpha=0.6, linewidth=0)
        axes.set_xlabel(TRUTHS[truth])
        axes.locator_params(nbins=5)
        axes.set_ylabel(f"Gain in {METRICS[metric].label}" if position % len(truths) == 0 else "")
    figure.align_ylabels()
    model_legend(figure, styles.values(), lines=False)
    return Drawn(figure, frame)


def difficulty_frame(study: Study, metric: str) -> pd.DataFrame:
    """One row per case of a phantom and model: `dataset, model, case, group, gain` and the case's known truths.

    The gain is the model's value minus the baseline's, its sign turned where lower is better.
    """
    values = case_values(study, metric)
    base = values.loc[values["model"] == study.baseline, ["dataset", "case", "value"]]
    pairs = values[values["model"] != study.baseline].merge(base, on=["dataset", "case"], suffixes=("", "_baseline"))
    sign = 1 if METRICS[metric].higher_is_better else -1
    pairs["gain"] = sign * (pairs["value"].astype(float) - pairs["value_baseline"].astype(float))
    frames = []
    for dataset, rows in pairs.groupby("dataset", sort=False):
        cases = CaseStore.open(study.layout.prepared(str(dataset))).cases
        truths = [name for name in TRUTHS if name in cases]
        if truths:
            frames.append(rows.merge(cases[["case", *truths]], on="case"))
    columns = ["dataset", "model", "case", "group", "gain"]
    if not frames:
        return pd.DataFrame(columns=columns)
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*columns, *(name for name in TRUTHS if name in frame)]]
