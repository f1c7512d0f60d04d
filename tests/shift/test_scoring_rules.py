"""The study's rules of metrics hold wherever a trained run is scored."""

import pandas as pd
import pytest

from attnbench.scoring.run import score_run
from attnbench.shift.corruption import score_corrupted
from attnbench.shift.transfer import score_transfer
from attnbench.study.groups import ScoringSettings
from attnbench.study.paths import Run

RUN = Run("left", "unet", 0, 0)


@pytest.mark.parametrize(
    ("score", "file"),
    [
        (score_run, "scores.csv"),
        (score_transfer, "transfer.csv"),
        (score_corrupted, "corrupted.csv"),
    ],
)
def test_a_tolerance_beyond_the_image_forgives_everything(study, score, file):
    asked = study.model_copy(update={"metrics": ("nsd",), "corruptions": ("noise",)})
    values = {}
    for tolerance in (1e-6, 100.0):
        scoring = ScoringSettings(nsd_tolerance={"mm": tolerance})
        score(asked.model_copy(update={"scoring": scoring}), RUN)
        rows = pd.read_csv(study.layout.run(RUN) / file)
        values[tolerance] = rows.loc[rows["status"] == "ok", "value"]
    assert (values[100.0] == 1).all()
    assert values[1e-6].mean() < 1
