"""The study's tables of scores beside `scores.csv`: only those it asks for, whole, and what is
missing is named.
"""

import json
from dataclasses import replace

import pandas as pd
import pytest

from attnbench.errors import DataError, StudyError
from attnbench.inference.predict import predict_run
from attnbench.scoring.run import score_run
from attnbench.shift.corruption import score_corrupted
from attnbench.shift.gather import gather_shift
from attnbench.shift.transfer import score_transfer
from attnbench.study.paths import Run
from attnbench.training.run import train_run

RUN = Run("left", "unet", 0, 0)
TEXT = dict.fromkeys(("case", "group", "unit"), "str")


def read(path):
    return pd.read_csv(path, dtype=TEXT)


@pytest.mark.parametrize(
    ("table", "step", "possible"),
    [("transfer", score_transfer, 4), ("corrupted", score_corrupted, 8)],
)
def test_tables_are_the_files_of_the_finished_runs(study, caplog, table, step, possible):
    step(study, RUN)
    missing = gather_shift(study, table)
    pd.testing.assert_frame_equal(
        read(study.layout.shift(table)), read(study.layout.run(RUN) / f"{table}.csv")
    )
    assert len(missing) == possible - 1 and RUN not in missing
    assert f"{table}.csv: {possible - 1} of {possible} runs have no scores yet" in caplog.text


def test_small_data_says_how_much_a_model_was_trained_on(study):
    few = replace(RUN, percent=40)
    for step in (train_run, predict_run, score_run):
        step(study, few)
    missing = gather_shift(study, "data_efficiency")
    assert set(missing) == set(study.data_efficiency_runs()) - {few}
    table, scores = (
        read(study.layout.shift("data_efficiency")),
        read(study.layout.run(few) / "scores.csv"),
    )
    groups = json.loads((study.layout.run(few) / "run.json").read_text())["training_groups"]
    pd.testing.assert_frame_equal(table, scores.assign(percent=40, training_groups=groups))
    full = json.loads((study.layout.run(RUN) / "run.json").read_text())["training_groups"]
    assert 1 <= groups < full


def test_a_table_that_the_study_does_not_ask_for_is_refused(study):
    with pytest.raises(StudyError, match=r"no table 'corupted'; did you mean 'corrupted'"):
        gather_shift(study, "corupted")
    with pytest.raises(StudyError, match=r"no table 'transfer'; .*data_efficiency"):
        gather_shift(study.model_copy(update={"transfer": ()}), "transfer")


def test_without_any_scores_there_is_no_table(study):
    with pytest.raises(DataError, match="none of the 8 runs has scores"):
        gather_shift(study, "corrupted")
    assert not study.layout.shift("corrupted").exists()
