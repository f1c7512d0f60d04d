"""The analysis of a study: scores and runs in, data frames out."""

from __future__ import annotations

import logging

import pandas as pd

from attnbench.analysis.across import across
from attnbench.analysis.best import best_table
from attnbench.analysis.blocks import arrange, read_scores
from attnbench.analysis.case_choice import shown_cases
from attnbench.analysis.cost import cost
from attnbench.analysis.difficulty import interactions, read_difficulty, strata
from attnbench.analysis.effects import effects
from attnbench.analysis.means import means
from attnbench.analysis.rank_tests import agreement_table, friedman_table, nemenyi_table
from attnbench.analysis.ranks import rank_table, rankings
from attnbench.analysis.reliability import reliability
from attnbench.analysis.runs import (
    learning,
    missing_runs,
    read_object,
    refuse_mixed_data,
    study_runs,
)
from attnbench.analysis.second_rater import read_second_raters, second_rater_means
from attnbench.analysis.shift import missing_shift, shift_scores, shift_tables
from attnbench.files import write_csv
from attnbench.study.settings import Study

log = logging.getLogger(__name__)


def analyse_study(study: Study) -> None:
    """Write `analysis/*.csv` of whatever the study has scored so far; what is missing is named
    in `missing.csv`.
    """
    for name, frame in analysis(study).items():
        write_csv(study.layout.analysis / f"{name}.csv", frame)


def analysis(study: Study) -> dict[str, pd.DataFrame]:
    """Every table of the analysis by name; columns as in docs/files.md."""
    layout = study.layout
    scores = read_scores(layout.scores)
    runs = study_runs(layout, study.runs(), scores)
    refuse_mixed_data(runs)
    shifted = shift_scores(study)
    missing = missing_runs(layout, "scores", study.runs(), runs[runs["gathered"]])
    if len(missing):
        log.warning(
            "%d of %d runs have no scores yet; the analysis covers the others",
            len(missing),
            len(runs),
        )
    datasets, models = [part.name for part in study.datasets], [part.name for part in study.models]
    blocks = arrange(scores, datasets, models, study.metrics)
    names = {
        name: read_object(layout.prepared(name) / "dataset.json").get("classes", {})
        for name in datasets
    }
    descriptions = {
        (d, m): read_object(layout.model(d, m)) | read_object(layout.measured(d, m))
        for d in datasets
        for m in models
    }
    ranked, level = rankings(blocks), 1 - study.analysis.confidence
    averages = means(blocks, study.analysis, names)
    hard = read_difficulty(layout, datasets)
    return {
        "means": averages,
        "effects": effects(blocks, study.baseline, study.analysis, names),
        "best": best_table(blocks, averages, level),
        "cases": shown_cases(blocks, study),
        "cost": cost(descriptions, runs, study.baseline),
        "learning": learning(layout, runs),
        "runs": runs,
        "missing": pd.concat([missing, *missing_shift(study, shifted)], ignore_index=True),
        "ranks": rank_table(blocks, ranked, study.analysis),
        "rank_tests": friedman_table(ranked, level),
        "rank_pairs": nemenyi_table(ranked, level),
        "agreement": agreement_table(averages),
        "across": across(blocks, study.baseline, study.analysis),
        "second_rater": second_rater_means(
            scores,
            read_second_raters(layout, datasets),
            models,
            study.metrics,
            study.analysis,
            names,
        ),
        "difficulty": interactions(blocks, study.baseline, study.analysis, hard),
        "difficulty_strata": strata(blocks, study.baseline, study.analysis, hard),
        "reliability": reliability(layout, study.runs(), blocks, study.analysis, names),
        **shift_tables(study, scores, runs, shifted),
    }
