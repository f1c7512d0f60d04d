"""Predictions made elsewhere beside the baseline, on the cases of one fold."""

from __future__ import annotations

import pandas as pd

from attnbench.analysis.blocks import arrange, in_every_seed, read_scores
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.means import compute_means
from attnbench.analysis.runs import read_object
from attnbench.analysis.verdicts import DIVERGED, FAILURES_DIFFER
from attnbench.errors import DataError
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study
from attnbench.training.sealed import facts_of_run, sealed_files

KEYS = ["class", "class_name", "metric", "unit"]


def compare_fold(study: Study, run: Run) -> pd.DataFrame:
    """One row per class (and `all`) and metric of the scores of predictions made elsewhere.

    Columns: `mean` and its `cases` and `groups`; as far as the baseline is scored on this fold also
    its `mean_baseline` and the paired `difference` from it, with the interval `low` to `high`:
    Student's, over the groups of the fold; NaN else, and where the two failed on different cases.
    Every training of the baseline on this fold is paired with the same predictions.

    Raises:
        DataError: there are no scores, or the two were not scored on the same data and folds.
        SealError: scores or facts are not as their job left them, or of another run or recipe.
    """
    layout, baseline = study.layout, study.baseline
    trainings = [Run(run.dataset, baseline, run.fold, seed) for seed in study.seeds]
    scored = [own for own in trainings if (layout.run(own) / STAGES["score"]).is_file()]
    for own in (run, *scored):
        sealed_files(study, own, STAGES["score"])
    origin, folders = facts_of_run(study, run), [layout.run(own) for own in scored]
    for own, folder in zip(scored, folders, strict=True):
        facts = facts_of_run(study, own)
        for fact in ("data_hash", "folds_hash"):
            if facts.get(fact) != origin.get(fact):
                raise DataError(
                    f"{folder}: its {fact} is {facts.get(fact)}, that of {run} {origin.get(fact)}; "
                    "train, predict and score both on the same data and folds"
                )
    tables = [read_scores(folder / STAGES["score"]) for folder in [layout.run(run), *folders]]
    scores, models = pd.concat(tables, ignore_index=True), [baseline, run.model]
    blocks = arrange(scores, [run.dataset], models, study.metrics, study.splits)
    names = {run.dataset: read_object(layout.prepared(run.dataset) / "dataset.json")["classes"]}
    means = compute_means(blocks, study.analysis, names)
    paired = [in_every_seed(block, [run.model]) for block in blocks]
    effects = compute_effects(paired, baseline, study.analysis, names, elsewhere=[run.model])
    # As in every table: what both have is not what either would have on all cases.
    uneven = effects["verdict"].isin([DIVERGED, FAILURES_DIFFER])
    effects.loc[uneven, ["difference", "low", "high"]] = float("nan")
    table = means[means["model"] == run.model][[*KEYS, "mean", "cases", "groups"]]
    of_baseline = means[means["model"] == baseline].rename(columns={"mean": "mean_baseline"})
    return table.merge(of_baseline[[*KEYS, "mean_baseline"]], on=KEYS, how="left").merge(
        effects[[*KEYS, "difference", "low", "high"]], on=KEYS, how="left"
    )
