"""`python -m benchmarks.normalisation`: what the normalisation of intensities does to the U-Net.

The U-Net is trained by the default recipe on the first fold of two real sets with intensities
z-scored per image, clipped to percentiles before that, and `widened`: clipped as all studies were
before stores kept the file's own intensities, to percentiles moved apart by their distance. It
is judged by the Dice of every whole case of the fold's inner validation. One row per training, case
and class goes to benchmarks/results/normalisation.csv; trainings that have rows are not
repeated. What was chosen by these rows stands in docs/decisions/normalisation.md.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.folds import write_folds
from attnbench.data.normalise import moments
from attnbench.data.prepare import prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.inference.trained import Trained, as_mask
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.keeper import Keeper
from attnbench.training.run import fit, load_inputs
from benchmarks.recipe import dice, rows_at
from benchmarks.timing import ROOT

ROWS = ROOT / "benchmarks" / "results" / "normalisation.csv"
COLUMNS = ("dataset", "scheme", "steps", "seed", "case", "group", "class", "dice")
STEPS = 600
SEEDS = (0, 1, 2, 3)
SCHEMES = ("z_score", "percentile", "widened")
DATASETS: tuple[dict[str, Any], ...] = (
    {"name": "nuclei_dsb2018", "patch": [96, 96], "batch": 4},
    {"name": "hippocampus", "patch": [24, 40, 24], "batch": 2},
)


def study_of(dataset: dict[str, Any], scheme: str) -> Study:
    own = dataset | {"normalisation": "percentile" if scheme == "widened" else scheme}
    return check_study(
        {
            "name": "normalisation",
            "datasets": [own],
            "models": ["unet"],
            "backbone": {"widths": [8, 16, 32, 64]},
            "training": {"steps": STEPS, "validate_every": STEPS},
            "output": str(ROOT / "results" / "normalisation"),
            "compute": {"device": "cpu"},
        }
    )


def prepare(study: Study) -> None:
    entry, layout = load_entry(study.datasets[0].name), study.layout
    if not layout.folds(entry.name).exists():
        fetch_dataset(entry, layout.raw(entry.name), study.data.mirror, study.data.offline)
        prepared = layout.prepared(entry.name)
        prepare_dataset(entry, study.datasets[0], layout.raw(entry.name), prepared)
        write_folds(prepared, study.folds, layout.folds(entry.name))


def widened(store: CaseStore) -> np.ndarray:
    """The store's statistics with a clipping range three times as wide as the percentiles'."""
    table = store.statistics.copy()
    for index, channel in itertools.product(range(len(store)), range(store.info.channels)):
        low, high = table[index, channel, 2:4]
        low, high = 2 * low - high, 2 * high - low
        values = store.image(index)[channel].reshape(-1)
        table[index, channel, 2:] = low, high, *moments(values, low, high)
    return table


def validation_rows(study: Study, scheme: str, seed: int) -> list[dict[str, Any]]:
    """Dice of every case and class of the inner validation after one training on fold 0."""
    run, device = Run(study.datasets[0].name, "unet", 0, seed), torch.device("cpu")
    inputs = load_inputs(study, run)
    store = inputs.store
    if scheme == "widened":
        # In the place of the cached ones, which are the percentiles themselves.
        store.__dict__["statistics"] = widened(store)
    network = fit(study, run, inputs, device, lambda row: None, Keeper(None, {}, 1)).network.eval()
    trained = Trained(inputs, network, device, None)
    indices = [store.index(case) for case in inputs.fold.validation]
    rows = []
    for index, probabilities in zip(indices, trained.predict(store, indices), strict=True):
        mask, reference = as_mask(probabilities), np.array(store.reference(index))
        for number, name in store.info.classes.items():
            value = dice(reference == number, mask == number)
            case = store.columns["case"][index]
            named = {"case": case, "group": store.groups[case], "class": name}
            rows.append({**named, "dice": "" if math.isnan(value) else f"{value:.5f}"})
    return rows


def summary() -> pd.DataFrame:
    """Mean Dice by dataset and scheme, and z_score's difference from it with its 95 % interval.

    Classes and seeds are averaged within a case, cases within a group; intervals are Student's
    over groups, about the networks as trained.
    """
    rows = pd.read_csv(ROWS, dtype={"case": str, "group": str})
    cases = rows.groupby(["dataset", "scheme", "group", "case"])["dice"].mean().reset_index()
    groups = cases.pivot_table("dice", ["dataset", "group"], "scheme")
    found = []
    for dataset, values in groups.groupby("dataset"):
        for scheme in SCHEMES:
            row = {"dataset": dataset, "scheme": scheme, "dice": values[scheme].mean()}
            if scheme != "z_score":
                gain = (values["z_score"] - values[scheme]).dropna()
                reach = stats.t.ppf(0.975, len(gain) - 1) * stats.sem(gain)
                row |= {"z_score_minus": gain.mean(), "low": gain.mean() - reach}
                row |= {"high": gain.mean() + reach, "groups": len(gain)}
            found.append(row)
    return pd.DataFrame(found).round(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print what the rows say, train none")
    arguments = parser.parse_args()
    if arguments.table:
        print(summary().to_string(index=False))
        print(pd.read_csv(ROWS).pivot_table("dice", ["dataset", "scheme"], "seed").round(4))
        return
    torch.set_num_threads(1)
    done = {tuple(row[key] for key in COLUMNS[:4]) for row in rows_at(ROWS)}
    with Path(ROWS).open("a", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if not done:
            table.writeheader()
        for dataset, seed, scheme in itertools.product(DATASETS, SEEDS, SCHEMES):
            place = {"dataset": dataset["name"], "scheme": scheme, "steps": STEPS, "seed": seed}
            if tuple(map(str, place.values())) in done:
                continue
            study = study_of(dataset, scheme)
            prepare(study)
            rows = validation_rows(study, scheme, seed)
            table.writerows(place | row for row in rows)
            stream.flush()
            mean = np.mean([float(row["dice"]) for row in rows if row["dice"]])
            print(*place.values(), f"{mean:.4f}", flush=True)


if __name__ == "__main__":
    main()
