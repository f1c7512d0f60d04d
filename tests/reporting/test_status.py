"""Where a study stands: every run in one state, its progress or its error, an estimate from runs
like it.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack

import pytest

from attnbench.locks import exclusive, job_lock
from attnbench.reporting.status import run_status, show_status, status_lines, training_left

DIE = """
import os, sys
from pathlib import Path
from attnbench.locks import exclusive
with exclusive(Path(sys.argv[1]), "train"):
    os.kill(os.getpid(), 9)
"""


def state_of(study):
    return [run_status(study, run) for run in study.runs()]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def begin_training(folder, rows, columns="step,loss,validation_dice"):
    """A log that says nothing yet, and the rows of a history so far."""
    write(folder / "train.log", "")
    write(folder / "progress.csv", "\n".join([columns, *rows, ""]))


@pytest.fixture
def at_work():
    """What lets this process be at work on a run, by its folder, until the test ends."""
    with ExitStack() as held:
        yield lambda folder: held.enter_context(exclusive(folder / ".lock", "train"))


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


def test_every_run_is_in_the_state_that_its_files_show(half_done, at_work):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate"
    begin_training(folder / "fold0-seed0", ["40,1.25,", "80,0.5,0.75", "88,0.25,"])
    at_work(folder / "fold0-seed0")
    failure = "step 40\nerror: loss is NaN at step 41\n  lower learning_rate\nof the study\n"
    write(folder / "fold0-seed1/train.log", failure)
    begin_training(folder / "fold1-seed0", ["40,1.25,"])
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
    lines = status_lines(half_done)
    assert lines[0].endswith("8 runs: 4 done, 1 running, 1 failed, 1 stopped, 1 left")
    assert any(
        "failed" in line and "fold0-seed1" in line and "loss is NaN" in line for line in lines
    )


def test_a_trained_run_waits_for_its_prediction(half_done):
    folder = half_done.layout.output / "runs/phantom2d/unet/fold0-seed0"
    (folder / "predictions.npz").unlink()
    assert state_of(half_done)[0].state == "left" and state_of(half_done)[0].stage == "predict"
    write(half_done.layout.log("predict/phantom2d/unet/fold0-seed0"), "error: no memory\n")
    assert state_of(half_done)[0].state == "failed"


def test_training_left_is_what_runs_like_it_took(half_done, write_study):
    assert training_left(half_done, state_of(half_done)) == pytest.approx(4 * 60.0)
    assert "training left: about 4.00 min, one run after another" in status_lines(half_done)


def test_runs_at_work_are_counted_by_the_steps_they_have_left(half_done, at_work):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate"
    for seed, step in ((0, 250), (1, 750)):
        begin_training(folder / f"fold0-seed{seed}", [f"{step},0.5,"])
        at_work(folder / f"fold0-seed{seed}")
    assert training_left(half_done, state_of(half_done)) == pytest.approx((0.75 + 0.25 + 2) * 60.0)
    assert "training left: about 90.0 s, 2 runs at a time" in status_lines(half_done)


@pytest.mark.parametrize("rows", [[], None])
def test_a_training_that_has_no_row_yet_runs(half_done, at_work, rows):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate/fold0-seed0"
    begin_training(folder, rows or [])
    at_work(folder)
    if rows is None:
        (folder / "progress.csv").unlink()
    (status,) = (each for each in state_of(half_done) if each.state == "running")
    assert (status.stage, status.step) == ("train", 0) and "begins" in status.says


def test_a_run_whose_process_was_killed_is_not_running(half_done):
    folder = half_done.layout.output / "runs/phantom2d/attention_gate/fold0-seed0"
    begin_training(folder, ["40,1.25,"])
    child = subprocess.Popen([sys.executable, "-c", DIE, str(folder / ".lock")])
    child.wait()
    (status,) = (each for each in state_of(half_done) if each.state == "stopped")
    assert status.says == f"step 40, loss 1.25, process {child.pid} was killed"


def test_a_job_that_only_begins_runs(half_done):
    """Its log is open; the run's own lock is taken once torch is imported."""
    log = half_done.layout.output / "runs/phantom2d/attention_gate/fold0-seed0/train.log"
    with exclusive(job_lock(log), "train"):
        write(log, "")
        assert Counter(each.state for each in state_of(half_done))["running"] == 1
    assert Counter(each.state for each in state_of(half_done))["stopped"] == 1


def test_its_own_pace_says_what_a_training_will_take(write_study, at_work):
    """A study without a trained run; one at work makes two batches a second."""
    failed = [("phantom2d", "unet", fold) for fold in (0, 1)]
    study = write_study(
        datasets=["phantom2d"], models=["unet"], failed=failed, cases=4, analysed=False
    )
    settings = study.training_of("phantom2d", "unet")
    folder = study.layout.output / "runs/phantom2d/unet/fold0-seed0"
    rate, step = 2 * settings.batch, settings.steps // 4
    begin_training(folder, [f"{step},0.5,,{rate}"], "step,loss,validation_dice,images_per_second")
    at_work(folder)
    whole = settings.steps / 2
    assert training_left(study, state_of(study)) == pytest.approx((0.75 + 3) * whole)


def test_without_a_trained_run_the_time_is_unknown(write_study, capsys):
    failed = [("phantom2d", "unet", fold) for fold in (0, 1)]
    study = write_study(
        datasets=["phantom2d"], models=["unet"], failed=failed, cases=4, analysed=False
    )
    show_status(study)
    said = capsys.readouterr().out
    assert "4 left" in said and "training left: unknown" in said


def test_runs_on_fewer_groups_count_as_runs(half_done, at_work):
    study = half_done.model_copy(update={"data_efficiency": (50,)})
    folder = study.layout.output / "runs/phantom2d/unet/fold0-seed0-groups50"
    write(folder / "train.log", "step 40\n")
    at_work(folder)
    lines = status_lines(study)
    assert lines[0].endswith("16 runs: 4 done, 1 running, 0 failed, 0 stopped, 11 left")
    assert any("fold0-seed0-groups50" in line and "running" in line for line in lines)


def test_a_finished_study_has_nothing_left(write_study):
    study = write_study(datasets=["phantom2d"], models=["unet"], cases=4, analysed=False)
    lines = status_lines(study)
    assert lines == ["synthetic: 4 runs: 4 done, 0 running, 0 failed, 0 stopped, 0 left"]
