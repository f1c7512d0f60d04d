"""The real DAG on a tiny study: what it leaves behind, and what it does again when something
changes.
"""

import base64
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.workflow

THIRD = "models=[unet, attention_gate, self_attention]"
AFTER = {"predict": 2, "score": 2, "gather": 1}
COMPARISON = {"analyse": 1, "tables": 1, "export": 1, "report": 1}


def without_figures(jobs: dict[str, int]) -> dict[str, int]:
    """Jobs by rule; figures, and the maps that they show where other cases are chosen, are as
    many as there are.
    """
    return {rule: count for rule, count in jobs.items() if rule not in ("figure", "attend")}


def files_of(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_promised_file_is_there_and_whole(first_run):
    results = first_run[0].results
    run = results / "runs/phantom2d/attention_gate/fold1-seed0"
    names = {path.name for path in run.iterdir()}
    tables = {"history.csv", "calibration.csv", "gates.csv", "scores.csv"}
    whole = {name for name in names if not name.startswith("events.out.tfevents.")}
    assert whole == {"model.pt", "run.json", "train.log", "predictions.npz"} | tables
    for table in ("comparison", "effects", "cost"):
        assert {path.suffix for path in results.glob(f"tables/{table}.*")} == {
            ".csv",
            ".md",
            ".tex",
        }
    for figure in ("scores", "learning", "cases_phantom2d", "attention_phantom2d"):
        assert {path.suffix for path in results.glob(f"figures/{figure}.*")} == {
            ".pdf",
            ".png",
            ".csv",
        }
    assert [
        path
        for path in results.rglob("*")
        if path.is_file() and not path.stat().st_size and path.suffix != ".log"
    ] == []
    assert list(results.rglob(".*")) == []


def test_every_job_has_a_log_and_a_benchmark(first_run):
    results = first_run[0].results
    jobs = (
        1
        + 1
        + 1
        + 2
        + 2
        + 4
        + 4
        + 4
        + 1
        + 1
        + 1
        + 1
        + 1
        + 1
        + len(list(results.glob("figures/*.png")))
    )
    assert len(list(results.glob("benchmarks/**/*.tsv"))) == jobs
    logs = {
        path for pattern in ("logs/**/*.log", "runs/**/train.log") for path in results.glob(pattern)
    }
    assert len(logs - {results / "logs/provenance.log"}) == jobs


def test_every_case_is_tested_once_by_every_model_and_scored(first_run):
    results = first_run[0].results
    cases = pd.read_csv(
        results / "data/prepared/phantom2d/cases.csv", dtype={"case": str, "group": str}
    )
    scores = pd.read_csv(results / "scores.csv", dtype={"case": str, "group": str})
    assert set(scores["model"]) == {"unet", "attention_gate"}
    for _, rows in scores.groupby(["model", "class", "metric"]):
        assert sorted(rows["case"]) == sorted(cases["case"])
    groups = dict(zip(cases["case"], cases["group"], strict=True))
    assert [groups[case] for case in scores["case"]] == list(scores["group"])
    assert len(scores[["group", "fold"]].drop_duplicates()) == cases["group"].nunique()


def test_stages_agree_with_each_other(first_run):
    results = first_run[0].results
    folds = json.loads((results / "data/folds/phantom2d.json").read_text())
    data = json.loads((results / "data/prepared/phantom2d/dataset.json").read_text())
    recipes = set()
    for run in results.glob("runs/phantom2d/*/*"):
        facts = json.loads((run / "run.json").read_text())
        description = json.loads((results / f"models/phantom2d/{facts['model']}.json").read_text())
        assert facts["data_hash"] == data["content_hash"] == folds["data_hash"]
        assert facts["folds_hash"] == folds["hash"]
        assert facts["parameters"] == description["parameters"]
        assert facts["steps"] == 3
        recipes.add((facts["model"], facts["recipe_hash"]))
        with np.load(run / "predictions.npz") as predictions:
            assert sorted(predictions.files) == sorted(folds["folds"][facts["fold"]]["test"])
    assert len(recipes) == 2


def test_the_reported_mean_is_the_mean_of_the_scores(first_run):
    results = first_run[0].results
    scores = pd.read_csv(results / "scores.csv")
    means = pd.read_csv(results / "analysis/means.csv", dtype={"class": str})
    dice = (
        scores[(scores["metric"] == "dice") & (scores["class"] == 1)]
        .groupby("model")["value"]
        .mean()
    )
    reported = means[(means["metric"] == "dice") & (means["class"] == "1")].set_index("model")[
        "mean"
    ]
    assert reported.to_dict() == pytest.approx(dice.to_dict(), rel=1e-12)


def test_the_attention_gate_has_its_maps_on_the_cases_that_are_shown(first_run):
    results = first_run[0].results
    shown = pd.read_csv(results / "analysis/cases.csv", dtype={"case": str})
    with np.load(results / "attention/phantom2d/attention_gate.npz") as maps:
        assert sorted(maps.files) == sorted(shown["case"])
    drawn = pd.read_csv(results / "figures/attention_phantom2d.csv", dtype={"case": str})
    assert list(drawn["case"]) == list(shown["case"]) and set(drawn["model"]) == {"attention_gate"}


def test_a_run_ends_with_the_comparison_and_the_paths(first_run):
    checkout, run = first_run
    ending = re.split(r"\d+ of \d+ steps \(100%\) done", run.stdout)[-1]
    assert "U-Net" in ending and "Attention gate" in ending and "Dice" in ending
    named = re.findall(r"results/tiny/\S+", ending)
    assert {"results/tiny/report.html", "results/tiny/provenance.html"} <= set(named)
    for name in named:
        stem, _, suffixes = name.partition(".{")
        endings = suffixes.rstrip("}").split(",") if suffixes else [""]
        assert all(
            (checkout.folder / (f"{stem}.{end}" if end else stem)).exists() for end in endings
        )


def test_the_terminal_has_one_line_per_trained_run_and_its_log_every_step(first_run):
    checkout, run = first_run
    lines = re.findall(
        r"^trained (\d)/4  phantom2d/(\w+)/fold(\d)-seed0  validation Dice ",
        run.stdout,
        re.MULTILINE,
    )
    assert (
        len(lines) == 4
        and len({line[1:] for line in lines}) == 4
        and "4" in {line[0] for line in lines}
    )
    assert "step 2/3" not in run.stdout
    log = (checkout.results / "runs/phantom2d/unet/fold0-seed0/train.log").read_text()
    assert "step 2/3" in log and "trained" in log


def test_the_report_answers_and_holds_the_figures(first_run):
    results = first_run[0].results
    text = (results / "report.html").read_text(encoding="utf-8")
    assert "1 comparison with U-Net (1 model on 1 dataset) came out" in text
    for path in results.glob("figures/*.pdf"):
        assert base64.b64encode(path.read_bytes()).decode() in text, path
        assert f'id="figure-{path.stem}"' in text and "has not been drawn" not in text


def test_the_provenance_holds_figures_and_tables_with_captions(first_run):
    results = first_run[0].results
    text = (results / "provenance.html").read_text(encoding="utf-8")
    tables = [path.with_suffix(".csv") for path in results.glob("tables/*.md")]
    for path in [*results.glob("figures/*.png"), *tables]:
        assert base64.b64encode(path.read_bytes()).decode() in text, path
    assert "Every paired difference from the baseline" in text
    assert "How every case scored" in text


def test_a_study_takes_nothing_from_the_default_study(first_run, untouched):
    assert {path.name for path in first_run[0].results.glob("runs/*/*/*")} == {
        "fold0-seed0",
        "fold1-seed0",
    }
    assert jobs_of_default(untouched)["train"] == 5 * 2
    assert jobs_of_default(untouched, "--config", "seeds=[1]")["train"] == 5


def jobs_of_default(checkout, *arguments: str) -> dict[str, int]:
    run = checkout.snakemake_on("-n", *arguments)
    assert run.returncode == 0, run.stdout
    return {
        rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", run.stdout, re.MULTILINE)
    }


def test_a_second_run_does_nothing(finished):
    before = files_of(finished.results)
    run = finished.snakemake()
    assert run.returncode == 0
    assert "Nothing to be done" in run.stdout
    assert files_of(finished.results) == before


def test_a_dry_run_leaves_nothing_behind(untouched):
    assert untouched.planned()["train"] == 4
    assert not untouched.results.exists()


def test_a_new_model_trains_only_its_own_runs(finished):
    jobs = finished.planned("--config", THIRD)
    assert without_figures(jobs) == {"describe": 1, "measure": 1, "train": 2} | AFTER | COMPARISON


def test_a_new_seed_or_a_mechanism_elsewhere_trains_only_its_own_runs(finished):
    assert finished.planned("--config", "seeds=[0, 1]")["train"] == 4
    mine = (
        "models=[unet, attention_gate, "
        "{name: mine, slots: {decoder: {name: self_attention, levels: [0]}}}]"
    )
    assert finished.planned("--config", mine)["train"] == 2


def test_repeats_plan_every_run_of_every_repeat(untouched):
    once = untouched.planned()
    twice = untouched.planned("--config", "folds={outer: 2, inner: 2, repeats: 2}")
    assert (once["train"], once["score"]) == (4, 4)
    assert (twice["train"], twice["score"]) == (8, 8)
    per_run = {"train", "predict", "score"}
    assert {rule: count for rule, count in twice.items() if rule not in per_run} == {
        rule: count for rule, count in once.items() if rule not in per_run
    }


def test_other_statistics_do_not_train_again(finished):
    jobs = finished.planned("--config", "analysis={bootstrap: 300}")
    assert without_figures(jobs) == COMPARISON and jobs["figure"] > 1


def test_other_metrics_score_again_and_do_not_train(finished):
    jobs = finished.planned("--config", "metrics=[dice]")
    assert without_figures(jobs) == {"score": 4, "gather": 1} | COMPARISON


def test_another_budget_trains_everything_and_prepares_nothing(finished):
    jobs = finished.planned("--config", "training={steps: 4}")
    assert jobs["train"] == 4 and not jobs.keys() & {"fetch", "prepare", "folds"}


def test_where_it_computes_is_no_reason_to_run_again(finished):
    assert (
        finished.planned("--config", "compute={threads: 2, device: cpu}", "data={offline: true}")
        == {}
    )


def test_touched_sources_do_not_run_again_and_changed_ones_do(finished):
    package = finished.folder / "src/attnbench"
    for path in package.rglob("*.py"):
        path.touch()
    assert finished.planned() == {}
    unused = (
        (package / "models/attention/simam.py").read_text().replace("class SimAM", "class Unused")
    )
    (package / "models/attention/unused.py").write_text(unused)
    change(package / "study/settings.py")
    assert finished.planned() == {}
    change(package / "reporting/templates/report.css")
    assert finished.planned() == {"report": 1}
    change(package / "reporting/style.py")
    assert finished.planned().keys() <= {"tables", "figure", "report", "export"}
    change(package / "models/attention/attention_gate.py")
    jobs = finished.planned()
    assert without_figures(jobs) == {"describe": 1, "measure": 1, "train": 2} | AFTER | COMPARISON
    change(package / "training/loop.py")
    jobs = finished.planned()
    assert jobs["train"] == 4 and not jobs.keys() & {"fetch", "prepare", "folds"}


def change(path: Path) -> None:
    path.write_text(path.read_text() + ("\nCHANGED = 1\n" if path.suffix == ".py" else "\n"))


def test_jobs_depend_on_what_code_means(finished):
    loop = finished.folder / "src/attnbench/training/loop.py"
    text = loop.read_text()
    loop.write_text('"""Said otherwise."""\n\n\n' + text.partition('"""\n')[2] + "\n# a comment\n")
    assert finished.planned() == {}
    loop.write_text(text.replace("LARGEST_GRADIENT = 12.0", "LARGEST_GRADIENT = 13.0"))
    jobs = finished.planned()
    assert (jobs["train"], jobs["measure"]) == (4, 2)
    assert not jobs.keys() & {"fetch", "prepare", "folds", "describe"}


def test_a_killed_run_is_continued(finished):
    scores = "results/tiny/scores.csv"
    new = finished.results / "runs/phantom2d/self_attention"
    old = files_of(finished.results / "runs")
    arguments = ("--configfile", "tiny.yaml", "--config", THIRD, "--", scores)
    process = subprocess.Popen(
        finished.command(*arguments),
        cwd=finished.folder,
        env=finished.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not list(new.glob("*/train.log")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(new.glob("*/scores.csv"))

    unlocked = finished.snakemake_on(*arguments[:4], "--unlock")
    assert unlocked.returncode == 0, unlocked.stdout
    run = finished.snakemake_on(*arguments)
    assert run.returncode == 0, run.stdout
    assert len(list(new.glob("*/scores.csv"))) == 2
    after = files_of(finished.results / "runs")
    assert {name: after[name] for name in old} == old
    assert set(pd.read_csv(finished.folder / scores)["model"]) == {
        "unet",
        "attention_gate",
        "self_attention",
    }


def test_a_wrong_study_is_refused_before_any_job(untouched):
    run = untouched.snakemake("--config", "models=[unet, atention_gate]", "metrics=[dise]")
    assert run.returncode == 1
    assert "models[1]" in run.stdout and "did you mean 'attention_gate'" in run.stdout
    assert "metrics[0]" in run.stdout and "did you mean 'dice'" in run.stdout
    assert "Traceback" not in run.stdout and "Job stats" not in run.stdout
    assert not untouched.results.exists()


def test_a_failed_job_shows_what_was_wrong(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    (tmp_path / "mirror").mkdir()
    run = checkout.snakemake(
        "--retries",
        "0",
        "--config",
        "datasets=[retina_drive]",
        f"data={{mirror: {tmp_path / 'mirror'}, offline: true}}",
    )
    assert run.returncode == 1
    assert "retina_drive" in run.stdout and str(tmp_path / "mirror") in run.stdout
    assert not list(checkout.results.rglob("receipt.json"))


def test_the_slurm_profile_asks_for_what_the_study_says(finished):
    pytest.importorskip(
        "snakemake_executor_plugin_slurm", reason="an extra: pip install 'attnbench[slurm]'"
    )
    cuda = "compute={device: cuda, minutes: 7}"
    run = finished.snakemake("-n", "--workflow-profile", "profiles/slurm", "--config", cuda)
    assert run.returncode == 0, run.stdout
