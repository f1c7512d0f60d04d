"""Every command of docs/upkeep.md on a finished study, and what Snakemake plans afterwards."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow
PAGE = Path(__file__).parents[2] / "docs" / "upkeep.md"
RUN = "runs/phantom2d/unet/fold0-seed0"


def commands() -> list[str]:
    """Commands of the page that stand on lines of their own, on the study of the test."""
    lines = re.findall(r"^    (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [line.replace("my.yaml", "tiny.yaml") for line in lines]


def typed(checkout, line: str) -> str:
    ran = subprocess.run(
        ["bash", "-ec", line],
        cwd=checkout.folder,
        env=checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ran.returncode == 0, f"{line}\n{ran.stdout}"
    return ran.stdout


def test_what_is_quickly_made_is_planned_and_what_is_not_is_named(finished):
    (finished.results / RUN / "scores.csv").unlink()
    assert finished.planned("--configfile", "tiny.yaml")["score"] == 1
    (finished.results / RUN / "predictions.npz").rename(finished.folder / "kept")
    shutil.rmtree(finished.results / "data" / "prepared")
    said = typed(finished, "attnbench status tiny.yaml")
    assert "gone: the prepared data or folds of phantom2d" in said


def test_data_and_weights_come_back_and_nothing_follows(finished):
    scores = (finished.results / RUN / "scores.csv").stat().st_mtime_ns
    weights = (finished.results / RUN / "run.json").read_text()
    shutil.rmtree(finished.results / "data" / "prepared")
    (finished.results / RUN / "model.pt").unlink()
    first, second = (line for line in commands() if "--missing" in line)
    planned = typed(finished, first)
    assert "gone: the weights" in planned
    assert "would prepare, folds: phantom2d" in planned and "would train: 1 run(s)" in planned
    assert not (finished.results / RUN / "model.pt").exists()
    typed(finished, second)
    assert "gone:" not in typed(finished, "attnbench status tiny.yaml")
    again = (finished.results / RUN / "run.json").read_text()
    digest = re.compile(r'"weights_sha256": "(\w+)"')
    assert digest.search(again)[1] == digest.search(weights)[1]
    assert (finished.results / RUN / "scores.csv").stat().st_mtime_ns == scores
    assert finished.planned("--configfile", "tiny.yaml") == {}


def test_cleaned_predictions_stay_away_and_chosen_runs_come_again(finished):
    chosen = [line for line in commands() if line.startswith("attnbench rerun tiny.yaml --model")]
    (dataset,) = [line for line in commands() if "--dataset" in line]
    (clean,) = [line for line in commands() if line.startswith("attnbench clean")]
    before = {path: path.read_bytes() for path in finished.results.rglob("scores.csv")}
    assert "predictions of 4 run(s)" in typed(finished, clean)
    assert list(finished.results.rglob("predictions.npz")) == []
    assert finished.planned("--configfile", "tiny.yaml") == {}
    more = "models='[unet, attention_gate, cbam]'"
    planned = finished.planned("--configfile", "tiny.yaml", "--config", more)
    assert (planned["train"], planned["predict"]) == (2, 2)
    shown = typed(finished, chosen[0])
    assert re.search(r"^train +1$", shown, re.MULTILINE)
    shown = typed(finished, f"{dataset} --dry-run")
    assert re.search(r"^predict +4$", shown, re.MULTILINE) and "\ntrain " not in shown
    typed(finished, chosen[1])
    assert [path.parent.name for path in finished.results.rglob("predictions.npz")] == [
        Path(RUN).name
    ]
    assert not (finished.results / RUN / "predictions.removed").exists()
    assert {path: path.read_bytes() for path in finished.results.rglob("scores.csv")} == before


def test_a_renamed_study_keeps_its_runs(finished):
    move, forced = (line for line in commands() if "new" in line)
    text = (finished.folder / "tiny.yaml").read_text()
    (finished.folder / "new.yaml").write_text(text.replace("name: tiny", "name: new"))
    typed(finished, move.replace("results/old", "results/tiny"))
    shown = typed(finished, f"{forced} --dry-run")
    rules = set(re.findall(r"^(\w+) +\d+$", shown, re.MULTILINE))
    assert "report" in rules and rules.isdisjoint({"prepare", "train", "predict", "score"})
