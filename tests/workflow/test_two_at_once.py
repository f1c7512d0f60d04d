"""Two Snakemakes on one output, one that was killed, and the results of another study."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from attnbench.locks import holder_of

pytestmark = pytest.mark.workflow
RUN = "results/tiny/runs/phantom2d/unet/fold0-seed0"
LONGER = "training={steps: 300, batch: 2, patch_2d: [16, 16], validate_every: 2}"


def test_a_training_left_by_a_killed_snakemake_is_waited_for_and_taken(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    folder = checkout.folder / RUN
    words = (f"{RUN}/run.json", "--configfile", "tiny.yaml", "--config", LONGER)
    first = subprocess.Popen(
        checkout.command(*words),
        cwd=checkout.folder,
        env=checkout.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (folder / "progress.csv").exists():
        assert first.poll() is None
        time.sleep(0.01)
    training = holder_of(folder / ".lock")[0].process.pid
    os.kill(training, signal.SIGSTOP)
    try:
        # From a working directory of its own, where Snakemake's lock is not seen.
        (tmp_path / "beside").mkdir()
        at = f"output={checkout.folder}/results/tiny"
        beside = [
            *checkout.command(f"{checkout.folder}/{RUN}/run.json", "--snakefile"),
            str(checkout.folder / "Snakefile"),
            *("--configfile", str(checkout.folder / "tiny.yaml"), "--config", at),
        ]
        second = subprocess.run(
            beside,
            cwd=tmp_path / "beside",
            env=checkout.environment,
            capture_output=True,
            text=True,
        )
        assert second.returncode == 1
        assert f"in use by Snakemake on the study tiny (process {first.pid} on" in second.stderr

        first.kill()
        assert first.wait() == -signal.SIGKILL
        shutil.rmtree(checkout.folder / ".snakemake/locks")  # as --unlock does
        said = tmp_path / "said.txt"
        with said.open("w") as stream:
            third = subprocess.Popen(
                checkout.command(*words),
                cwd=checkout.folder,
                env=checkout.environment,
                stdout=stream,
                stderr=stream,
            )
        waiting = f"waiting for the job of {RUN}/train.log (process {training}"
        while waiting not in said.read_text():
            assert third.poll() is None, said.read_text()
            time.sleep(0.05)
    finally:
        os.kill(training, signal.SIGCONT)
    assert third.wait() == 0, said.read_text()
    assert "trained by the process waited for" in (folder / "train.log").read_text()
    assert not list(checkout.results.rglob(".*lock"))


def test_results_without_records_of_snakemake_are_those_of_their_study(finished, planned_by):
    shutil.rmtree(finished.folder / ".snakemake")
    assert finished.planned() == {}
    again = finished.snakemake("-n", "--config", LONGER)
    assert "made again" in again.stdout and "by another recipe" in again.stdout
    assert planned_by(again)["train"] == 4
