"""Splits in the real DAG: own pictures with an official split, a held-out test set beside folds,
and a set that is only tested, from the study file to the page.
"""

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from attnbench.analysis.run import compute_analysis
from attnbench.check import load_study
from attnbench.study.split import Split

pytestmark = pytest.mark.workflow

ENTRY = """
name: {name}
short: {short}
title: Made pictures
task: discs
modality: none
ndim: 2
channels: 1
classes: {{1: disc}}
axes: [rows, columns]
mirror: {{axes: [0, 1], reason: A disc is a disc.}}
cases: 16
groups: {groups}
groups_inferred: false
licence: CC0
citation: nobody
origin: {{kind: local, folder: {name}}}
reader: binary_mask
"""
STUDY = """
name: splits
catalog: [./sets]
datasets:
  - {name: fixed, split: official}
  - {name: folded, held_out: official}
  - {name: elsewhere, test_only: true}
models: [unet, attention_gate]
backbone: {widths: [2, 4], blocks_per_level: 1}
folds: {outer: 2, inner: 2}
training: {steps: 3, batch: 2, patch_2d: [16, 16], validate_every: 2}
metrics: [dice]
analysis: {bootstrap: 200}
transfer: [{train: fixed, test: elsewhere}]
"""
PARTS = ["train"] * 10 + ["test"] * 6


def write_set(folder, name, short, groups="8"):
    """Sixteen pictures of a disc, two of each group, the last six of them the test part."""
    rng = np.random.default_rng(sum(map(ord, name)))
    rows = []
    (folder / name).mkdir(parents=True)
    for i in range(16):
        mask = np.hypot(*(np.indices((32, 32)) - rng.integers(8, 24, (2, 1, 1)))) < 6
        image = (90 + 80 * mask + rng.normal(0, 20, mask.shape)).clip(0, 255)
        for role, pixels in (("image", image), ("mask", 255 * mask)):
            path = folder / name / f"{role}{i:02d}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            data = path.read_bytes()
            group = f"p{i // 2}" if groups != "unknown" else f"c{i:02d}"
            digest = hashlib.sha256(data).hexdigest()
            rows.append((path.name, len(data), digest, role, f"c{i:02d}", group))
    (folder / f"{name}.yaml").write_text(ENTRY.format(name=name, short=short, groups=groups))
    with (folder / f"{name}.files.csv").open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerows([("path", "bytes", "sha256", "role", "case", "group"), *rows])
    labels = "".join(f"c{i:02d},{part}\n" for i, part in enumerate(PARTS))
    (folder / f"{name}.cases.csv").write_text(f"case,part\n{labels}")


@pytest.fixture(scope="module")
def finished_splits(untouched, tmp_path_factory):
    checkout = untouched.copy(tmp_path_factory.mktemp("splits"))
    write_set(checkout.folder / "sets", "fixed", "Fixed")
    write_set(checkout.folder / "sets", "folded", "Folded")
    write_set(checkout.folder / "sets", "elsewhere", "Elsewhere", groups="unknown")
    (checkout.folder / "splits.yaml").write_text(STUDY)
    run = checkout.snakemake_on("--configfile", "splits.yaml")
    assert run.returncode == 0, run.stdout
    return checkout, run.stdout


def test_each_dataset_has_its_own_folds_and_the_last_has_none(finished_splits):
    results = finished_splits[0].folder / "results" / "splits"
    runs = {str(path.parent.relative_to(results / "runs")) for path in results.rglob("model.pt")}
    models = ("unet", "attention_gate")
    assert runs == {
        *(f"fixed/{model}/fold0-seed0" for model in models),
        *(f"folded/{model}/fold{fold}-seed0" for model in models for fold in (0, 1)),
    }
    folds = {
        path.stem: json.loads(path.read_text())
        for path in results.glob("data/folds/*")
        if not path.stem.endswith(".statistics")
    }
    assert set(folds) == {"fixed", "folded"}
    names = [f"c{i:02d}" for i in range(16)]
    assert folds["fixed"]["folds"][0]["test"] == names[10:]
    assert folds["folded"]["held_out"] == names[10:]
    assert sorted(c for fold in folds["folded"]["folds"] for c in fold["test"]) == names[:10]


