"""The scores of a dataset as Claims Reloaded reads them: one row per case, one column per model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.analysis.case_values import case_values

if TYPE_CHECKING:
    from attnbench.study.settings import Study

CASE, MODEL_PREFIX = "case_id", "alg_"


def claim_inputs(study: Study) -> dict[str, pd.DataFrame]:
    """Return, by dataset, the primary metric of every case (`case_id`) and model (`alg_<model>`).

    A value is the mean over trainings; it is empty where missing or undefined. The tool takes one
    task per file. It estimates how probable it is that a claim of outperformance is false.
    Christodoulou et al., False promises in medical imaging AI? Assessing validity of outperformance
    claims, arXiv:2505.04720, 2025.
    """
    metric, class_ = study.primary
    values = case_values(study, metric, class_=class_)
    return {
        dataset.name: _wide(
            values[values["dataset"] == dataset.name], [model.name for model in study.models]
        )
        for dataset in study.trained_datasets
    }


def _wide(rows: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    scored = set(rows["model"])
    wide = rows.pivot_table(index="case", columns="model", values="value")
    ordered = wide[[name for name in models if name in scored]].add_prefix(MODEL_PREFIX)
    return ordered.rename_axis(index=CASE, columns=None).reset_index()
