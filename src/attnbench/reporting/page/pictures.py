"""The figures of a study as data inside the page, with their words."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from attnbench.reporting.names import CASES, display_name, figure_names

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study import Study

_CAPTIONS = {
    "scores": "Score of every case (small markers), mean and interval (black edge); dashed: the baseline's mean",
    "effects": "Difference of each model from the baseline with its interval, for the models as trained; filled: "
    "significant after Holm's correction; tinted: better",
    "heatmap_classes": "Difference from the baseline by class; purple better, orange worse, bold significant",
    "heatmap_metrics": "Difference from the baseline by metric; purple better, orange worse, bold significant",
    "ranks": "Mean rank over groups, 1 is best; a bar joins models that Nemenyi's test does not tell apart",
    "rank_stability": "Mean rank, interval of the place, and share of first places when groups are drawn again",
    "pareto": "Score against parameters, operations and training time; dashed: the models that none beats in both",
    "difficulty": "Gain over the baseline against the difficulty of each case (points), and means of thirds (line)",
    "difficulty_slopes": "Change of the gain per standard deviation of each measure; filled: significant",
    "learning": "Training loss and Dice of the inner validation over optimiser steps; bands: lowest to highest run",
}


@dataclass(frozen=True)
class Picture:
    """One figure; `png` and `pdf` are addresses with the data inside, empty where it has not been drawn."""

    name: str
    caption: str
    png: str
    pdf: str
    width: int
    height: int


def pictures(study: Study) -> dict[str, Picture]:
    """Every figure of the study by name."""
    return {name: _picture(study.layout.figures, name) for name in figure_names(study)}


def _picture(folder: Path, name: str) -> Picture:
    png, pdf = folder / f"{name}.png", folder / f"{name}.pdf"
    if not png.exists():
        return Picture(name, _caption(name), "", "", 0, 0)
    with Image.open(png) as opened:
        width, height = opened.size
    address = _data(pdf, "application/pdf") if pdf.exists() else ""
    return Picture(name, _caption(name), _data(png, "image/png"), address, width, height)


def _caption(name: str) -> str:
    if name.startswith(CASES):
        dataset = display_name(name.removeprefix(CASES))
        return (
            f"{dataset}: cases chosen by rule (the baseline's median and worst, largest gain and loss); image, "
            "reference and every model's prediction"
        )
    return _CAPTIONS[name]


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
