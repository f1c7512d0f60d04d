"""The human line stands beside the models on the cases that a second rater annotated."""

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.blocks import read_scores
from attnbench.analysis.second_rater import SECOND_RATER, compute_second_rater, read_second_raters
from attnbench.analysis.tables import FRAMES
from attnbench.files import write_csv
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout

GROUPS = 16
PART = AnalysisSettings(bootstrap=300)


@pytest.fixture
def layout(tmp_path, score_table):
    """Two datasets with equal case names; the second rater saw every second case of one, and a case
    never tested.
    """
    layout = Layout(tmp_path, tmp_path)
    values = np.random.default_rng(0).uniform(size=(2, GROUPS, 2))
    tables = [
        score_table(values, range(GROUPS), np.arange(GROUPS) % 4, dataset=name)
        for name in ("sim", "other")
    ]
    write_csv(layout.scores, pd.concat(tables))
    seen = [f"case{i:04d}" for i in range(0, GROUPS, 2)]
    rows = {
        "case": [*seen, "untested"],
        "group": [*map(str, range(0, GROUPS, 2)), "x"],
        "value": 0.75,
    }
    fixed = {"dataset": "sim", "class": 1, "metric": "dice", "unit": "1", "status": "ok"}
    write_csv(layout.second_rater("sim"), pd.DataFrame({**rows, **fixed}))
    return layout


def means_of(layout):
    scores = read_scores(layout.scores)
    observed = read_second_raters(layout, ["other", "sim"])
    return compute_second_rater(
        scores, observed, ["unet", "m1"], ["dice"], PART, {"sim": {"1": "organ"}}
    )


def test_models_and_second_rater_are_averaged_over_the_observed_cases(layout):
    found = means_of(layout)
    rows = found[found["class"] == "1"].set_index("model")
    scores = pd.read_csv(layout.scores)
    same = scores[(scores["dataset"] == "sim") & scores["case"].str[-4:].astype(int).mod(2).eq(0)]
    expected = same.groupby("model")["value"].mean()
    assert set(found["dataset"]) == {"sim"} and set(found["class_name"]) == {
        "organ",
        "mean over classes",
    }
    assert rows.loc[["unet", "m1"], "mean"].to_dict() == pytest.approx(expected.to_dict())
    assert rows.loc[SECOND_RATER, ["mean", "low", "high"]].tolist() == [0.75] * 3
    assert rows[["cases", "groups"]].drop_duplicates().to_numpy().tolist() == [[GROUPS // 2] * 2]
    assert rows["seeds"].to_dict() == {"unet": 2, "m1": 2, SECOND_RATER: 1}


def test_a_second_rater_of_cases_that_no_model_was_scored_on_gives_no_row(layout):
    observed = pd.read_csv(layout.second_rater("sim"))
    write_csv(layout.second_rater("sim"), observed[observed["case"] == "untested"])
    assert means_of(layout).empty


def test_without_a_second_rater_the_table_is_empty(layout):
    layout.second_rater("sim").unlink()
    assert means_of(layout).empty and list(means_of(layout)) == list(FRAMES["second_rater"])
