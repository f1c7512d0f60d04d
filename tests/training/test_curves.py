"""Live curves as TensorBoard itself reads them."""

import math

import pytest

from attnbench.training.curves import CURVES, live_curves

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_reads_every_row_while_the_run_still_trains(tmp_path):
    rows = [
        {"step": 1, "loss": 2.5, "validation_dice": math.nan, "learning_rate": 1e-3},
        {"step": 127, "loss": -0.25, "validation_dice": 0.5, "learning_rate": 5e-4},
        {"step": 300_000, "loss": 0.0, "validation_dice": 0.8125, "learning_rate": 1e-30},
    ]
    with live_curves(tmp_path / "run" / CURVES) as show:
        for number, row in enumerate(rows, start=1):
            show(row)
            assert len(read(tmp_path / "run")["loss"]) == number
    found = read(tmp_path / "run")
    assert found["loss"] == [(1, 2.5), (127, -0.25), (300_000, 0.0)]
    assert found["validation_dice"] == [(127, 0.5), (300_000, 0.8125)]
    assert [value for _, value in found["learning_rate"]] == pytest.approx(
        [1e-3, 5e-4, 1e-30], rel=1e-6
    )


def test_a_run_that_starts_again_begins_its_curves_anew(tmp_path):
    for value in (1.0, 2.0):
        with live_curves(tmp_path / CURVES) as show:
            show({"step": 5, "loss": value})
    assert read(tmp_path) == {"loss": [(5, 2.0)]}
