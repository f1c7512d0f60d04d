"""A finished study in a temporary folder: synthetic cases, predictions and scores, then the
project's own analysis.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from attnbench.analysis.across import compute_across
from attnbench.analysis.answer import asked, compute_answer
from attnbench.analysis.best import compute_best
from attnbench.analysis.blocks import arrange, read_scores
from attnbench.analysis.case_choice import compute_cases
from attnbench.analysis.cost import compute_cost
from attnbench.analysis.difficulty import (
    compute_difficulty,
    compute_difficulty_strata,
    read_difficulty,
    same_size,
)
from attnbench.analysis.effects import compute_effects
from attnbench.analysis.gates import compute_gates, compute_openness
from attnbench.analysis.means import compute_means
from attnbench.analysis.rank_tests import compute_rank_pairs, compute_rank_tests
from attnbench.analysis.ranks import compute_ranks, rankings
from attnbench.analysis.reliability import compute_reliability
from attnbench.analysis.runs import compute_learning, compute_missing, compute_runs, read_object
from attnbench.analysis.sweep import compute_sweep
from attnbench.analysis.undertrained import with_rise
from attnbench.catalog import load_entry
from attnbench.data.case import PreparedCase
from attnbench.data.info import DatasetInfo
from attnbench.data.write import write_store
from attnbench.files import write_csv, write_json
from attnbench.models.names import known_models
from attnbench.scoring.definitions import METRICS
from attnbench.scoring.run import origin_of
from attnbench.study.paths import Run
from attnbench.study.settings import Study, parse_study
from sealing import seal_study

WriteStudy = Callable[..., Study]
GATE_COLUMNS = ("slot", "level", "mechanism", "scale", "gate_mean", "gate_sd", "entropy", "change")
SHAPES = {2: (56, 72), 3: (30, 26, 18)}


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """`write_study(datasets, models, ...)` writes a finished study below a fresh folder."""
    return lambda *args, **settings: finished_study(tmp_path / "study", *args, **settings)


def finished_study(
    output: Path,
    datasets: Sequence[str] = ("retina_drive", "phantom3d"),
    models: Sequence[str] = ("unet", "attention_gate", "self_attention"),
    failed: Sequence[tuple[str, str, int]] = (),
    cases: int = 10,
    seeds: Sequence[int] = (0, 1),
    analysed: bool = True,
    metrics: Sequence[str] = Study.model_fields["metrics"].default,
    outer: int = 2,
) -> Study:
    """A study whose runs have all finished except `failed` (dataset, model, fold); models get
    better down the list.
    """
    study = parse_study(
        {
            "name": "synthetic",
            "datasets": list(datasets),
            "models": [_model(name) for name in models],
            "folds": {"outer": outer, "inner": 2},
            "seeds": list(seeds),
            "metrics": list(metrics),
            "analysis": {"bootstrap": 200},
            "output": str(output),
        },
        known_models(),
    )
    rows: list[dict[str, object]] = []
    for dataset in datasets:
        prepared = list(_cases(dataset, cases))
        info = write_store(study.layout.prepared(dataset), prepared, _info(dataset))
        for run in (run for run in study.runs() if run.dataset == dataset):
            if (run.dataset, run.model, run.fold) not in failed:
                rows += _write_run(
                    study,
                    run,
                    [case for k, case in enumerate(prepared) if k // 2 % outer == run.fold],
                    info.content_hash,
                )
        for place, model in enumerate(models):
            facts = {
                "dataset": dataset,
                "model": model,
                "parameters": 480_000 + 31_000 * place,
                "flops": 10**9 + place * 10**8,
            }
            write_json(study.layout.model(dataset, model), {**facts, "input": [1, 32, 32]})
    if rows:
        write_csv(study.layout.scores, pd.DataFrame(rows))
    seal_study(study)
    if analysed:
        _analyse(study)
    return study


def _analyse(study: Study) -> None:
    """The frames of the analysis that reporting reads, at the cost of those alone."""
    layout = study.layout
    scores = read_scores(layout.scores)
    datasets, models = [part.name for part in study.datasets], [part.name for part in study.models]
    blocks = arrange(scores, datasets, models, study.metrics, study.splits)
    names = {
        name: {str(key): word for key, word in load_entry(name).classes.items()}
        for name in datasets
    }
    described = {(d, m): read_object(layout.model(d, m)) for d in datasets for m in models}
    runs = compute_runs(layout, study.runs(), scores)
    learning, sweep = compute_learning(layout, runs), compute_sweep(study)
    runs = with_rise(runs, learning, study.analysis.margin)
    ranked, hard = rankings(blocks), read_difficulty(layout, datasets)
    averages = compute_means(blocks, study.analysis, names)
    effects = compute_effects(blocks, study.baseline, study.analysis, names, study.control_pairs)
    gates = compute_gates(layout, study.runs())
    frames = {
        "gates": gates,
        "openness": compute_openness(gates),
        "means": averages,
        "best": compute_best(blocks, averages, study.analysis),
        "effects": effects,
        "answer": compute_answer(
            effects, blocks, study.baseline, asked(study), study.analysis, study.primary
        ),
        "across": compute_across(
            blocks, study.baseline, study.analysis, study.primary[0], study.control_pairs
        ),
        "cases": compute_cases(blocks, study),
        "cost": compute_cost(described, runs, sweep, study.baseline),
        "learning": learning,
        "sweep": sweep,
        "missing": compute_missing("scores", layout.stages, study.runs(), runs[runs["gathered"]]),
        "ranks": compute_ranks(blocks, ranked, study.analysis),
        "rank_tests": compute_rank_tests(ranked, 1 - study.analysis.confidence),
        "rank_pairs": compute_rank_pairs(ranked, 1 - study.analysis.confidence),
        "difficulty": compute_difficulty(
            blocks, study.baseline, study.analysis, hard, same_size(study)
        ),
        "difficulty_strata": compute_difficulty_strata(
            blocks, study.baseline, study.analysis, hard, same_size(study)
        ),
        "reliability": compute_reliability(layout, study.runs(), blocks, study.analysis, names),
    }
    for name, frame in frames.items():
        write_csv(layout.analysis / f"{name}.csv", frame)


def _model(name: str) -> str | dict[str, object]:
    """A model by its name; one that no mechanism has is made up."""
    known = name in known_models().models or "-" in name
    return name if known else {"name": name, "slots": {"skip": "attention_gate"}}


def _random(*words: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32("/".join(map(str, words)).encode()))


def _info(dataset: str) -> DatasetInfo:
    entry = load_entry(dataset)
    same = (
        "name",
        "title",
        "task",
        "modality",
        "ndim",
        "channels",
        "classes",
        "spacing_unit",
        "groups_inferred",
    )
    return DatasetInfo(
        **{key: getattr(entry, key) for key in (*same, "licence", "citation")},
        spacing=None, size=None, resampled=False, has_fov=False,
        has_second_rater=False, groups_unknown=not entry.groups_known,
    )  # fmt: skip


def _cases(dataset: str, number: int) -> Iterator[PreparedCase]:
    """Blobs of every class on a noisy image; two cases per group, where groups are known."""
    entry = load_entry(dataset)
    shape = SHAPES[entry.ndim]
    for k in range(number):
        mask = np.zeros(shape, np.uint8)
        for value in entry.classes:
            field = gaussian_filter(_random(dataset, k, value).normal(size=shape), 4)
            mask[field > np.quantile(field, 0.93)] = value
        noise = _random(dataset, k).normal(size=(entry.channels, *shape)) * 0.5
        image = (gaussian_filter(mask.astype(float), 1)[None] + noise).astype(np.float32)
        spacing = (1.0,) * entry.ndim
        truths = {
            "blur": k / number,
            "contrast": 1 - k / number,
            "clutter": (k * 3 % number) / number,
        }
        measured = {
            "difficulty_clutter": (k * 7 % number) / number,
            "difficulty_contrast_to_noise": 4 - k / number,
        }
        group = f"group_{k // 2:02d}" if entry.groups_known else f"case_{k:02d}"
        yield PreparedCase(
            f"case_{k:02d}", group, image, mask, mask, spacing, spacing,
            facts={**measured, **(truths if dataset.startswith("phantom") else {})},
        )  # fmt: skip


def _write_run(
    study: Study, run: Run, tested: Sequence[PreparedCase], data_hash: str
) -> list[dict[str, object]]:
    """Predictions, history and facts of one run; returns its score rows."""
    folder = study.layout.run(run)
    folder.mkdir(parents=True, exist_ok=True)
    place = [part.name for part in study.models].index(run.model)
    masks = {case.case: _prediction(run, case, max(0.2, 1.2 - 0.08 * place)) for case in tested}
    np.savez_compressed(folder / "predictions.npz", **masks)
    step = np.arange(0, 1001, 50)
    noise = _random(run).normal(size=len(step)) * 0.02
    history = pd.DataFrame(
        {"step": step, "loss": 1.2 * np.exp(-step / 300) + 0.2 - 0.01 * place + noise}
    )
    history["validation_dice"] = np.where(
        step % 100 == 0, 0.85 + 0.005 * place - 0.7 * np.exp(-step / 250) + noise, np.nan
    )
    write_csv(folder / "history.csv", history)
    facts = {
        "train_seconds": 60.0 + 5 * place,
        "images_per_second": 120.0 - 3 * place,
        "device": "cpu",
        "precision": "float32",
    }
    hashes = {"data_hash": data_hash, "folds_hash": "f", "recipe_hash": "r"}
    memory = {
        "peak_memory_bytes": 3 * 2**28,
        "energy_j": None,
        "parameters": 480_000,
        "steps": 1000,
    }
    write_json(folder / "run.json", {**hashes, **facts, **memory, **origin_of(run)})
    rows = [row for case in tested for row in _score_rows(study, run, case, masks[case.case])]
    write_csv(folder / "scores.csv", pd.DataFrame(rows))
    bins = [
        row for case in tested for row in _calibration_rows(run.dataset, case, masks[case.case])
    ]
    columns = ["case", "class", "bin", "voxels", "probability", "observed"]
    write_csv(folder / "calibration.csv", pd.DataFrame(bins, columns=columns))
    write_csv(folder / "gates.csv", pd.DataFrame(_gate_rows(study, run), columns=GATE_COLUMNS))
    return rows


def _gate_rows(study: Study, run: Run) -> Iterator[tuple[object, ...]]:
    """Mechanisms that change their features by 0.4 % in the first fold, by 40 % in others."""
    for slot, placements in study.model(run.model).slots.items():
        for placement in placements:
            for level in placement.levels or ():
                change = 0.4 if run.fold else 0.004
                yield slot, level, placement.name, None, 0.5, 0.1, None, change


def _calibration_rows(
    dataset: str, case: PreparedCase, prediction: np.ndarray
) -> Iterator[tuple[object, ...]]:
    """A network that is as sure of what it predicts (0.93) as of what it does not (0.07)."""
    for value in load_entry(dataset).classes:
        for place, probability, chosen in (
            (1, 0.07, prediction != value),
            (13, 0.93, prediction == value),
        ):
            if chosen.any():
                observed = (case.mask[chosen] == value).mean()
                yield case.case, value, place, int(chosen.sum()), probability, observed


def _prediction(run: Run, case: PreparedCase, roughness: float) -> np.ndarray:
    """The reference with a boundary that is off by noise."""
    result = np.zeros_like(case.mask)
    for value in np.unique(case.mask[case.mask > 0]):
        soft = gaussian_filter((case.mask == value).astype(float), 1)
        noise = gaussian_filter(_random(run, case.case, value).normal(size=soft.shape), 1.5)
        result[soft + 0.8 * roughness * noise > 0.5] = value
    return result


def _score_rows(
    study: Study, run: Run, case: PreparedCase, prediction: np.ndarray
) -> Iterator[dict[str, object]]:
    entry = load_entry(run.dataset)
    for value in entry.classes:
        predicted, wanted = prediction == value, case.mask == value
        empty = not predicted.any()
        dice = 2.0 * (predicted & wanted).sum() / (predicted.sum() + wanted.sum())
        for metric in study.metrics:
            unit, failed = METRICS[metric].unit, METRICS[metric].prediction_empty
            if failed == "diagonal":
                failed = np.hypot(*case.mask.shape[:2])
            yield {
                **origin_of(run), "case": case.case, "group": case.group, "class": value,
                "metric": metric,
                "value": dice if metric == "dice" else dice**2 if unit == "1"
                else failed if empty else 12 * (1 - dice),
                "unit": entry.spacing_unit if unit == "distance" else unit,
                "status": "prediction_empty" if empty else "ok",
            }  # fmt: skip
