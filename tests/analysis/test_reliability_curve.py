"""Reliability curves against a slow explicit version, the metric `ece`, and a truth that is
known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.blocks import arrange
from attnbench.analysis.reliability import compute_reliability
from attnbench.analysis.resample import bootstrap_interval
from attnbench.files import write_csv
from attnbench.scoring.calibration import expected_calibration_error
from attnbench.study.groups import AnalysisSettings
from attnbench.study.paths import Layout, Run

PART = AnalysisSettings(bootstrap=400)
NAMES = {"d": {"1": "organ", "2": "lesion"}}
CASES = {f"c{k}": f"g{k // 2}" for k in range(12)}


def bins_of(random: np.random.Generator, cases: list[str], bias: float = 0.0) -> pd.DataFrame:
    """Random counts of voxels; the share observed is the probability plus `bias`."""
    rows = []
    for case in cases:
        for number in (1, 2):
            for place in np.flatnonzero(random.random(15) < 0.8):
                probability = (place + random.random()) / 15
                observed = np.clip(probability + bias, 0, 1)
                rows.append((case, number, place, random.integers(1, 99), probability, observed))
    return pd.DataFrame(rows, columns=["case", "class", "bin", "voxels", "probability", "observed"])


@pytest.fixture
def written(tmp_path):
    """Two models, two folds, two seeds; the second model is too sure by 0.1. Returns layout,
    runs, blocks, all bins.
    """
    layout, random = Layout(tmp_path, tmp_path), np.random.default_rng(0)
    runs, frames, scores = [], [], []
    for model, bias in (("unet", 0.0), ("cbam", -0.1)):
        for fold in (0, 1):
            for seed in (0, 1):
                run = Run("d", model, fold, seed)
                cases = [case for place, case in enumerate(CASES) if place // 2 % 2 == fold]
                frame = bins_of(random, cases, bias)
                write_csv(layout.run(run) / "calibration.csv", frame)
                runs.append(run)
                frames.append(frame.assign(model=model, fold=fold, seed=seed))
                for (case, number), own in frame.groupby(["case", "class"]):
                    value = expected_calibration_error(
                        own["voxels"], own["probability"], own["observed"]
                    )
                    scores.append(
                        ("d", model, fold, seed, case, CASES[case], number, "ece", value, "1", "ok")
                    )
    columns = [
        "dataset",
        "model",
        "fold",
        "seed",
        "case",
        "group",
        "class",
        "metric",
        "value",
        "unit",
        "status",
    ]
    blocks = arrange(pd.DataFrame(scores, columns=columns), ["d"], ["unet", "cbam"], ["ece"])
    return layout, runs, blocks, pd.concat(frames, ignore_index=True)


def test_a_bin_holds_every_voxel_of_the_model(written):
    layout, runs, blocks, bins = written
    table = compute_reliability(layout, runs, blocks, PART, NAMES)
    for row in table.itertuples(index=False):
        own = bins[(bins["model"] == row.model) & (bins["bin"] == row.bin)]
        if row[1] != "all":
            own = own[own["class"] == int(row[1])]
        voxels = sum(own["voxels"])
        assert row.voxels == voxels
        assert row.probability == pytest.approx(sum(own["voxels"] * own["probability"]) / voxels)
        assert row.observed == pytest.approx(sum(own["voxels"] * own["observed"]) / voxels)
        assert (row.cases, row.groups) == (own["case"].nunique(), own["case"].map(CASES).nunique())
    assert set(table["class_name"]) == {"organ", "lesion", "all classes together"}


def test_the_error_is_the_mean_of_the_metric(written):
    layout, runs, blocks, bins = written
    table = compute_reliability(layout, runs, blocks, PART, NAMES)
    errors = bins.assign(error=bins["voxels"] * (bins["probability"] - bins["observed"]).abs())
    sums = errors.groupby(["model", "class", "case", "seed"])[["error", "voxels"]].sum()
    per_case = (sums["error"] / sums["voxels"]).groupby(["model", "class", "case"]).mean()
    for (model, word), own in table.groupby(["model", "class"]):
        picked = per_case[model] if word == "all" else per_case[model][[int(word)]]
        np.testing.assert_allclose(own["ece"], picked.groupby("case").mean().mean())


def test_a_model_that_is_too_sure_lies_below_the_diagonal_and_a_calibrated_one_on_it(written):
    layout, runs, blocks, _ = written
    table = compute_reliability(layout, runs, blocks, PART, NAMES).query("`class` == 'all'")
    sure, calibrated = table[table["model"] == "cbam"], table[table["model"] == "unet"]
    np.testing.assert_allclose(calibrated["observed"], calibrated["probability"])
    assert (sure["observed"] < sure["probability"]).all()
    assert (
        (calibrated["low"] <= calibrated["observed"])
        & (calibrated["observed"] <= calibrated["high"])
    ).all()


def test_with_one_voxel_per_case_the_interval_is_that_of_a_mean(tmp_path):
    layout, run, values = Layout(tmp_path, tmp_path), Run("d", "unet", 0, 0), np.arange(12) % 5 / 4
    rows = [(case, 1, 7, 1, 0.5, value) for case, value in zip(CASES, values, strict=True)]
    columns = ["case", "class", "bin", "voxels", "probability", "observed"]
    write_csv(layout.run(run) / "calibration.csv", pd.DataFrame(rows, columns=columns))
    scores = [
        ("d", "unet", 0, 0, case, group, 1, "dice", 0.5, "1", "ok") for case, group in CASES.items()
    ]
    names = [
        "dataset",
        "model",
        "fold",
        "seed",
        "case",
        "group",
        "class",
        "metric",
        "value",
        "unit",
        "status",
    ]
    blocks = arrange(pd.DataFrame(scores, columns=names), ["d"], ["unet"], ["dice"])
    (first, *_) = compute_reliability(layout, [run], blocks, PART, NAMES).itertuples(index=False)
    by_group = values.reshape(6, 2).mean(axis=1)
    low, high = bootstrap_interval(by_group[None], PART.confidence, PART.bootstrap, PART.seed)
    assert (first.low, first.high) == pytest.approx((low[0], high[0]))


def test_runs_without_calibration_give_no_rows(tmp_path):
    layout = Layout(tmp_path, tmp_path)
    table = compute_reliability(layout, [Run("d", "unet", 0, 0)], [], PART, NAMES)
    assert table.empty and {"probability", "observed", "low", "high", "ece"} <= set(table.columns)
