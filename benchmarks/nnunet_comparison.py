"""`python -m benchmarks.nnunet_comparison`: is the plain U-Net behind nnU-Net v2 on the same fold?

For every dataset and number of steps nnU-Net and the U-Net by two recipes, this project's default
and `studies/nnunet_recipe.yaml`, train on the same cases with equal steps, batch, patch and
widths, and are scored on the fold's test cases by the same code. Trainings that are done are not
repeated, so it may be interrupted, and run for some contestants only; at the end the figures go to
`benchmarks/results/nnunet.json` and the table to `docs/nnunet_comparison.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from attnbench.analysis.blocks import ALL_CLASSES
from attnbench.analysis.external import compare_external
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
from benchmarks.peers.nnunet_trained import Training
from benchmarks.record import RESULTS, machine
from benchmarks.timing import ROOT

WIDTHS = (8, 16, 32, 64)
# Not fold 0, by which recipes of this project were compared before.
FOLD, SEED = 1, 0
MARGIN = 0.01
SETS: dict[str, dict[str, Any]] = {
    "hippocampus": {"patch": (24, 40, 24), "batch": 2},
    "nuclei_dsb2018": {"patch": (96, 96), "batch": 2},
}
STEPS = (1000, 5000)
RECIPES = {"default": {}, "nnunet_recipe": ROOT / "studies" / "nnunet_recipe.yaml"}
# nnU-Net predicts with mirror images, as it is used, and without.
PREDICTIONS = {"mirrored": "nnunet", "plain": "nnunet_without_mirroring"}
FIGURES, PAGE = RESULTS / "nnunet.json", ROOT / "docs" / "nnunet_comparison.md"
_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- end -->)", re.DOTALL)


def study_of(work: Path, dataset: str, recipe: str, steps: int) -> Study:
    """The study of one of our trainings: the recipe's, with what all contestants share."""
    path = RECIPES[recipe]
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
    training = dict(content.get("training", {}))
    for key in ("patch_2d", "patch_3d", "batch"):
        training.pop(key, None)
    shared = {
        "name": recipe,
        "datasets": [{"name": dataset, **SETS[dataset]}],
        "models": ["unet"],
        "backbone": content.get("backbone", {}) | {"widths": WIDTHS},
        "training": training | {"steps": steps, "validate_every": steps // 5},
        "folds": {"outer": 5, "inner": 4, "run": [FOLD]},
        "metrics": ["dice", "hd95"],
        "data": {"downloads": str(work / "downloads")},
        "compute": {"device": "cpu"},
        "output": str(work / "ours" / f"{recipe}-{steps}"),
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

    run = Run(study.datasets[0].name, "unet", FOLD, SEED)
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


def nnunet_folder(work: Path, dataset: str, steps: int) -> Path:
    return work / "nnunet" / f"{dataset}-{steps}"


def train_nnunet(work: Path, study: Study, steps: int) -> None:
    """Export the dataset, then train nnU-Net and predict in a process of its own."""
    name = study.datasets[0].name
    entry, layout = load_entry(name), study.layout
    raw = work / "raw" / f"Dataset{list(SETS).index(name) + 1:03d}_{name}"
    out = nnunet_folder(work, name, steps)
    if (out / "facts.json").exists():
        return
    if not raw.exists():
        export_nnunet(entry, layout.raw(name), layout.prepared(name), layout.folds(name), raw)
    training = Training(
        raw=str(raw),
        out=str(out),
        fold=FOLD,
        steps=steps,
        seed=SEED,
        widths=WIDTHS,
        mirror=tuple(entry.mirror.axes),
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

    `rows`: one per contestant, with `dice` by class name. `differences`: ours minus nnU-Net, mean
    over classes and each class, with Student's 95 % interval over groups.
    """
    rows, differences = [], []
    for dataset in SETS:
        for steps in STEPS:
            peer = nnunet_folder(work, dataset, steps)
            if not (peer / "facts.json").exists():
                continue
            for recipe in RECIPES:
                study = study_of(work, dataset, recipe, steps)
                run = study.layout.run(Run(dataset, "unet", FOLD, SEED))
                if not (run / "cost.json").exists():
                    continue
                for kind, name in PREDICTIONS.items():
                    score_external(study, dataset, name, FOLD, peer / kind)
                    table = compare_external(study, dataset, name, FOLD, "unet")
                    dice = table[table["metric"] == "dice"]
                    place = {"dataset": dataset, "steps": steps, "contestant": name}
                    theirs = _row(place, dice, "mean", read_json(peer / "facts.json"))
                    rows += [theirs] if theirs not in rows else []
                    ours = f"unet, {recipe}"
                    differences += [
                        place
                        | {"contestant": ours, "minus": name, "class": row["class"]}
                        | {key: row[key] for key in ("difference", "low", "high", "groups")}
                        | {"not_behind": bool(row["low"] > -MARGIN)}
                        for row in dice.to_dict("records")
                    ]
                facts = read_json(run / "run.json") | read_json(run / "cost.json")
                rows.append(_row(place | {"contestant": ours}, dice, "mean_model", facts))
    settings = {name: own | {"mirror": load_entry(name).mirror.axes} for name, own in SETS.items()}
    shared = {"fold": FOLD, "outer": 5, "inner": 4, "seed": SEED, "widths": WIDTHS}
    recipes = {
        recipe: study_of(work, next(iter(SETS)), recipe, STEPS[0]).training.model_dump(mode="json")
        for recipe in RECIPES
    }
    return {
        "measured": machine("cpu"),
        "settings": shared | {"sets": settings, "recipes": recipes, "margin": MARGIN},
        "rows": rows,
        "differences": differences,
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
        rows = [row for row in content["rows"] if row["dataset"] == dataset]
        if not rows:
            continue
        classes = list(rows[0]["dice"])
        patch = "x".join(map(str, own["patch"]))
        parts.append(
            f"**{dataset}**, patch {patch}, batch {own['batch']}, mirrored along axes "
            f"{list(own['mirror'])}; {rows[0]['cases']} test cases of {rows[0]['groups']} groups\n"
        )
        head = ["steps", "contestant", *classes, "minus nnU-Net [95 %]", "not behind"]
        head += ["CPU s per step", "parameters"]
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in sorted(rows, key=lambda row: (row["steps"], row["contestant"])):
            paired = next(
                (
                    one
                    for one in content["differences"]
                    if all(one[key] == row[key] for key in ("dataset", "steps", "contestant"))
                    and (one["minus"], one["class"]) == ("nnunet", ALL_CLASSES)
                ),
                None,
            )
            cells = [str(row["steps"]), row["contestant"]]
            cells += [f"{row['dice'][name]:.3f}" for name in classes]
            cells += (
                [
                    f"{paired['difference']:+.3f} [{paired['low']:+.3f}, {paired['high']:+.3f}]",
                    "yes" if paired["not_behind"] else "**no**",
                ]
                if paired
                else ["", ""]
            )
            cells += [f"{row['cpu_seconds_per_step']:.3f}", f"{row['parameters']:,}"]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "nnunet")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--steps", nargs="*", type=int, choices=STEPS, default=list(STEPS))
    contestants = ("nnunet", *RECIPES)
    parser.add_argument("--contestants", nargs="*", choices=contestants, default=list(contestants))
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    work = asked.work.resolve()
    for steps in asked.steps:
        for dataset in asked.sets:
            for contestant in asked.contestants:
                recipe = next(iter(RECIPES)) if contestant == "nnunet" else contestant
                study = study_of(work, dataset, recipe, steps)
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
