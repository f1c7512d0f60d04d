"""A study of which one model diverges, from its training to its answer."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import torch

from attnbench.analysis.run import analyse_study
from attnbench.check import check_study
from attnbench.data.make import make_data
from attnbench.errors import CheckpointError, DataError, DivergenceError
from attnbench.inference.export import export_predictions
from attnbench.inference.new_images import loaded
from attnbench.inference.predict import predict_run
from attnbench.inference.trained import trained_network
from attnbench.reporting.page.answer import answer_study
from attnbench.reporting.results import Results
from attnbench.reporting.status import status_lines
from attnbench.reporting.tables.comparison import tabulate_comparison
from attnbench.scoring.gather import gather_scores
from attnbench.scoring.run import score_run
from attnbench.study.groups import TrainingSettings
from attnbench.study.paths import Run
from attnbench.training.loop import train
from attnbench.training.run import train_run

# Every step multiplies weights by a million, until they are no numbers any more.
WILD = {"learning_rate": 1000, "weight_decay": 1000}
LOST, KEPT = Run("phantom2d", "cbam", 0, 0), Run("phantom2d", "unet", 0, 0)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    content = {
        "name": "wild", "datasets": ["phantom2d"], "seeds": [0], "metrics": ["dice", "ece"],
        "models": ["unet", {"name": "cbam", "training": WILD}],
        "folds": {"outer": 5, "run": [0, 1]}, "backbone": {"widths": [4, 8]},
        "training": {"steps": 12, "batch": 2, "patch_2d": [16, 16], "validate_every": 2},
        "analysis": {"bootstrap": 200}, "output": str(tmp_path_factory.mktemp("wild")),
    }  # fmt: skip
    study = check_study(content)
    make_data(study, "phantom2d")
    for run in study.runs():
        train_run(study, run)
        predict_run(study, run)
        score_run(study, run)
    gather_scores(study)
    analyse_study(study)
    return study


def test_the_training_leaves_its_facts_and_no_weights(study):
    facts = json.loads((study.layout.run(LOST) / "run.json").read_text())
    step = facts["diverged"]["step"]
    assert facts["diverged"]["after"] < step <= 12
    assert f"not finite at step {step}" in facts["diverged"]["says"]
    assert facts["weights_sha256"] is None and facts["steps"] == 12
    history = pd.read_csv(study.layout.run(LOST) / "history.csv")
    assert (history["step"] < step).all() and np.isfinite(history["loss"]).all()
    content = torch.load(study.layout.run(LOST) / "model.pt", weights_only=True)
    assert "weights" not in content and content["diverged"] == facts["diverged"]
    assert "diverged" not in json.loads((study.layout.run(KEPT) / "run.json").read_text())


def test_whoever_asks_for_its_weights_is_told(study, tmp_path, caplog):
    with (
        pytest.raises(CheckpointError, match=r"diverged and has no weights.*not finite at step"),
        trained_network(study, LOST),
    ):
        pass
    with pytest.raises(CheckpointError, match="diverged"), loaded(study, "phantom2d/cbam"):
        pass
    with pytest.raises(DataError, match="diverged in training and predicted nothing"):
        export_predictions(study, [LOST], tmp_path / "none")
    with caplog.at_level(logging.WARNING):
        export_predictions(study, [LOST, KEPT], tmp_path / "some")
    assert "without 1 run(s) that diverged: phantom2d/cbam/fold0-seed0" in caplog.text
    assert [path.name for path in (tmp_path / "some" / "phantom2d").iterdir()] == ["unet"]


def test_every_score_that_it_would_have_is_there_without_a_value(study):
    lost, kept = (
        pd.read_csv(study.layout.run(run) / "scores.csv", dtype={"value": "float64"})
        for run in (LOST, KEPT)
    )
    assert set(lost["status"]) == {"diverged"} and lost["value"].isna().all()
    keys = ["case", "group", "class", "metric", "unit"]
    order = keys[:4]
    pd.testing.assert_frame_equal(
        lost[keys].sort_values(order, ignore_index=True),
        kept[keys].sort_values(order, ignore_index=True),
    )


def test_the_study_goes_on_and_says_how_many_diverged(study):
    results = Results(study)
    runs = results.frame("runs").set_index("model")
    assert runs.loc["cbam", "diverged"].between(1, 12).all()
    assert runs.loc["unet", "diverged"].isna().all()
    assert results.frame("missing").empty
    effects = results.frame("effects")
    assert set(effects["verdict"]) == {"runs diverged"} and effects["difference"].isna().all()
    assert results.frame("answer")["verdict"].tolist() == ["runs diverged"]
    assert answer_study(results).verdict == "Cannot be told: runs diverged"
    cost = results.frame("cost").set_index("model")
    assert cost.loc["cbam", "diverged"] == 2 and np.isnan(cost.loc["cbam", "train_seconds"])
    assert cost.loc["cbam", "all_seconds"] > 0
    table = tabulate_comparison(results)
    assert any("CBAM: 2 of 2 runs diverged (fold 0 seed 0 by step " in note for note in table.notes)
    first, *lines = status_lines(study)
    assert "4 runs: 4 done" in first and "diverged in training: 2" in first
    assert any("cbam/fold1-seed0" in line and "diverged" in line for line in lines)


class Last(torch.nn.Module):
    """Finite in every loss; its gradient of the last step is not."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.ones(2, 1)), 0

    def forward(self, x):
        if self.training:
            self.calls += 1
        outputs = self.weight.view(1, 2, 1, 1) * x
        if self.training and self.calls == 3:
            outputs.register_hook(lambda gradient: gradient * torch.inf)
        return outputs


def test_weights_that_the_last_step_broke_are_no_result():
    data = [(torch.rand(2, 1, 8, 8), torch.randint(2, (2, 8, 8))) for _ in range(3)]
    settings = TrainingSettings(steps=3, batch=2)
    rows = train(Last(), data, data[:1], settings, 3, torch.device("cpu"), None)
    with pytest.raises(DivergenceError, match="weights are not finite after the last step, 3"):
        list(rows)
