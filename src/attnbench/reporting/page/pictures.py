"""The figures of a study as data inside the page, with their words and the section that each
belongs to.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from attnbench.reporting.contents import figure_names
from attnbench.reporting.page.embed import address
from attnbench.reporting.words import display_name

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.study.settings import Study

SECTIONS: dict[str, tuple[str, ...]] = {
    "answer": ("effects",),
    "effects": ("scores", "heatmap_metrics", "heatmap_classes", "ranks", "rank_stability"),
    "costs": ("pareto",),
    "difficulty": ("difficulty", "difficulty_slopes"),
    "shift": ("corruption", "corruption_slopes", "transfer", "data_efficiency"),
    "calibration": ("calibration",),
    "cases": ("cases_", "attention_"),
    "volumes": ("slices_", "surface_"),
    "methods": ("learning",),
}
"""Figures in the order in which a section shows them; a word that ends in `_` has one figure per
dataset.
"""

_CAPTIONS = {
    "scores": "Score of every case (small markers), mean and interval (black edge); dashed: the "
    "baseline's mean",
    "effects": "Difference of each model from the baseline with its interval, for the models as "
    "trained; filled: "
    "significant after Holm's correction; tinted: better; dotted: margin of equivalence",
    "heatmap_classes": "Difference from the baseline by class; purple better, orange worse, bold "
    "significant",
    "heatmap_metrics": "Difference from the baseline by metric; purple better, orange worse, bold "
    "significant",
    "ranks": "Mean rank over groups, 1 is best; a bar joins models that Nemenyi's test does not "
    "tell apart",
    "rank_stability": "Place by mean rank, its interval, and share of first places when groups "
    "are drawn again",
    "pareto": "Score against parameters, operations, latency, training time, memory and energy, "
    "as far as these were "
    "measured; dashed: the models that none beats in both",
    "difficulty": "Gain over the baseline against the difficulty: means of thirds of the cases "
    "with intervals (lines) "
    "and, for up to six models, every case (small markers)",
    "difficulty_slopes": "Change of the gain per standard deviation of each measure; filled: "
    "significant",
    "learning": "Training loss and Dice of the inner validation over optimiser steps; bands: "
    "lowest to highest run",
    "corruption": "Score when test images are corrupted, level by level; level 0 is the test set "
    "as it is",
    "corruption_slopes": "Change of the score per level of a corruption with its interval; "
    "filled: significantly "
    "other than the baseline's",
    "transfer": "Score of models trained on one dataset (rows) when tested on another (columns)",
    "data_efficiency": "Score against the share of the training groups that models were trained on",
    "calibration": "How often a class is there against the probability that the network gives it; "
    "on the diagonal, "
    "probabilities mean what they say",
    "cases_": "cases chosen by rule (the baseline's median and worst, largest gain and loss); "
    "image, reference and "
    "every model's prediction",
    "attention_": "where the mechanisms look in the cases chosen by rule",
    "slices_": "the three orthogonal slices through the cases chosen by rule",
    "surface_": "surface of the prediction, coloured by its distance from the reference",
}
_LOSSLESS_BYTES = 400_000
_QUALITY = 88
_PDF_BYTES = 600_000


@dataclass(frozen=True)
class Picture:
    """One figure; `shown` has the picture inside and is empty where it has not been drawn.

    `pdf` has the file inside or, where that is larger than 600 kB, its path beside the page.
    `chart`: drawn on white, without photographs.
    """

    name: str
    caption: str
    shown: str
    pdf: str
    width: int
    height: int
    chart: bool


def pictures(study: Study) -> dict[str, list[Picture]]:
    """Every figure of the study, by section."""
    placed: dict[str, list[Picture]] = {section: [] for section in SECTIONS}
    for section, words in SECTIONS.items():
        for word in words:
            names = [name for name in figure_names(study) if _word(name) == word]
            placed[section] += [_picture(study.layout.figures, name) for name in names]
    return placed


def _word(name: str) -> str:
    """The word under which a figure has its section and caption."""
    kind = f"{name.partition('_')[0]}_"
    return kind if kind in _CAPTIONS else name


def _picture(folder: Path, name: str) -> Picture:
    png, pdf = folder / f"{name}.png", folder / f"{name}.pdf"
    chart = not _word(name).endswith("_")
    if not png.exists():
        return Picture(name, _caption(name), "", "", 0, 0, chart)
    with Image.open(png) as opened:
        flat = opened.convert("RGB")
    return Picture(name, _caption(name), _small(flat), _pdf(pdf), *flat.size, chart)


def _small(picture: Image.Image) -> str:
    """The picture as WebP: every pixel kept, unless that takes more than 400 kB."""
    lossless, lossy = io.BytesIO(), io.BytesIO()
    picture.save(lossless, "WEBP", lossless=True, method=2)
    if len(lossless.getvalue()) <= _LOSSLESS_BYTES:
        return address(lossless.getvalue(), "image/webp")
    picture.save(lossy, "WEBP", quality=_QUALITY)
    return address(lossy.getvalue(), "image/webp")


def _pdf(path: Path) -> str:
    if not path.exists():
        return ""
    small = path.stat().st_size <= _PDF_BYTES
    return (
        address(path.read_bytes(), "application/pdf")
        if small
        else f"{path.parent.name}/{path.name}"
    )


def _caption(name: str) -> str:
    word = _word(name)
    return (
        f"{display_name(name.removeprefix(word))}: {_CAPTIONS[word]}"
        if word.endswith("_")
        else _CAPTIONS[word]
    )
