"""Seconds and memory of gathering, analysing and tabulating a large study of synthetic scores.

A study of 40,000 runs (10 datasets, 80 models, 5 folds, 10 seeds), 50 cases each, 8 metrics: 16
million scores, and every file that the analysis reads beside them. `--share 0.1` takes a tenth
of the models.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa

from attnbench.analysis.run import analyse_study
from attnbench.data.difficulty import MEASURES
from attnbench.reporting.contents import TABLES
from attnbench.reporting.page.answer import answer_study
from attnbench.reporting.results import Results
from attnbench.reporting.tables import tabulate
from attnbench.reporting.tables.render import render_md, render_tex
from attnbench.scoring.definitions import METRICS, SCORE_COLUMNS
from attnbench.scoring.gather import gather_scores
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.sealed import seal_run
from attnbench.training.stamp import identity

DATASETS, MODELS, FOLDS, SEEDS, CASES, CASES_OF_GROUP = 10, 80, 5, 10, 50, 5
OF_ANALYSIS = ("answer", "comparison", "effects", "per_class", "across", "slopes", "cost")
"""Tables that need nothing but the analysis; the others ask the catalog about these datasets."""
NAMES = ("dice", "iou", "precision", "recall", "hd", "hd95", "assd", "nsd")
UNDEFINED = 0.01
"""Share of the distances that are empty."""


def large_study(output: Path, share: float) -> Study:
    return Study(
        name="large",
        datasets=[f"data{i}" for i in range(DATASETS)],
        models=[
            "unet",
            *({"name": f"m{i:02d}", "slots": {}} for i in range(1, round(MODELS * share))),
        ],
        folds={"outer": FOLDS},
        seeds=list(range(SEEDS)),
        metrics=NAMES,
        output=output,
    )


def write_inputs(output: Path, share: float) -> None:
    study = large_study(output, share)
    random = np.random.default_rng(0)
    study.layout.scores.parent.mkdir(parents=True, exist_ok=True)
    tables = (scores_of(random, study, dataset.name) for dataset in study.datasets)
    for table in tables:
        write_runs(study, table)
    for dataset in study.datasets:
        measures = {f"difficulty_{name}": random.normal(size=FOLDS * CASES) for name in MEASURES}
        folder = study.layout.prepared(dataset.name)
        folder.mkdir(parents=True)
        pd.DataFrame({"case": case_names(), **measures}).to_csv(folder / "cases.csv", index=False)
        for model in study.models:
            write(
                study.layout.model(dataset.name, model.name),
                {"parameters": 10**6, "flops": 10**9, "input": [1, 64, 64]},
            )
            write(
                study.layout.measured(dataset.name, model.name),
                {"latency_seconds": 0.1, "step_seconds": 0.2, "rounds": 9},
            )
    history = "step,loss,validation_dice\n" + "".join(
        f"{step},{1 / step},{step / 1e4}\n" for step in range(10, 1010, 10)
    )
    facts = {
        "train_seconds": 60.0,
        "device": "cpu",
        "precision": "float32",
        "data_hash": "a",
        "folds_hash": "b",
    }
    for run in study.runs():
        folder = study.layout.run(run)
        write(folder / "run.json", facts)
        (folder / "history.csv").write_text(history)
        (folder / "predictions.npz").touch()
        seal_run(study, run, "train", identity(study, run), ["run.json", "history.csv"])
        seal_run(study, run, "score", identity(study, run))


def write_runs(study: Study, table: pa.Table) -> None:
    """Write the scores of one dataset run by run, as training and scoring leave them."""
    frame = table.to_pandas()
    for (dataset, model, fold, seed), rows in frame.groupby(["dataset", "model", "fold", "seed"]):
        folder = study.layout.run(Run(dataset, model, fold, seed))
        folder.mkdir(parents=True)
        rows.to_csv(folder / "scores.csv", index=False)


def case_names() -> list[str]:
    return [f"case_{i:04d}" for i in range(FOLDS * CASES)]


def scores_of(random: np.random.Generator, study: Study, dataset: str) -> pa.Table:
    """Scores of every run on one dataset: a case's difficulty, a model's quality and noise."""
    cases = FOLDS * CASES
    shape = (len(study.models), cases, SEEDS, len(NAMES))
    model, case, seed, metric = np.indices(shape).reshape(4, -1)
    values = (
        0.7
        + 0.05 * random.normal(size=(1, cases, 1, 1))
        + 0.002 * random.normal(size=(shape[0], 1, 1, 1))
    )
    values = (values + 0.02 * random.normal(size=shape)).reshape(-1)
    distance = np.array([METRICS[name].unit != "1" for name in NAMES])[metric]
    empty = distance & (random.uniform(size=len(values)) < UNDEFINED)

    def words(index: np.ndarray, names: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(
            pa.array(index.astype(np.int32)), names
        ).dictionary_decode()

    columns = {
        "dataset": words(np.zeros_like(model), [dataset]),
        "model": words(model, [settings.name for settings in study.models]),
        "fold": case // CASES,
        "seed": seed,
        "case": words(case, case_names()),
        "group": words(
            case // CASES_OF_GROUP, [f"group_{i:03d}" for i in range(cases // CASES_OF_GROUP)]
        ),
        "class": np.ones_like(model),
        "metric": words(metric, list(NAMES)),
        "value": pa.array(np.where(distance, 100 * (1 - values), values), mask=empty),
        "unit": words(distance.astype(int), ["1", "mm"]),
        "status": words(empty.astype(int), ["ok", "prediction_empty"]),
    }
    return pa.table({name: columns[name] for name in SCORE_COLUMNS})


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def report(output: Path, share: float) -> Iterator[str]:
    study = large_study(output, share)
    start = perf_counter()
    gather_scores(study)
    yield f"gather: {perf_counter() - start:.1f} s"
    before, start = peak_gib(), perf_counter()
    analyse_study(study)
    seconds = perf_counter() - start
    runs = sum(1 for _ in study.runs())
    rows = sum(
        len(pd.read_csv(path, low_memory=False))
        for path in sorted(study.layout.analysis.glob("*.csv"))
    )
    yield f"{runs} runs x {CASES} cases x {len(NAMES)} metrics = {runs * CASES * len(NAMES)} scores"
    yield (
        f"analysis: {seconds:.0f} s, peak {peak_gib():.1f} GiB (imports {before:.1f} GiB), "
        f"{rows} rows written"
    )
    start, results = perf_counter(), Results(study)
    rendered = [
        render(tabulate(results, spec))
        for spec in TABLES
        if spec.name in OF_ANALYSIS
        for render in (render_md, render_tex)
    ]
    answer_study(results)
    yield f"{len(OF_ANALYSIS)} tables and the answer: {perf_counter() - start:.1f} s, " + (
        f"{sum(map(len, rendered)) / 1e6:.1f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the models")
    parser.add_argument("--folder", type=Path, help="keep the study there and use what is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        output = arguments.folder or Path(temporary) / "study"
        if not output.exists():
            # A process of its own, so that the memory of writing is not counted.
            writing = get_context("spawn").Process(
                target=write_inputs, args=(output, arguments.share)
            )
            writing.start()
            writing.join()
        for line in report(output, arguments.share):
            print(line, flush=True)


if __name__ == "__main__":
    main()