def test_scores_are_of_the_cases_that_each_split_tests(finished_splits):
    results = finished_splits[0].folder / "results" / "splits"
    text = {"case": "str"}
    scores = pd.read_csv(results / "scores.csv", dtype=text)
    apart = pd.read_csv(results / "held_out.csv", dtype=text)
    moved = pd.read_csv(results / "transfer.csv", dtype=text)
    names = [f"c{i:02d}" for i in range(16)]
    tested = {name: sorted(set(rows["case"])) for name, rows in scores.groupby("dataset")}
    assert tested == {"fixed": names[10:], "folded": names[:10]}
    # Both folds' models of both kinds score every held-out case.
    assert apart.groupby(["model", "fold"])["case"].apply(sorted).tolist() == [names[10:]] * 4
    assert set(apart["dataset"]) == {"folded"}
    assert set(moved["test"]) == {"elsewhere"} and sorted(set(moved["case"])) == names
    held_out = pd.read_csv(results / "analysis" / "held_out.csv")
    unet = held_out[(held_out["model"] == "unet") & (held_out["class"] == "1")]
    own = apart[apart["model"] == "unet"]
    by_group = own.groupby("case").agg({"value": "mean", "group": "first"})
    expected = by_group.groupby("group")["value"].mean().mean()
    assert unet["mean"].item() == pytest.approx(expected)
    assert (unet["cases"].item(), unet["groups"].item(), unet["folds"].item()) == (6, 3, 2)


def test_one_fixed_split_claims_nothing_and_everything_says_so(finished_splits):
    checkout, printed = finished_splits
    results = checkout.folder / "results" / "splits"
    effects = pd.read_csv(results / "analysis" / "effects.csv")
    fixed = effects[effects["dataset"] == "fixed"]
    assert fixed["p_retrained"].isna().all() and (fixed["trainings"] <= 1).all()
    words = {"one fixed split", "too few groups", "undefined"}
    assert set(fixed["verdict_retrained"]) <= words
    answer = pd.read_csv(results / "analysis" / "answer.csv").set_index("dataset")
    assert answer.loc["fixed", "verdict"] in words
    said = {
        "Fixed: official split of its authors, one fixed split",
        "Folded: beside its folds the official test part is held out",
        "Elsewhere: external test set only",
    }
    page = (results / "report.html").read_text()
    texts = [page, printed, (results / "methods.md").read_text()]
    texts += [path.read_text() for path in (results / "tables").glob("*.md")]
    assert len(texts) > 10
    for text in texts:
        flat = " ".join(text.replace("\\", "").split())
        assert [words for words in said if words not in flat] == []
    frames = pd.read_csv(results / "analysis" / "means.csv")
    assert set(frames["dataset"]) == {"fixed", "folded"}


def test_where_groups_cross_no_frame_of_the_analysis_has_a_test(finished_splits, monkeypatch):
    monkeypatch.chdir(finished_splits[0].folder)
    crossing = {"fixed": Split("official", 1, 1, True), "folded": Split("file", 2, 1, True)}
    study = load_study(Path("splits.yaml")).with_splits(crossing)
    frames = compute_analysis(study)
    claims = {"better", "worse", "helps", "equivalent", "not separated from size"}
    seen = set()
    for name, frame in frames.items():
        tests = [column for column in frame if column == "p" or column.startswith("p_")]
        assert frame[tests].isna().all(axis=None), name
        for column in (column for column in frame if column.startswith("verdict")):
            assert not claims & set(frame[column]), name
            seen |= set(frame[column])
    assert "groups cross" in seen


def test_a_changed_split_file_makes_folds_and_what_follows_again(finished_splits, tmp_path):
    checkout = finished_splits[0].copy(tmp_path / "copy")
    rows = "".join(f"c{i:02d},{part}\n" for i, part in enumerate(reversed(PARTS)))
    (checkout.folder / "own.csv").write_text(f"case,part\n{rows}")
    text = (checkout.folder / "splits.yaml").read_text()
    (checkout.folder / "splits.yaml").write_text(text.replace("split: official", "split: own.csv"))
    run = checkout.snakemake_on("--configfile", "splits.yaml", "-n")
    assert run.returncode == 0, run.stdout
    planned = dict(re.findall(r"^(folds|prepare|train) +(\d+)$", run.stdout, re.MULTILINE))
    assert planned == {"folds": "1", "train": "2"}
