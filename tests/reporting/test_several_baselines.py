"""Comparisons with controls stand in the analysis; tables and figures show those with the
study's baseline, once.
"""

import pandas as pd

from attnbench.reporting.results import Results
from attnbench.reporting.tables import write_tables


def test_tables_count_no_model_twice_where_effects_have_several_baselines(write_study):
    study = write_study(["retina_drive"], ["unet", "attention_gate", "attention_gate-parameters"])
    written = pd.read_csv(study.layout.analysis / "effects.csv")
    assert set(written["baseline"]) == {"unet", "attention_gate-parameters"}
    effects = Results(study).frame("effects")
    assert set(effects["baseline"]) == {"unet"} and 0 < len(effects) < len(written)
    write_tables(study)
    for name in ("comparison", "effects"):
        table = pd.read_csv(study.layout.tables / f"{name}.csv")
        assert not table.duplicated(["dataset", "class", "metric", "model"]).any()
    means = pd.read_csv(study.layout.analysis / "means.csv")
    assert (
        len(pd.read_csv(study.layout.tables / "comparison.csv")) == (means["class"] == "all").sum()
    )
