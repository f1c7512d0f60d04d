"""`python -m benchmarks.nnunet_comparison`: is the plain U-Net behind nnU-Net v2 on the same fold?

For every dataset and number of steps nnU-Net and the U-Net by two recipes, this project's default
and `studies/nnunet_recipe.yaml`, train on the same cases with equal steps, batch, patch and
widths, and are scored on the fold's test cases by the same code. Trainings that are done are not
repeated, so it may be interrupted, and run for some contestants only; at the end the figures go to
`benchmarks/results/nnunet.json` and the table to `docs/nnunet_comparison.md`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from attnbench.analysis.blocks import ALL_CLASSES
from attnbench.analysis.external import compare_fold
from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.folds import write_folds
from attnbench.data.nnunet import export_nnunet
from attnbench.data.prepare import prepare_dataset
from attnbench.files import read_json, write_json, write_text
from attnbench.scoring.external import score_external
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from benchmarks.peers.nnunet_trained import MIRRORED, PLAIN, Training
from benchmarks.record import RESULTS, machine
from benchmarks.timing import ROOT

WIDTHS = (8, 16, 32, 64)
# Not fold 0, by which recipes of this project were compared before.
FOLD = 1
MARGIN = 0.01
# Axes of mirroring are stated, not the catalog's, so that figures of different days have the same.
SETS: dict[str, dict[str, Any]] = {
    "hippocampus": {"patch": (24, 40, 24), "batch": 2, "mirror_axes": (0,)},
    "nuclei_dsb2018": {"patch": (96, 96), "batch": 2, "mirror_axes": (0, 1)},
}
STEPS, SEEDS = (1000, 5000), (0, 1, 2)
RECIPES = {"default": {}, "nnunet_recipe": ROOT / "studies" / "nnunet_recipe.yaml"}
# nnU-Net predicts with mirror images, as it is used, and without.
PREDICTIONS = {MIRRORED: "nnunet", PLAIN: "nnunet_without_mirroring"}
FIGURES, PAGE = RESULTS / "nnunet.json", ROOT / "docs" / "nnunet_comparison.md"
_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- end -->)", re.DOTALL)


def study_of(work: Path, dataset: str, recipe: str, steps: int, seed: int) -> Study:
    """The study of one of our trainings: the recipe's, with what all contestants share."""
    path = RECIPES[recipe]
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
    training = dict(content.get("training", {}))
    for key in ("patch_2d", "patch_3d", "batch"):
        training.pop(key, None)
    shared = {
        "name": recipe,
        "datasets": [{"name": dataset, **SETS[dataset]}],
        "models": [
            "unet",
            *(
                {
                    "name": name,
                    "predictions": {
                        "folder": f"{nnunet_folder(work, dataset, steps, seed)}/{kind}",
                        "origin": "nnU-Net v2",
                    },
                }
                for kind, name in PREDICTIONS.items()
            ),
        ],
        "backbone": content.get("backbone", {}) | {"widths": WIDTHS},
        "training": training | {"steps": steps, "validate_every": steps // 5},
        "seeds": [seed],
        "folds": {"outer": 5, "inner": 4, "run": [FOLD]},
        "metrics": ["dice", "hd95"],
        "data": {"downloads": str(work / "downloads")},
        "compute": {"device": "cpu"},
        "output": str(work / "ours" / f"{recipe}-{steps}-seed{seed}"),
    }
    return check_study(content | shared)


def prepare(work: Path, study: Study) -> None:
    """Data and folds, once for all studies: none of them says anything of the data."""
    data = work / "data"
    data.mkdir(parents=True, exist_ok=True)
    study.layout.output.mkdir(parents=True, exist_ok=True)
    if not (study.layout.output / "data").exists():
        (study.layout.output / "data").symlink_to(data.resolve())
    layout, settings = study.layout, study.datasets[0]
    entry = load_entry(settings.name)
    if not layout.folds(entry.name).exists():
        fetch_dataset(entry, layout.raw(entry.name), study.data.mirror, study.data.offline)
        prepare_dataset(entry, settings, layout.raw(entry.name), layout.prepared(entry.name))
        write_folds(layout.prepared(entry.name), study.folds, layout.folds(entry.name))


def train_ours(study: Study) -> None:
    """Train, predict and score the U-Net; `cost.json` beside its run has what that took."""
    from attnbench.inference.predict import predict_run
    from attnbench.scoring.run import score_run
    from attnbench.training.run import train_run

    run = Run(study.datasets[0].name, "unet", FOLD, study.seeds[0])
    folder = study.layout.run(run)
    if (folder / "cost.json").exists():
        return
    started, cpu = time.perf_counter(), time.process_time()
    train_run(study, run)
    cost = {"train_cpu_seconds": time.process_time() - cpu}
    started = time.perf_counter()
    predict_run(study, run)
    cost["predict_seconds"] = time.perf_counter() - started
    score_run(study, run)
    write_json(folder / "cost.json", cost)


def nnunet_folder(work: Path, dataset: str, steps: int, seed: int) -> Path:
    return work / "nnunet" / f"{dataset}-{steps}-seed{seed}"


def train_nnunet(work: Path, study: Study, steps: int) -> None:
    """Export the dataset, then train nnU-Net and predict in a process of its own."""
    name = study.datasets[0].name
    entry, layout = load_entry(name), study.layout
    raw = work / "raw" / f"Dataset{list(SETS).index(name) + 1:03d}_{name}"
    out = nnunet_folder(work, name, steps, study.seeds[0])
    if (out / "facts.json").exists():
        return
    if not raw.exists():
        folds = layout.folds(name)
        export_nnunet(entry, study.datasets[0], layout.raw(name), layout.prepared(name), folds, raw)
    training = Training(
        raw=str(raw),
        out=str(out),
        fold=FOLD,
        steps=steps,
        seed=study.seeds[0],
        widths=WIDTHS,
        **SETS[name],
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "training.json", asdict(training))
    subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.nnunet_trained", str(out / "training.json")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )


def figures(work: Path) -> dict[str, Any]:
    """Dice per class, paired differences and cost of everything that is done, by dataset and steps.

    `trainings`: one per contestant, with `dice` by class name. `differences`: ours minus nnU-Net,
    mean over classes and each class, with Student's 95 % interval over groups.
    """
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for dataset, steps, seed in itertools.product(SETS, STEPS, SEEDS):
        peer = nnunet_folder(work, dataset, steps, seed)
        studies = {one: study_of(work, dataset, one, steps, seed) for one in RECIPES}
        runs = {
            one: study.layout.run(Run(dataset, "unet", FOLD, seed))
            for one, study in studies.items()
        }
        done = [one for one, run in runs.items() if (run / "cost.json").exists()]
        if not (peer / "facts.json").exists() or not done:
            continue
        place = {"dataset": dataset, "steps": steps, "seed": seed}
        for name, recipe in itertools.product(PREDICTIONS.values(), done):
            elsewhere = Run(dataset, name, FOLD, seed)
            score_external(studies[recipe], elsewhere)
            dice = ours_minus_theirs(compare_fold(studies[recipe], elsewhere))
            if recipe == done[0]:
                facts = read_json(peer / "facts.json")
                rows.append(_row(place | {"contestant": name}, dice, "mean", facts))
            ours = place | {"contestant": f"unet, {recipe}"}
            if name == "nnunet":
                facts = read_json(runs[recipe] / "run.json") | read_json(runs[recipe] / "cost.json")
                rows.append(_row(ours, dice, "mean_baseline", facts))
            differences += [
                ours
                | {"minus": name, "class": row["class"]}
                | {key: row[key] for key in ("difference", "low", "high", "groups")}
                | {"not_behind": bool(row["low"] > -MARGIN)}
                for row in dice.to_dict("records")
            ]
    shared = {"fold": FOLD, "outer": 5, "inner": 4, "widths": WIDTHS}
    first = next(iter(SETS))
    recipes = {name: _recipe(study_of(work, first, name, STEPS[0], SEEDS[0])) for name in RECIPES}
    return {
        "measured": machine("cpu"),
        "settings": shared | {"sets": SETS, "recipes": recipes, "margin": MARGIN},
        "trainings": rows,
        "differences": differences,
    }


def ours_minus_theirs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of Dice with differences the other way round, as this page states them."""
    turned = {"difference": -table["difference"], "low": -table["high"], "high": -table["low"]}
    return table.assign(**turned)[table["metric"] == "dice"]


def _recipe(study: Study) -> dict[str, Any]:
    """What the recipes differ in: all but what every contestant of this page shares."""
    shared = {"steps", "batch", "patch_2d", "patch_3d", "validate_every", "sweep"}
    return study.training.model_dump(mode="json", exclude=shared) | {
        "deep_supervision": study.backbone.deep_supervision,
        "mirroring_at_test_time": study.inference.mirroring,
    }


def _row(place: dict[str, Any], dice: Any, column: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        **place,
        "dice": dict(zip(dice["class_name"], dice[column], strict=True)),
        "groups": int(dice["groups"].max()),
        "cases": int(dice["cases"].max()),
        "seconds_per_step": facts["train_seconds"] / facts["steps"],
        "cpu_seconds_per_step": facts["train_cpu_seconds"] / facts["steps"],
        "parameters": facts["parameters"],
    }


def render(content: dict[str, Any]) -> str:
    """The figures as Markdown: what was measured where, and one table per dataset."""
    facts, parts = content["measured"], []
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    parts.append(
        f"{facts['machine']}, one of {facts['cores']} cores, shared with other work; Python "
        f"{facts['python']}; {versions}; {facts['date']}.\n"
    )
    for dataset, own in content["settings"]["sets"].items():
        rows = [row for row in content["trainings"] if row["dataset"] == dataset]
        if not rows:
            continue
        classes, behind = list(rows[0]["dice"]), rows[0]
        patch = "x".join(map(str, own["patch"]))
        parts.append(
            f"**{dataset}**, patch {patch}, batch {own['batch']}, mirrored along axes "
            f"{list(own['mirror_axes'])}; {behind['cases']} test cases of {behind['groups']} "
            "groups\n"
        )
        head = ["steps", "seed", "contestant", *classes, "minus nnU-Net [95 %]", "verdict"]
        head += ["CPU s per step", "parameters"]
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in sorted(rows, key=lambda row: (row["steps"], row["seed"], row["contestant"])):
            paired = next(
                (
                    one
                    for one in content["differences"]
                    if all(
                        one[key] == row[key] for key in ("dataset", "steps", "seed", "contestant")
                    )
                    and (one["minus"], one["class"]) == ("nnunet", ALL_CLASSES)
                ),
                None,
            )
            cells = [str(row["steps"]), str(row["seed"]), row["contestant"]]
            cells += [f"{row['dice'][name]:.3f}" for name in classes]
            cells += (
                [
                    f"{paired['difference']:+.3f} [{paired['low']:+.3f}, {paired['high']:+.3f}]",
                    _verdict(paired),
                ]
                if paired
                else ["", ""]
            )
            cells += [f"{row['cpu_seconds_per_step']:.3f}", f"{row['parameters']:,}"]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _verdict(paired: dict[str, Any]) -> str:
    if paired["not_behind"]:
        return "not behind" if paired["low"] <= 0 else "ahead"
    return "**behind**" if paired["high"] < 0 else "not told"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "nnunet")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--steps", nargs="*", type=int, choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", nargs="*", type=int, choices=SEEDS, default=[0])
    contestants = ("nnunet", *RECIPES)
    parser.add_argument("--contestants", nargs="*", choices=contestants, default=list(contestants))
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    work = asked.work.resolve()
    for steps, seed, dataset, contestant in itertools.product(
        asked.steps, asked.seeds, asked.sets, asked.contestants
    ):
        recipe = next(iter(RECIPES)) if contestant == "nnunet" else contestant
        study = study_of(work, dataset, recipe, steps, seed)
        prepare(work, study)
        if contestant == "nnunet":
            train_nnunet(work, study, steps)
        else:
            train_ours(study)
    content = figures(work)
    write_text(FIGURES, json.dumps(content, indent=1, allow_nan=False) + "\n")
    table = render(content)
    page = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, _PLACE.sub(lambda marked: marked[1] + table + marked[2], page))
    print(table)


if __name__ == "__main__":
    main()
