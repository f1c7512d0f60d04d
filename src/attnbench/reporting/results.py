"""Results of a study: frames of the analysis, read once, as figures and tables ask for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.analysis.case_choice import Choice
from attnbench.analysis.case_values import case_values
from attnbench.analysis.frames import read_frame
from attnbench.analysis.second_rater import SECOND_RATER
from attnbench.analysis.tables import FRAMES
from attnbench.data.sealed import open_store
from attnbench.data.store import CaseStore
from attnbench.reporting.words import (
    dataset_label,
    mechanism_label,
    mechanism_labels,
    model_label,
)
from attnbench.scoring.definitions import main_metrics
from attnbench.shift.kinds import KINDS
from attnbench.study.paths import STAGES
from attnbench.training.sealed import facts_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from attnbench.reporting.style import ModelStyle, Page
    from attnbench.study.paths import Run
    from attnbench.study.settings import Study

ALL = "all"
"""Name of the mean over classes, and of all datasets together."""

# More do not fit beside each other in a terminal or on a page.
_SHOWN_FIRST = 2
_OF_DATASETS, _OF_MODELS = ("dataset", "train", "test"), ("model", "model_a", "model_b")


class Results:
    """A study and everything that its analysis has written so far; each file is read once.

    `datasets` are those that models are trained on, `every_dataset` also has those only tested on;
    `metrics` are those shown first, `metric` the first of them, that of the primary comparison;
    `level` is that of every test, 1 - confidence. Draw and tabulate functions take one of these.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.layout = study, study.layout
        self.datasets = tuple(dataset.name for dataset in study.trained_datasets)
        self.every_dataset = tuple(dataset.name for dataset in study.datasets)
        self.models = tuple(model.name for model in study.models)
        self.baseline = study.baseline
        self.compared = tuple(name for name in self.models if name != self.baseline)
        self.metric = study.primary[0]
        others = (name for name in main_metrics(study.metrics) if name != self.metric)
        self.metrics = (self.metric, *others)[:_SHOWN_FIRST]
        self.level = 1 - study.analysis.confidence
        self._frames: dict[str, pd.DataFrame] = {}
        self._values: dict[tuple[str, int | None], pd.DataFrame] = {}
        self._stores: dict[str, CaseStore] = {}

    @cached_property
    def page(self) -> Page:
        """The page that figures are printed on."""
        # Here, not at the top: tables and the terminal do without matplotlib.
        from attnbench.reporting.style import Page

        return Page(*self.study.figures.page)

    @cached_property
    def styles(self) -> dict[str, ModelStyle]:
        """The look of every model, by name."""
        from attnbench.reporting.style import model_styles

        return model_styles(self.models, self.baseline, self.drawn_label)

    def drawn_label(self, model: str) -> str:
        """Return the label of a model where there is no footnote: in figures and under images."""
        elsewhere = model in self.study.elsewhere
        return f"{self.label(model)} made elsewhere" if elsewhere else self.label(model)

    def label(self, model: str) -> str:
        """Return the label of a model, or of the second rater."""
        if model == SECOND_RATER:
            return SECOND_RATER.capitalize()
        return model_label(self.study.model(model))

    def mechanism_label(self, name: str) -> str:
        """Return the label of a mechanism, in this study unlike that of any other."""
        return self._mechanism_labels.get(name) or mechanism_label(name)

    @cached_property
    def _mechanism_labels(self) -> dict[str, str]:
        named = {name: None for model in self.study.models for name in model.mechanisms()}
        return mechanism_labels(named)

    @cached_property
    def baseline_label(self) -> str:
        """Label of the baseline."""
        return self.label(self.baseline)

    def dataset_label(self, dataset: str) -> str:
        """Return the label of a dataset, or of all of them."""
        return "All datasets" if dataset == ALL else dataset_label(dataset, self.study.catalog)

    def frame(self, name: str) -> pd.DataFrame:
        """Return the frame `name` of the analysis; empty, with its columns, without a file.

        Rows of datasets and models that the study no longer has, and comparisons with other
        baselines than the study's, are left out.

        Raises:
            DataError: the file lacks columns.
        """
        frame = self._frame(name)
        if "baseline" not in frame:
            return frame
        own = frame["baseline"].isna() | (frame["baseline"] == self.baseline)
        return frame[own].reset_index(drop=True)

    def whole(self, name: str, **chosen: object) -> pd.DataFrame:
        """Return the rows of a frame on the mean over classes, in the first main metric.

        `chosen` keeps those with a value in a further column: `dataset="phantom2d"`.
        """
        frame = self.frame(name)
        kept = frame["metric"] == self.metric
        kept &= frame["class"] == ALL if "class" in frame else True
        for column, value in chosen.items():
            kept &= frame[column] == value
        return frame[kept].reset_index(drop=True)

    def control_effects(self) -> pd.DataFrame:
        """Return the rows of `effects` that compare a variant with one of its controls."""
        # From the file itself: `frame` drops these rows, their baseline being the control.
        frame = self._frame("effects")
        variant = {model.name: model.control_of for model in self.study.models}
        own = frame["baseline"].map(variant).eq(frame["model"])
        return frame[own].reset_index(drop=True)

    def case_values(self, metric: str, seed: int | None = None) -> pd.DataFrame:
        """Return `case_values` of the analysis: one row per dataset, model and case."""
        if (metric, seed) not in self._values:
            self._values[metric, seed] = case_values(self.study, metric, seed)
        return self._values[metric, seed]

    def chosen_cases(self, dataset: str) -> list[Choice]:
        """Return the cases of a dataset that figures show, as the analysis chose them."""
        frame = self.frame("cases")
        rows = records(frame[frame["dataset"] == dataset])
        return [Choice(row["rule"], row["case"], row["of_model"]) for row in rows]

    def store(self, dataset: str) -> CaseStore:
        """Return the prepared cases of a dataset."""
        if dataset not in self._stores:
            self._stores[dataset] = open_store(self.layout, dataset)
        return self._stores[dataset]

    @cached_property
    def run_facts(self) -> list[dict[str, Any]]:
        """The `run.json` of every trained run."""
        runs = self.study.trainings()
        trained = (run for run in runs if (self.layout.run(run) / STAGES["train"]).is_file())
        return [facts_of_run(self.study, run) for run in trained]

    @cached_property
    def analysed(self) -> bool:
        """True once the analysis has been written."""
        return self._path("means").is_file()

    def _path(self, name: str) -> Path:
        return self.layout.analysis / f"{name}.csv"

    def _frame(self, name: str) -> pd.DataFrame:
        if name not in self._frames:
            self._frames[name] = self._read(name)
        return self._frames[name]

    def _read(self, name: str) -> pd.DataFrame:
        path = self._path(name)
        if not path.exists():
            return pd.DataFrame(columns=list(FRAMES[name]))
        frame = read_frame(path, name)
        kept = pd.Series(True, index=frame.index)
        names = [
            (_OF_DATASETS, [*self.every_dataset, ALL]),
            (_OF_MODELS, [*self.models, SECOND_RATER]),
        ]
        for columns, allowed in names:
            for column in (column for column in columns if column in frame):
                kept &= frame[column].isin(allowed)
        return frame[kept].reset_index(drop=True)


