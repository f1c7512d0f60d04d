"""Every figure and table of a study, declared once.

Snakefile, page, documentation and tests read it. A new figure is a row here, a module with
`draw_<name>` and a paragraph in `workflow/report/figures.rst`; a new table is a row, a module with
`tabulate_<name>` and `workflow/report/tables/<name>.rst`. Imports neither pandas nor matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.catalog import load_entry
from attnbench.models.names import has_map

if TYPE_CHECKING:
    from attnbench.study.settings import Study

TABLE_FORMATS = ("csv", "md", "tex")
FIGURE_FORMATS = ("pdf", "png", "csv")
NOTED = ("machines",)
"""Frames of the analysis that the notes of every table read, whatever its row names."""

Wanted = Callable[["Study", str], bool]
"""Test of a study (and, for an artefact per dataset, of that dataset) for having the artefact."""


def _always(_study: Study, _dataset: str) -> bool:
    return True


def _has_controls(study: Study, _dataset: str) -> bool:
    return any(model.control for model in study.models)


def _has_mechanism(study: Study, _dataset: str) -> bool:
    return any(model.mechanisms() for model in study.models)


def _has_map(study: Study, _dataset: str) -> bool:
    return any(map(has_map, study.models))


def _sweeps(study: Study, _dataset: str) -> bool:
    return bool(study.training.sweep)


def _is_volume(study: Study, dataset: str) -> bool:
    return load_entry(dataset, study.catalog).ndim == 3


def _is_inspected(study: Study, _dataset: str) -> bool:
    return any(not load_entry(data.name, study.catalog).generated for data in study.datasets)


def _has_ensembles(study: Study, _dataset: str) -> bool:
    return any(transfer.ensemble for transfer in study.transfer)


def _asks_for(key: str) -> Wanted:
    return lambda study, _dataset: bool(getattr(study, key))


@dataclass(frozen=True)
class Section:
    """A section of the page: its `title` in the navigation and its `heading`.

    The answer's heading is the study's question, which its models decide.

    Tables stand before figures unless `figures_first`.
    """

    name: str
    title: str
    heading: str
    figures_first: bool = False


@dataclass(frozen=True)
class FigureSpec:
    """A figure: drawn by `draw_<name>` of `attnbench.reporting.figures.<module>`.

    `frames` are those of the analysis that it reads. `caption` stands below it on the page; a
    figure `per_dataset` has its dataset's name before that. `maps`: it reads attention maps.
    """

    name: str
    module: str
    section: str
    caption: str
    frames: tuple[str, ...]
    per_dataset: bool = False
    maps: bool = False
    wanted: Wanted = _always


@dataclass(frozen=True)
class TableSpec:
    """A table: built by `tabulate_<name>` of `attnbench.reporting.tables.<module>`.

    `frames` are those of the analysis that it reads beside `NOTED`. A table that is `page_only` has
    no files of its own. A study without the table did not ask for what `absent` names, by the
    study's `key`.
    """

    name: str
    module: str
    section: str
    frames: tuple[str, ...]
    page_only: bool = False
    wanted: Wanted = _always
    absent: str = ""
    key: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure of a study: its file's `name`, its row, and its dataset, empty for all of them."""

    name: str
    spec: FigureSpec
    dataset: str


SECTIONS = (
    Section("answer", "Answer", "", True),
    Section("datasets", "Datasets", "Datasets"),
    Section("models", "Models", "Models"),
    Section("effects", "Effects", "Effects: by how much?"),
    Section("costs", "Costs", "Costs: at what price?"),
    Section("difficulty", "Difficulty", "Difficulty: where does a model gain?", True),
    Section("shift", "Shift", "Shift: does it hold on other data?", True),
    Section("calibration", "Calibration", "Calibration: do probabilities mean what they say?"),
    Section("cases", "Cases", "Cases"),
    Section("volumes", "3‑D", "In three dimensions"),
    Section("methods", "Methods", "Methods and limits"),
    Section("environment", "Environment", "Environment and hashes"),
)

