"""What is read of a trained run's mechanisms, from its weights and its test cases to its table."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from attnbench.analysis.gates import compute_gates
from attnbench.data.folds import write_folds
from attnbench.inference.gates import fullest_windows
from attnbench.inference.predict import predict_run
from attnbench.inference.sliding import window_starts
from attnbench.inference.trained import trained_network
from attnbench.models.gate_readings import COLUMNS
from attnbench.models.names import known_models
from attnbench.study.groups import FoldsSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.run import train_run


@pytest.fixture
def study(store, tmp_path):
    name = store.info.name
    study = parse_study(
        {
            "name": "small",
            "output": str(tmp_path / "out"),
            "datasets": [{"name": name, "patch": {2: [32, 40], 3: [16, 16, 16]}[store.info.ndim]}],
            "models": ["unet", "self_attention", "spatial_se"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 3, "inner": 2},
            "training": {"steps": 3, "batch": 2, "validate_every": 3},
            "compute": {"device": "cpu"},
        },
        known_models(),
    )
    target = study.layout.prepared(name)
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    write_folds(target, FoldsSettings(outer=3, inner=2), study.layout.folds(name))
    return study


def padded(array, window):
    """The last axes of `array` centred in a window at least, zeros around."""
    sides = array.shape[-len(window) :]
    missing = [max(0, side - given) for side, given in zip(window, sides, strict=True)]
    around = [(0, 0)] * (array.ndim - len(window)) + [(n // 2, n - n // 2) for n in missing]
    return np.pad(array, around)


def test_windows_are_the_fullest_of_the_cases(store):
    window = {2: (32, 40), 3: (16, 64, 16)}[store.info.ndim]  # one side longer than any case
    cases = store.columns["case"][::-1]
    indices = [store.index(case) for case in cases]
    shown = [(store.image(index), store.mask(index)) for index in indices]
    chosen = list(fullest_windows(shown, window))
    for case, found in zip(cases, chosen, strict=True):
        image = padded(store.image(store.index(case)), window)
        mask = padded(store.mask(store.index(case)) > 0, window)
        boxes = [
            tuple(slice(start, start + side) for start, side in zip(corner, window, strict=True))
            for corner in itertools.product(*map(window_starts, mask.shape, window))
        ]
        full = [int(mask[box].sum()) for box in boxes]
        first = boxes[full.index(max(full))]
        np.testing.assert_array_equal(found.numpy(), image[(slice(None), *first)])


def test_a_run_tells_gamma_and_change_of_its_trained_weights(study):
    dataset = study.datasets[0].name
    rows = {}
    for model in ("unet", "self_attention", "spatial_se"):
        run = Run(dataset, model, 0, 0)
        train_run(study, run)
        predict_run(study, run)
        rows[model] = pd.read_csv(study.layout.run(run) / "gates.csv")
        assert tuple(rows[model]) == COLUMNS
    assert len(rows["unet"]) == 0
    weights = torch.load(
        study.layout.run(Run(dataset, "self_attention", 0, 0)) / "model.pt", weights_only=True
    )["weights"]
    (gamma,) = (abs(float(value)) for name, value in weights.items() if name.endswith("gamma"))
    (row,) = rows["self_attention"].to_dict("records")
    assert row["scale"] == pytest.approx(gamma) and gamma > 0
    assert row["change"] > 0 and 0 < row["entropy"] <= 1
    with trained_network(study, Run(dataset, "spatial_se", 0, 0)) as trained:
        store, window = trained.inputs.store, trained.inputs.patch
        cases = sorted(trained.inputs.fold.test)[:4]
        shown = [(trained.image(store, i), store.mask(i)) for i in map(store.index, cases)]
        windows = torch.stack(list(fullest_windows(shown, window)))
        caught = {}
        for key, chain in trained.network.slots.chains.items():
            chain[0].register_forward_hook(
                lambda _, given, y, key=key: caught.update({key: (given[0], y)})
            )
        with torch.no_grad():
            trained.network(windows)
    for row in rows["spatial_se"].to_dict("records"):
        x, y = caught[f"{row['slot']}{row['level']}"]
        gate = (y / x).nanmean(1)  # one weight for all channels: y = x * gate
        assert row["change"] == pytest.approx(float((y - x).norm() / x.norm()), rel=1e-5)
        assert row["gate_mean"] == pytest.approx(float(gate.mean()), rel=1e-4)
    gathered = compute_gates(study.layout, study.runs())
    assert gathered["model"].unique().tolist() == ["self_attention", "spatial_se"]
    assert set(gathered.columns) == {
        *("dataset", "model", "fold", "seed", "reading"),
        *COLUMNS,
    }