def scored_runs(results: Results, dataset: str) -> dict[tuple[str, str], tuple[Run, float]]:
    """Return, by (model, case) of a dataset, the first seed's run and the score of the case.

    The run is the one that predicted the case; the score is the first main metric, mean over
    classes.
    """
    from attnbench.study.paths import Run

    seed = results.study.seeds[0]
    values = results.case_values(results.metric, seed)
    return {
        (row["model"], row["case"]): (
            Run(dataset, row["model"], int(row["fold"]), seed),
            float(row["value"]),
        )
        for row in records(values[values["dataset"] == dataset])
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def keyed(frame: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    """Return the rows by the text in `column`, which names each once."""
    return {row[column]: row for row in records(frame)}


def absent_runs(results: Results, kinds: Iterable[str] = ()) -> list[str]:
    """Return sentences about runs that the analysis lacks: ordinary ones, then of shift `kinds`."""
    if not results.analysed:
        return ["No run of this study has been scored and analysed yet."]
    notes = []
    for table in ("scores", *kinds):
        runs = KINDS[table].runs(results.study) if table in KINDS else results.study.runs()
        absent = KINDS[table].absent_note if table in KINDS else "runs not finished"
        planned = Counter((run.dataset, run.model) for run in runs)
        missing = results.frame("missing")
        lacking = Counter(
            (row["dataset"], row["model"]) for row in records(missing[missing["table"] == table])
        )
        for dataset in dict.fromkeys(dataset for dataset, _ in lacking):
            counts = {key: number for key, number in lacking.items() if key[0] == dataset}
            named = [f"{results.label(key[1])} ({counts[key]} of {planned[key]})" for key in counts]
            whole = counts == {key: number for key, number in planned.items() if key[0] == dataset}
            models = "all" if whole else ", ".join(named)
            notes.append(f"{results.dataset_label(dataset)}: {absent} and left out: {models}")
    return notes