FIGURES = (
    FigureSpec(
        "effects", "effects", "answer",
        "Difference of each model from the baseline with its interval, for the models as "
        "trained; not adjusted for their number; filled: significant after Holm's correction; "
        "tinted: better; dotted: margin of equivalence",
        ("effects",),
    ),
    FigureSpec(
        "duplicates", "duplicates", "datasets",
        "Images that are copies of each other, side by side, those in different groups first",
        ("duplicates",), wanted=_is_inspected,
    ),
    FigureSpec(
        "scores", "scores", "effects",
        "Score of every case (small markers), mean and interval (black edge); dashed: the "
        "baseline's mean",
        ("means",),
    ),
    FigureSpec(
        "heatmap_metrics", "heatmaps", "effects",
        "Difference from the baseline by metric; purple better, orange worse, bold significant",
        ("effects",),
    ),
    FigureSpec(
        "heatmap_classes", "heatmaps", "effects",
        "Difference from the baseline by class; purple better, orange worse, bold significant",
        ("effects",),
    ),
    FigureSpec(
        "ranks", "ranks", "effects",
        "Mean rank over groups, 1 is best; a bar joins models that Nemenyi's test cannot "
        "distinguish",
        ("ranks", "rank_tests"),
    ),
    FigureSpec(
        "rank_stability", "ranks", "effects",
        "Place by mean rank, its interval, and share of first places when groups are drawn again, "
        "with the models as trained",
        ("ranks",),
    ),
    FigureSpec(
        "pareto", "pareto", "costs",
        "Score against parameters, operations, latency, training time, memory and energy, as far "
        "as these were measured; dashed: the models that none beats in both",
        ("means", "cost", "ranks"),
    ),
    FigureSpec(
        "difficulty", "difficulty", "difficulty",
        "Gain over the baseline against the difficulty: means of thirds of the cases with "
        "intervals (lines) and, for up to six models, every case (small markers)",
        ("difficulty_strata", "ranks"),
    ),
    FigureSpec(
        "difficulty_slopes", "difficulty", "difficulty",
        "Change of the gain per standard deviation of each measure, in the metric's own units and "
        "in log odds, where a constant gain is none that shrinks near 1; filled: on both scales, "
        "as trained and for models trained again",
        ("difficulty", "ranks"),
    ),
    FigureSpec(
        "corruption", "shift", "shift",
        "Score on corrupted test images, level by level; level 0 is the test set as it is",
        ("corruption_levels", "ranks"), wanted=_asks_for("corruptions"),
    ),
    FigureSpec(
        "corruption_slopes", "shift", "shift",
        "Change of the score per level of a corruption with its interval; filled: significantly "
        "other than the baseline's",
        ("corruption_slopes", "ranks"), wanted=_asks_for("corruptions"),
    ),
    FigureSpec(
        "transfer", "transfer", "shift",
        "Score of models trained on one dataset (rows) on an external test set (columns)",
        ("transfer", "ranks"), wanted=_asks_for("transfer"),
    ),
    FigureSpec(
        "data_efficiency", "shift", "shift",
        "Score against the share of the training groups that models were trained on",
        ("data_efficiency", "ranks"), wanted=_asks_for("data_efficiency"),
    ),
    FigureSpec(
        "calibration", "calibration", "calibration",
        "How often a class is there against the probability that the network gives it; on the "
        "diagonal, probabilities mean what they say",
        ("reliability", "ranks"),
    ),
    FigureSpec(
        "cases", "cases", "cases",
        "cases chosen by rule (the baseline's median and worst, largest gain and loss); image, "
        "reference and every model's prediction",
        ("cases", "ranks"), per_dataset=True,
    ),
    FigureSpec(
        "attention", "attention", "cases",
        "where the mechanisms look in the cases chosen by rule",
        ("cases", "ranks"), per_dataset=True, maps=True, wanted=_has_map,
    ),
    FigureSpec(
        "slices", "volumes", "volumes",
        "the three orthogonal slices through the cases chosen by rule",
        ("cases", "ranks"), per_dataset=True, wanted=_is_volume,
    ),
    FigureSpec(
        "surface", "surfaces", "volumes",
        "surface of the prediction, coloured by its distance from the reference",
        ("cases", "ranks"), per_dataset=True, wanted=_is_volume,
    ),
    FigureSpec(
        "learning", "learning", "methods",
        "Training loss and Dice of the inner validation over optimiser steps; bands: lowest to "
        "highest run",
        ("learning", "ranks"),
    ),
)  # fmt: skip

