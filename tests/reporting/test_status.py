"""Where a study stands: every run in one state, the log's last line where it failed, an estimate
from runs like it.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from attnbench.reporting.status import run_status, show_status, status_lines, training_left

NOW = 2_000_000_000.0


def state_of(study, now=NOW):
    return [run_status(study.layout, run, now) for run in study.runs()]


def log_for(path, text, age_s):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (NOW - age_s, NOW - age_s))


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
    run = "phantom2d/attention_gate/fold0-seed0"
    log_for(folder / "fold0-seed0/train.log", f"{run}  step 40\n{run}  step 80\n", age_s=20)
    failure = "step 40\nerror: loss is NaN at step 41\n  lower learning_rate\nof the study\n"
    log_for(folder / "fold0-seed1/train.log", failure, age_s=9)
    log_for(folder / "fold1-seed0/train.log", "step 40\n", age_s=5000)
    found = state_of(half_done)
    assert Counter(each.state for each in found) == {
        "done": 4,
        "running": 1,
        "failed": 1,
        "stopped": 1,
        "left": 1,
    }
    assert {each.state: each.last_line for each in found if each.last_line} == {
        "running": "step 80",
        "failed": "error: loss is NaN at step 41",
        "stopped": "step 40",
    }
    lines = status_lines(half_done, NOW)
    assert lines[0].endswith("8 runs: 4 done, 1 running, 1 failed, 1 stopped, 1 left")
    assert any(
        "failed" in line and "fold0-seed1" in line and "loss is NaN" in line for line in lines
    )


def test_a_trained_run_waits_for_its_prediction(half_done):
    folder = half_done.layout.output / "runs/phantom2d/unet/fold0-seed0"
    (folder / "predictions.npz").unlink()
    assert state_of(half_done)[0].state == "left" and state_of(half_done)[0].step == "predict"
    log_for(
        half_done.layout.log("predict/phantom2d/unet/fold0-seed0"), "error: no memory\n", age_s=1
    )
    assert state_of(half_done)[0].state == "failed"


def test_training_left_is_what_runs_like_it_took(half_done, write_study):
    assert training_left(half_done, state_of(half_done)) == pytest.approx(4 * 60.0)
    assert "training left: about 4.00 min, one run after another" in status_lines(half_done, NOW)


def test_runs_at_work_are_counted_by_the_steps_they_have_left(half_done):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate"
    for seed, step in ((0, 250), (1, 750)):
        log_for(
            folder / f"fold0-seed{seed}/train.log",
            f"attention_gate  step {step}/1000  loss 0.5\n",
            age_s=20,
        )
    assert training_left(half_done, state_of(half_done)) == pytest.approx((0.75 + 0.25 + 2) * 60.0)
    assert "training left: about 90.0 s, 2 runs at a time" in status_lines(half_done, NOW)


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
    log_for(folder / "train.log", "step 40\n", age_s=20)
    lines = status_lines(study, NOW)
    assert lines[0].endswith("16 runs: 4 done, 1 running, 0 failed, 0 stopped, 11 left")
    assert any("fold0-seed0-groups50" in line and "running" in line for line in lines)


def test_a_finished_study_has_nothing_left(write_study):
    study = write_study(datasets=["phantom2d"], models=["unet"], cases=4, analysed=False)
    lines = status_lines(study, NOW)
    assert lines == ["synthetic: 4 runs: 4 done, 0 running, 0 failed, 0 stopped, 0 left"]
