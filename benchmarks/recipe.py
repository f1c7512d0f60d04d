"""`python -m benchmarks.recipe`: which optimiser, rate, decay and warm-up all models do well by.

Every recipe trains the U-Net and three variants on the first fold of sets that no published
comparison of this project uses, at two budgets, and is judged by the Dice of the fold's inner
validation, whole cases by sliding window. One row per training goes to
benchmarks/results/recipe.csv; trainings that have a row are not repeated. What was chosen by
these rows, and why, stands in docs/decisions/default-recipe.md.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.folds import make_folds
from attnbench.data.normalise import Normalisation
from attnbench.data.prepare import prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.errors import AttnBenchError
from attnbench.inference.sliding import predict_probabilities
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.loop import train
from attnbench.training.plan import Planner
from attnbench.training.run import network_for
from attnbench.training.sampler import CasePool, batches
from benchmarks.timing import ROOT

DATA = ROOT / "results" / "recipe"
ROWS = ROOT / "benchmarks" / "results" / "recipe.csv"
COLUMNS = ("dataset", "model", "optimiser", "learning_rate", "power", "warm_up", "steps", "dice")
DATASETS: tuple[dict[str, Any], ...] = (
    {"name": "phantom2d", "patch": [64, 64], "batch": 4},
    {"name": "phantom3d", "patch": [16, 16, 16], "batch": 2},
    {"name": "retina_chase", "spacing": [2, 2], "patch": [64, 64], "batch": 4},
    {"name": "axon_sem", "spacing": [0.2, 0.2], "patch": [64, 64], "batch": 4},
)
MODELS = ("unet", "attention_gate", "self_attention", "squeeze_excitation")
BUDGETS = (150, 600)
RATES = {"adamw": (0.001, 0.003, 0.01, 0.03), "sgd": (0.01,)}
DECAY: dict[str, float] = {"adamw": 0.01, "sgd": 3e-5}


def recipes() -> Iterator[dict[str, Any]]:
    """Optimisers and rates without warm-up, then the larger rates with it."""
    for optimiser, rates in RATES.items():
        for rate in rates:
            yield {"optimiser": optimiser, "learning_rate": rate, "power": 0.9, "warm_up": 0.0}
    for rate in (0.01, 0.03):
        yield {"optimiser": "adamw", "learning_rate": rate, "power": 0.9, "warm_up": 0.1}


def study_of(dataset: dict[str, Any], recipe: dict[str, Any], steps: int) -> Study:
    return check_study(
        {
            "name": "recipe",
            "datasets": [dataset],
            "models": list(MODELS),
            "backbone": {"widths": [8, 16, 32, 64]},
            "folds": {"outer": 4, "inner": 3},
            "output": str(DATA),
            "training": {
                **recipe,
                "weight_decay": DECAY[recipe["optimiser"]],
                "steps": steps,
                "validate_every": steps,
            },
        }
    )


def store_of(study: Study) -> CaseStore:
    name = study.datasets[0].name
    folder = study.layout.prepared(name)
    if not (folder / "dataset.json").exists():
        fetch_dataset(load_entry(name), study.layout.raw(name))
        prepare_dataset(load_entry(name), study.datasets[0], study.layout.raw(name), folder)
    return CaseStore.open(folder)


def validation_dice(study: Study, model: str, seed: int = 0) -> list[float]:
    """Dice per class of the inner validation after one training on fold 0.

    Means over the whole cases of the inner validation; zero for a recipe that diverges.
    """
    dataset = study.datasets[0]
    store, run = store_of(study), Run(dataset.name, model, 0, seed)
    fold = make_folds(store.cases, study.folds, dataset.name)[0]
    training, ndim = study.training_of(dataset.name, model), store.info.ndim
    patch, device = study.patch(dataset.name, ndim), torch.device("cpu")
    network = network_for(study, run, store)
    indices = [store.index(case) for case in fold["train"]]
    planner = Planner(
        store,
        indices,
        patch,
        training.foreground,
        np.random.default_rng(seed),
        training.augmentation,
        study.mirror_axes(dataset.name, ndim, model),
    )
    normalisation = Normalisation("z_score")
    pool = CasePool(store, indices, device, normalisation)
    noise = torch.Generator(pool.device).manual_seed(seed)
    data = batches(pool, planner, training.steps + 1, training.batch, device, noise)
    watched = list(itertools.islice(data, 1))
    try:
        for _ in train(network, data, watched, training, training.steps, device, None):
            pass
    except AttnBenchError:
        return [0.0] * len(store.info.classes)
    network.eval()
    held_out = [store.index(case) for case in fold["validation"]]
    images = (torch.from_numpy(normalisation.image(store, index)) for index in held_out)
    scores = []
    for index, probabilities in zip(
        held_out, predict_probabilities(network, images, patch), strict=True
    ):
        mask, predicted = np.array(store.mask(index)), probabilities.argmax(0).numpy()
        scores.append([dice(mask == number, predicted == number) for number in store.info.classes])
    return np.nanmean(scores, axis=0).tolist()


def dice(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Dice of two masks; NaN where both are empty."""
    size = reference.sum() + predicted.sum()
    return 2 * (reference & predicted).sum() / size if size else math.nan


def rows_at(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def summary() -> pd.DataFrame:
    """Mean Dice over the models by recipe (rows), budget and dataset (columns).

    `behind` is the mean over the columns of how far a recipe lies behind the best one there, and
    `worst` the largest of these.
    """
    rows = pd.read_csv(ROWS)
    recipe = ["optimiser", "learning_rate", "warm_up"]
    table = rows.pivot_table("dice", recipe, ["steps", "dataset"])
    behind = table.max() - table
    table["behind"], table["worst"] = behind.mean(axis=1), behind.max(axis=1)
    return table.round(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="*", default=[item["name"] for item in DATASETS])
    parser.add_argument("--table", action="store_true", help="print what the rows say, train none")
    arguments = parser.parse_args()
    if arguments.table:
        print(summary().to_string())
        return
    torch.set_num_threads(1)
    done = {tuple(row[key] for key in COLUMNS[:-1]) for row in rows_at(ROWS)}
    with ROWS.open("a", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if not done:
            table.writeheader()
        for recipe, steps, dataset, model in itertools.product(
            recipes(), BUDGETS, DATASETS, MODELS
        ):
            row = {"dataset": dataset["name"], "model": model, **recipe, "steps": steps}
            wanted = dataset["name"] in arguments.datasets
            if not wanted or tuple(str(row[key]) for key in COLUMNS[:-1]) in done:
                continue
            started = time.perf_counter()
            found = f"{np.mean(validation_dice(study_of(dataset, recipe, steps), model)):.4f}"
            table.writerow({**row, "dice": found})
            stream.flush()
            print(*row.values(), found, f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
