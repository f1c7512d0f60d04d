"""Analysis of a study: scores and runs in, data frames out."""

from __future__ import annotations

import logging

import pandas as pd

from attnbench.analysis.across import compute_across
from attnbench.analysis.answer import asked, compute_answer
from attnbench.analysis.belongs import refuse_foreign
from attnbench.analysis.best import compute_best, compute_pairs
from attnbench.analysis.blocks import (
    arrange,
    diverged_models,
    in_every_seed,
    of_models,
    read_scores,
    without,
)
from attnbench.analysis.case_choice import compute_cases
from attnbench.analysis.cost import compute_cost
from attnbench.analysis.difficulty import (
    compute_difficulty,
    compute_difficulty_strata,
    read_difficulty,
    same_size,
)
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.ensembles import compute_ensembles
from attnbench.analysis.gates import compute_gates, compute_openness
from attnbench.analysis.machines import compute_machines, refuse_mixed_machines
from attnbench.analysis.means import compute_means
from attnbench.analysis.quality import compute_quality
from attnbench.analysis.rank_tests import compute_agreement, compute_rank_pairs, compute_rank_tests
from attnbench.analysis.ranks import compute_ranks, rankings
from attnbench.analysis.reliability import compute_reliability
from attnbench.analysis.runs import (
    compute_learning,
    compute_missing,
    compute_runs,
    read_object,
    refuse_mixed_data,
)
from attnbench.analysis.second_rater import compute_second_rater, read_second_raters
from attnbench.analysis.shift import compute_missing_shift, compute_shift, read_shift_scores
from attnbench.analysis.sweep import compute_sweep
from attnbench.analysis.undertrained import with_rise
from attnbench.files import write_csv
from attnbench.study.settings import Study

log = logging.getLogger(__name__)


def analyse_study(study: Study) -> None:
    """Write `analysis/*.csv` of what is scored so far; `missing.csv` names the rest.

    Raises:
        SealError: as `refuse_foreign`.
        DataError: scores contradict each other, or as `refuse_mixed_machines`.
    """
    # Before anything is read: what another study left here would look like results of this one.
    refuse_foreign(study)
    refuse_mixed_machines(compute_machines(study), study)
    for name, frame in compute_analysis(study).items():
        write_csv(study.layout.analysis / f"{name}.csv", frame)


def compute_analysis(study: Study) -> dict[str, pd.DataFrame]:
    """Every table of the analysis by name; columns as in docs/files.md."""
    layout = study.layout
    scores = read_scores(layout.scores)
    runs = compute_runs(layout, study.runs(), scores)
    # Before any statistic: a pair on different folds would look like a difference of models.
    refuse_mixed_data(runs)
    learning, sweep = compute_learning(layout, runs), compute_sweep(study)
    runs = with_rise(runs, learning, study.analysis.margin)
    shifted = read_shift_scores(study)
    missing = compute_missing("scores", study.stages, study.runs(), runs[runs["gathered"]])
    if len(missing):
        log.warning(
            "%d of %d runs have no scores yet; the analysis covers the others",
            len(missing),
            len(runs),
        )
    datasets = list(study.splits)
    models = [model.name for model in study.models]
    everybody = arrange(scores, datasets, models, study.metrics, study.splits)
    # What is decided among models of one recipe is decided without predictions made elsewhere.
    trained = [model.name for model in study.trained_models]
    blocks = [own for block in everybody if (own := of_models(block, trained)).models]
    elsewhere = study.elsewhere
    names = {
        name: read_object(layout.prepared(name) / "dataset.json").get("classes", {})
        for name in datasets
    }
    descriptions = {
        (d, m): read_object(layout.model(d, m)) | read_object(layout.measured(d, m))
        for d in datasets
        for m in models
    }
    # Effects say row by row that a run diverged; models with such runs have no rank and no test.
    lost = [diverged_models(block) for block in blocks]
    whole = without(blocks, lost)
    # Where groups cross, nothing is tested: effects say so row by row, other tests have no rows.
    telling = [block for block in whole if not block.crossing]
    ranked, level = rankings(whole), 1 - study.analysis.confidence
    tested = ranked if len(telling) == len(whole) else rankings(telling)
    means = compute_means(everybody, study.analysis, names)
    averages = means[~means["model"].isin(elsewhere)]
    effects = compute_effects(
        [in_every_seed(block, elsewhere) for block in everybody],
        study.baseline,
        study.analysis,
        names,
        study.control_pairs,
        elsewhere,
    )
    hard, sizes = read_difficulty(layout, datasets), same_size(study)
    gates = compute_gates(layout, study.runs())
    return {
        "means": means,
        "effects": effects,
        "answer": compute_answer(
            effects, blocks, study.baseline, asked(study), study.analysis, study.primary
        ),
        "best": compute_best(telling, averages, study.analysis),
        "pairs": compute_pairs(telling, study.analysis),
        "cases": compute_cases(blocks, study),
        "cost": compute_cost(descriptions, runs, sweep, study.baseline),
        "learning": learning,
        "machines": compute_machines(study),
        "runs": runs,
        "sweep": sweep,
        "missing": pd.concat([missing, *compute_missing_shift(study, shifted)], ignore_index=True),
        "ranks": compute_ranks(whole, ranked, study.analysis),
        "rank_tests": compute_rank_tests(tested, level),
        "rank_pairs": compute_rank_pairs(tested, level),
        "agreement": compute_agreement(averages),
        "across": compute_across(
            # Of a mean over datasets, those on which a model did not diverge say nothing.
            without(telling, [set().union(*lost)] * len(telling)),
            study.baseline,
            study.analysis,
            study.primary[0],
            study.control_pairs,
        ),
        "second_rater": compute_second_rater(
            scores,
            read_second_raters(layout, datasets),
            models,
            study.metrics,
            study.analysis,
            names,
            study.splits,
        ),
        "difficulty": compute_difficulty(telling, study.baseline, study.analysis, hard, sizes),
        "difficulty_strata": compute_difficulty_strata(
            whole, study.baseline, study.analysis, hard, sizes
        ),
        "reliability": compute_reliability(layout, study.runs(), blocks, study.analysis, names),
        "gates": gates,
        **compute_quality(study),
        "openness": compute_openness(gates),
        **compute_shift(study, scores[~scores["model"].isin(elsewhere)], runs, shifted),
        "ensembles": compute_ensembles(study, shifted["transfer"], shifted["ensembles"]),
    }
