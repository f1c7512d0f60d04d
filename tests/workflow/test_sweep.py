"""A sweep through the real DAG: every run has the value that its own fold's validation chose."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

RATES = (0.001, 0.1)
TINY = "warm_up: 0, steps: 6, batch: 2, patch_2d: [16, 16], validate_every: 2"
SWEEP = f"training={{{TINY}, sweep: {{learning_rate: [0.001, 0.1]}}}}"
OTHER = f"training={{{TINY}, sweep: {{learning_rate: [0.001, 0.2]}}}}"
WIDER = f"training={{{TINY}, sweep: {{learning_rate: [0.001, 0.1, 0.2]}}}}"


def read(path: Path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def swept(untouched, tmp_path_factory):
    checkout = untouched.copy(tmp_path_factory.mktemp("swept"))
    run = checkout.snakemake("--config", SWEEP, "--", "results/tiny/scores.csv")
    assert run.returncode == 0, run.stdout
    return checkout


def test_a_sweep_is_planned_with_the_same_trials_for_every_model_and_fold(untouched):
    jobs = untouched.planned("--config", SWEEP)
    assert (jobs["trial"], jobs["choose"], jobs["train"]) == (8, 4, 4)
    plain = untouched.planned()
    assert not plain.keys() & {"trial", "choose"}
    assert {rule: jobs[rule] for rule in plain if rule != "tables"} == {
        rule: plain[rule] for rule in plain if rule != "tables"
    }


def test_no_trial_sees_a_case_that_its_fold_tests(swept):
    folds = read(swept.results / "data/folds/phantom2d.json")["folds"]
    trials = list(swept.results.glob("sweep/phantom2d/*/fold*/*.json"))
    assert len(trials) == 8
    for path in trials:
        trial = read(path)
        fold = folds[trial["fold"]]
        assert set(trial["cases"]) == set(fold["validation"])
        assert not set(trial["cases"]) & set(fold["test"])
        assert trial["seconds"] > 0 and trial["steps"] == 6


def test_every_run_has_the_value_that_scored_best_on_its_own_fold(swept):
    for path in swept.results.glob("runs/phantom2d/*/*/run.json"):
        run = read(path)
        folder = swept.results / "sweep/phantom2d" / run["model"] / f"fold{run['fold']}"
        trials = [read(folder / f"{number}.json") for number in range(2)]
        assert tuple(trial["value"] for trial in trials) == RATES
        best = max(trials, key=lambda trial: trial["score"])
        assert run["chosen"] == {"learning_rate": best["value"]}
        history = path.with_name("history.csv").read_text().splitlines()
        first = dict(zip(history[0].split(","), history[1].split(","), strict=True))
        assert float(first["learning_rate"]) == pytest.approx(best["value"], rel=0.2)
        choice = read(folder.with_suffix(".json"))
        assert choice["seconds"] == pytest.approx(sum(trial["seconds"] for trial in trials))


def test_another_grid_tries_what_is_new_and_trains_again(swept):
    scores = ("--", "results/tiny/scores.csv")
    assert swept.planned("--config", SWEEP, *scores) == {}
    runs = {"train": 4, "predict": 4, "score": 4, "gather": 1}
    assert swept.planned("--config", OTHER, *scores) == {"trial": 4, "choose": 4} | runs
    assert swept.planned("--config", WIDER, *scores) == {"trial": 4, "choose": 4} | runs