TABLES = (
    TableSpec("answer", "answer", "answer", ("answer", "cost", "runs")),
    TableSpec("datasets", "facts", "datasets", ()),
    TableSpec(
        "quality", "quality", "datasets", ("inspected", "findings"), wanted=_is_inspected,
    ),
    TableSpec("models", "models", "models", ("cost",), page_only=True),
    TableSpec(
        "gates", "gates", "models", ("openness", "gates", "cost", "runs"), wanted=_has_mechanism,
    ),
    TableSpec(
        "comparison", "comparison", "effects",
        ("means", "effects", "best", "second_rater", "missing", "cost", "runs"),
    ),
    TableSpec("effects", "effects", "effects", ("effects",)),
    TableSpec(
        "controls", "controls", "effects", ("effects",), wanted=_has_controls,
        absent="controls, which distinguish a mechanism from its parameters", key="controls",
    ),
    TableSpec(
        "per_class", "per_class", "effects", ("means", "effects", "best", "missing", "runs"),
    ),
    TableSpec("across", "across", "effects", ("across",)),
    TableSpec("cost", "cost", "costs", ("cost", "runs")),
    TableSpec("sweep", "sweep", "costs", ("sweep",), wanted=_sweeps),
    TableSpec("slopes", "slopes", "difficulty", ("difficulty",), page_only=True),
    TableSpec(
        "corruption", "shift", "shift", ("corruption_slopes", "missing", "runs"),
        wanted=_asks_for("corruptions"), absent="corrupted images", key="corruptions",
    ),
    TableSpec(
        "transfer", "shift", "shift", ("transfer", "missing", "runs"),
        wanted=_asks_for("transfer"), absent="external test sets", key="transfer",
    ),
    TableSpec(
        "held_out", "shift", "shift", ("held_out", "missing", "runs"),
        wanted=_asks_for("held_out"), absent="a held-out test set", key="datasets: held_out",
    ),
    TableSpec(
        "ensembles", "shift", "shift", ("ensembles", "missing", "runs"), wanted=_has_ensembles,
    ),
    TableSpec(
        "data_efficiency", "shift", "shift", ("data_efficiency", "missing", "runs"),
        wanted=_asks_for("data_efficiency"), absent="fewer training groups", key="data_efficiency",
    ),
    TableSpec("protocol", "facts", "methods", ()),
    TableSpec("environment", "runs", "environment", (), page_only=True),
    TableSpec("hashes", "runs", "environment", (), page_only=True),
)  # fmt: skip


def figures_of(study: Study) -> Iterator[Figure]:
    """Yield every figure that the study has, in the order of the page."""
    for spec in FIGURES:
        for dataset in [each.name for each in study.trained_datasets] if spec.per_dataset else [""]:
            if spec.wanted(study, dataset):
                yield Figure(f"{spec.name}_{dataset}" if dataset else spec.name, spec, dataset)


def tables_of(study: Study) -> Iterator[TableSpec]:
    """Yield every table that the study has, those of the page alone among them."""
    return (spec for spec in TABLES if spec.wanted(study, ""))


def absent_tables(study: Study) -> Iterator[TableSpec]:
    """Yield every table that the study did not ask for and could have."""
    return (spec for spec in TABLES if spec.absent and not spec.wanted(study, ""))


def figure_names(study: Study) -> list[str]:
    """Return the name of every figure's files."""
    return [figure.name for figure in figures_of(study)]


def table_names(study: Study) -> list[str]:
    """Return the name of every table that has files."""
    return [spec.name for spec in tables_of(study) if not spec.page_only]


def figure_inputs(study: Study, name: str) -> list[Path]:
    """Return the files whose change redraws a figure: its frames and attention maps."""
    figure = next(figure for figure in figures_of(study) if figure.name == name)
    maps = [model.name for model in study.models if figure.spec.maps and has_map(model)]
    return [
        *(study.layout.analysis / f"{frame}.csv" for frame in figure.spec.frames),
        *(study.layout.attention(figure.dataset, model) for model in maps),
    ]
