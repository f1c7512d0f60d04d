"""Signals to a real Snakemake and its training; the next one goes on, or takes what is there."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.workflow

LONG = """
name: long
datasets: [{name: phantom2d, size: [32, 32]}]
models: [unet, {name: pair, slots: {bottleneck: self_attention}}]
backbone: {widths: [2, 4], blocks_per_level: 1}
folds: {outer: 2, inner: 2, run: [0]}
training: {steps: STEPS, batch: 2, patch_2d: [16, 16], validate_every: 100}
metrics: [dice]
"""
FOLDER = "results/long/runs/phantom2d/unet/fold0-seed0"
UNTIL = ("--cores", "1", f"{FOLDER}/run.json")


def started(checkout, *words):
    """Snakemake in a process group of its own, as a terminal has it, once its training is at it."""
    folder = checkout.folder / FOLDER
    command = checkout.command(*words, "--configfile", "long.yaml", *UNTIL)
    environment = checkout.environment | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=checkout.folder, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "progress.csv").exists() or len(rows(folder)) < 5:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.05)
    return process


def rows(folder):
    return (folder / "progress.csv").read_text().splitlines()


def run_again(checkout):
    done = checkout.snakemake_on("--configfile", "long.yaml", *UNTIL)
    assert done.returncode == 0, done.stdout
    folder = checkout.folder / FOLDER
    return json.loads((folder / "run.json").read_text()), (folder / "train.log").read_text()


@pytest.fixture
def long(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    (checkout.folder / "long.yaml").write_text(LONG.replace("STEPS", "1500"))
    return checkout


def test_ctrl_c_or_a_scheduler_stops_at_once_and_the_next_snakemake_goes_on(long, tmp_path):
    folder = long.folder / FOLDER
    process = started(long, "--retries", "3")
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "non-zero exit status 75" in said
    log = (folder / "train.log").read_text()
    (step,) = map(int, re.findall(r"stopped by SIGTERM after step (\d+) of 1500", log))
    assert (folder / "checkpoint.pt").exists() and not (folder / "model.pt").exists()
    facts, log = run_again(long)
    assert f"goes on after step {step} of 1500" in log
    other = long.copy(tmp_path / "other")
    (other.folder / FOLDER / "checkpoint.pt").unlink()
    words = "train --study long.yaml --dataset phantom2d --model unet --fold 0"
    subprocess.run(
        ["attnbench", *words.split(), "--seed", "0"],
        cwd=other.folder, env=other.environment, check=True, capture_output=True,
    )  # fmt: skip
    whole = json.loads((other.folder / FOLDER / "run.json").read_text())
    assert whole["weights_sha256"] == facts["weights_sha256"]


@pytest.mark.robust
def test_sigint_to_snakemake_alone_throws_no_finished_training_away(long):
    folder = long.folder / FOLDER
    process = started(long)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 1 and (folder / "checkpoint.pt").exists()
    finished = json.loads((folder / "run.json").read_text())
    facts, log = run_again(long)
    assert "has all its steps already of 1500" in log
    assert facts["weights_sha256"] == finished["weights_sha256"]
    assert facts["train_seconds"] == pytest.approx(finished["train_seconds"], abs=1)


@pytest.mark.robust
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminal_that_interrupts_or_closes_costs_no_step(long, number):
    process = started(long)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30  # of HUP, Snakemake dies at once, before its training
    log = long.folder / FOLDER / "train.log"
    while f"stopped by {number.name}" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    long.snakemake_on("--configfile", "long.yaml", "--unlock")
    _, log = run_again(long)
    assert "goes on after step" in log
