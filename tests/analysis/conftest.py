"""Score tables with known content."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def score_table():
    """A function: values (models, cases, seeds) or (models, cases, seeds, classes) to the rows
    of `scores.csv`.
    """

    def build(values, groups, folds=None, dataset="sim", metric="dice", unit="1", status=None):
        values = np.asarray(values, dtype=float)
        values = values[..., None] if values.ndim == 3 else values
        model, case, seed, class_ = np.indices(values.shape).reshape(4, -1)
        folds = np.zeros(values.shape[1], int) if folds is None else np.asarray(folds)
        names = np.array(["unet", *(f"m{i}" for i in range(1, len(values)))])
        return pd.DataFrame(
            {
                "dataset": dataset,
                "model": names[model],
                "fold": folds[case],
                "seed": seed,
                "case": [f"case{i:04d}" for i in case],
                "group": np.array([str(g) for g in groups])[case],
                "class": class_ + 1,
                "metric": metric,
                "value": values.reshape(-1),
                "unit": unit,
                "status": "ok" if status is None else np.asarray(status).reshape(-1),
            }
        )

    return build
