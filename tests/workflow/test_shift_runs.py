"""Shift in the real DAG: what a study has to ask for, what that runs, and what it leaves alone."""

import subprocess
import sys

import pandas as pd
import pytest

pytestmark = pytest.mark.workflow

BOTH = "datasets=[{name: phantom2d, size: [32, 32]}, {name: phantom2d_faint, size: [32, 32]}]"
TRANSFER = "transfer=[{train: phantom2d, test: phantom2d_faint}]"
SHIFT = """
name: shifted
datasets: [{name: phantom2d, size: [32, 32]}, {name: phantom2d_faint, size: [32, 32]}]
models: [unet]
backbone: {widths: [2, 4], blocks_per_level: 1}
folds: {outer: 2, inner: 2, run: [1]}
training: {steps: 3, batch: 2, patch_2d: [16, 16], validate_every: 2}
metrics: [dice]
transfer: [{train: phantom2d, test: phantom2d_faint, classes: {2: 3}, ensemble: true}]
corruptions: [blur]
data_efficiency: [40]
"""
TABLES = ["scores.csv", "transfer.csv", "corrupted.csv", "data_efficiency.csv", "ensembles.csv"]


def test_corruptions_train_nothing(finished):
    jobs = finished.planned("--config", "corruptions=[noise, blur]")
    assert (jobs.pop("score_shift"), jobs.pop("gather_shift")) == (4, 1)
    assert not jobs.keys() & {"prepare", "train", "predict", "score", "gather"}


def test_fewer_groups_train_runs_of_their_own(finished):
    jobs = finished.planned("--config", "data_efficiency=[25, 50]")
    assert {rule: jobs[rule] for rule in ("train", "predict", "score", "gather_shift")} == {
        "train": 8, "predict": 8, "score": 8, "gather_shift": 1,
    }  # fmt: skip
    assert not jobs.keys() & {"prepare", "gather", "score_shift"}


def test_a_transfer_takes_the_models_of_one_dataset(finished):
    jobs = finished.planned("--config", BOTH, TRANSFER)
    assert (jobs["train"], jobs["score_shift"], jobs["gather_shift"]) == (4, 4, 1)


def test_ensembles_add_one_job_per_model_of_the_training_set_and_no_training(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")

    def jobs(transfer):
        return checkout.planned("--config", BOTH, transfer)

    plain, asked = jobs(TRANSFER), jobs(TRANSFER.replace("}]", ", ensemble: true}]"))
    assert "score_ensemble" not in plain
    assert (asked.pop("score_ensemble"), asked.pop("gather_shift")) == (2, 2)
    assert plain.pop("gather_shift") == 1
    assert asked == plain


def test_a_transfer_that_cannot_be_is_refused_before_any_job(untouched):
    run = untouched.snakemake("-n", "--config", BOTH, TRANSFER.replace("_faint", "_fant"))
    assert run.returncode == 1
    assert "transfer[0].test" in run.stdout and "did you mean 'phantom2d_faint'" in run.stdout


def test_a_study_of_shift_from_keys_to_tables(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    (checkout.folder / "shifted.yaml").write_text(SHIFT)
    arguments = (
        "--configfile",
        "shifted.yaml",
        "--",
        *(f"results/shifted/{table}" for table in TABLES),
    )
    run = checkout.snakemake_on(*arguments)
    assert run.returncode == 0, run.stdout
    results = checkout.folder / "results/shifted"
    scores, transfer, corrupted, small, together = (
        pd.read_csv(results / table) for table in TABLES
    )

    other = pd.read_csv(results / "data/prepared/phantom2d_faint/cases.csv")
    assert set(zip(transfer["dataset"], transfer["test"], strict=True)) == {
        ("phantom2d", "phantom2d_faint")
    }
    assert sorted(transfer["case"]) == sorted(other["case"]) and set(transfer["class"]) == {2}

    assert sorted(together["case"]) == sorted(other["case"]) and set(together["members"]) == {1}

    keys = ["dataset", "case", "class"]
    assert corrupted.groupby(["corruption", "level"]).ngroups == 5
    for table in (small, *(rows for _, rows in corrupted.groupby("level"))):
        assert table[keys].to_numpy().tolist() == scores[keys].to_numpy().tolist()
    assert set(small["percent"]) == {40}
    assert {path.name for path in results.glob("runs/*/*/*")} == {
        "fold1-seed0",
        "fold1-seed0-groups40",
    }

    assert "Nothing to be done" in checkout.snakemake_on(*arguments).stdout
    again = checkout.snakemake_on(
        "-n", *arguments[:2], "--config", "corruptions=[blur, noise]", *arguments[2:]
    )
    assert "score_shift " in again.stdout and "train " not in again.stdout
    status = [sys.executable, "-m", "attnbench.cli", "status", "shifted.yaml"]
    said = subprocess.run(
        status, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True
    )
    assert "shifted: 4 runs: 4 done" in said.stdout, said.stderr
