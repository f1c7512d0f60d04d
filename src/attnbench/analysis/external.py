"""Predictions made elsewhere beside a model of the study, on the cases of one fold."""

from __future__ import annotations

import pandas as pd

from attnbench.analysis.blocks import arrange, read_scores
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.means import compute_means
from attnbench.analysis.runs import read_object
from attnbench.errors import DataError, StudyError, nearest
from attnbench.study.paths import Run
from attnbench.study.settings import Study

KEYS = ["class", "class_name", "metric", "unit"]


def compare_external(
    study: Study, dataset: str, name: str, fold: int, model: str | None = None
) -> pd.DataFrame:
    """One row per class (and `all`) and metric of the scores of predictions made elsewhere.

    Columns: `mean` and its `cases` and `groups`; with a model also its `mean_model` and the paired
    `difference`, model minus the other tool, with the interval `low` to `high`: Student's, over
    the groups of the fold. Every training of the model on this fold is paired with the same
    predictions; how much the other tool would vary from training to training stays unknown.

    Args:
        study: it has the confidence.
        dataset: one of the study's.
        name: of the other tool.
        fold: the outer fold that both were tested on.
        model: of the study; without one only means are given.

    Raises:
        StudyError: the study has no such model.
        DataError: scores are missing, or the two were not scored on the same data and folds.
    """
    own = study.layout.external(dataset, name, fold)
    elsewhere, runs = read_scores(own / "scores.csv"), []
    if model is not None:
        models = [one.name for one in study.models]
        if model not in models:
            raise StudyError(f"--against: no such model; {nearest(model, models)}")
        folders = [study.layout.run(Run(dataset, model, fold, seed)) for seed in study.seeds]
        origin = read_object(own / "origin.json")
        for folder in folders:
            facts = read_object(folder / "run.json")
            for fact in ("data_hash", "folds_hash"):
                if facts.get(fact) != origin.get(fact):
                    raise DataError(
                        f"{folder}: its {fact} is {facts.get(fact)}, that of {name} "
                        f"{origin.get(fact)}; train, predict and score both on the same data and "
                        "folds"
                    )
        runs = [read_scores(folder / "scores.csv") for folder in folders]
    repeated = [elsewhere.assign(seed=seed) for seed in (study.seeds if runs else (0,))]
    scores = pd.concat([*runs, *repeated], ignore_index=True)
    order = [name] if model is None else [model, name]
    blocks = arrange(scores, [dataset], order, study.metrics, study.splits)
    names = {dataset: read_object(study.layout.prepared(dataset) / "dataset.json")["classes"]}
    means = compute_means(blocks, study.analysis, names)
    table = means[means["model"] == name][[*KEYS, "mean", "cases", "groups"]]
    if model is None:
        return table.reset_index(drop=True)
    of_model = means[means["model"] == model].rename(columns={"mean": "mean_model"})
    effects = compute_effects(blocks, name, study.analysis, names)
    return table.merge(of_model[[*KEYS, "mean_model"]], on=KEYS).merge(
        effects[[*KEYS, "difference", "low", "high"]], on=KEYS
    )
