"""Where a study stands: every run in one state, its progress or its error, an estimate from runs
like it.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from attnbench.reporting.status import run_status, show_status, status_lines, training_left

NOW = 2_000_000_000.0


def state_of(study, now=NOW):
    return [run_status(study, run, now) for run in study.runs()]


def write(path, text, age_s):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (NOW - age_s, NOW - age_s))


def begin_training(folder, rows, age_s):
    """A log that says nothing yet, and the rows of a history so far; both `age_s` seconds old."""
    write(folder / "train.log", "", age_s)
    write(folder / "progress.csv", "\n".join(["step,loss,validation_dice", *rows, ""]), age_s)


@pytest.fixture
def half_done(write_study):
    failed = [("phantom2d", "attention_gate", fold) for fold in (0, 1)]
    return write_study(
        datasets=["phantom2d"],
        models=["unet", "attention_gate"],
        failed=failed,
        cases=4,
        analysed=False,
    )


def test_every_run_is_in_the_state_that_its_files_show(half_done):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate"
    begin_training(folder / "fold0-seed0", ["40,1.25,", "80,0.5,0.75", "88,0.25,"], age_s=20)
    failure = "step 40\nerror: loss is NaN at step 41\n  lower learning_rate\nof the study\n"
    write(folder / "fold0-seed1/train.log", failure, age_s=9)
    begin_training(folder / "fold1-seed0", ["40,1.25,"], age_s=5000)
    statuses = state_of(half_done)
    assert Counter(each.state for each in statuses) == {
        "done": 4,
        "running": 1,
        "failed": 1,
        "stopped": 1,
        "left": 1,
    }
    assert {each.state: each.says for each in statuses if each.says} == {
        "running": "step 88, loss 0.25, validation Dice 0.75",
        "failed": "error: loss is NaN at step 41",
        "stopped": "step 40, loss 1.25",
    }
    lines = status_lines(half_done, NOW)
    assert lines[0].endswith("8 runs: 4 done, 1 running, 1 failed, 1 stopped, 1 left")
    assert any(
        "failed" in line and "fold0-seed1" in line and "loss is NaN" in line for line in lines
    )


def test_a_trained_run_waits_for_its_prediction(half_done):
    folder = half_done.layout.output / "runs/phantom2d/unet/fold0-seed0"
    (folder / "predictions.npz").unlink()
    assert state_of(half_done)[0].state == "left" and state_of(half_done)[0].stage == "predict"
    write(half_done.layout.log("predict/phantom2d/unet/fold0-seed0"), "error: no memory\n", age_s=1)
    assert state_of(half_done)[0].state == "failed"


def test_training_left_is_what_runs_like_it_took(half_done, write_study):
    assert training_left(half_done, state_of(half_done)) == pytest.approx(4 * 60.0)
    assert "training left: about 4.00 min, one run after another" in status_lines(half_done, NOW)


def test_runs_at_work_are_counted_by_the_steps_they_have_left(half_done):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate"
    for seed, step in ((0, 250), (1, 750)):
        begin_training(folder / f"fold0-seed{seed}", [f"{step},0.5,"], age_s=20)
    assert training_left(half_done, state_of(half_done)) == pytest.approx((0.75 + 0.25 + 2) * 60.0)
    assert "training left: about 90.0 s, 2 runs at a time" in status_lines(half_done, NOW)


@pytest.mark.parametrize("rows", [[], None])
def test_a_training_that_has_no_row_yet_runs(half_done, rows):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate/fold0-seed0"
    begin_training(folder, rows or [], age_s=20)
    if rows is None:
        (folder / "progress.csv").unlink()
    (status,) = (each for each in state_of(half_done) if each.state == "running")
    assert (status.stage, status.says, status.step) == ("train", "", 0)


def test_a_log_that_is_quiet_while_progress_grows_is_of_a_run_at_work(half_done):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate/fold0-seed0"
    begin_training(folder, ["40,1.25,"], age_s=20)
    write(folder / "train.log", "", age_s=5000)
    assert Counter(each.state for each in state_of(half_done))["running"] == 1


def test_without_a_trained_run_the_time_is_unknown(write_study, capsys):
    failed = [("phantom2d", "unet", fold) for fold in (0, 1)]
    study = write_study(
        datasets=["phantom2d"], models=["unet"], failed=failed, cases=4, analysed=False
    )
    show_status(study)
    said = capsys.readouterr().out
    assert "4 left" in said and "training left: unknown" in said


def test_runs_on_fewer_groups_count_as_runs(half_done):
    study = half_done.model_copy(update={"data_efficiency": (50,)})
    folder = study.layout.output / "runs/phantom2d/unet/fold0-seed0-groups50"
    write(folder / "train.log", "step 40\n", age_s=20)
    lines = status_lines(study, NOW)
    assert lines[0].endswith("16 runs: 4 done, 1 running, 0 failed, 0 stopped, 11 left")
    assert any("fold0-seed0-groups50" in line and "running" in line for line in lines)


def test_a_finished_study_has_nothing_left(write_study):
    study = write_study(datasets=["phantom2d"], models=["unet"], cases=4, analysed=False)
    lines = status_lines(study, NOW)
    assert lines == ["synthetic: 4 runs: 4 done, 0 running, 0 failed, 0 stopped, 0 left"]
