"""Progress of a run, as another process and TensorBoard read it while the run trains."""

import math

import pandas as pd
import pytest

from attnbench.training.loop import HISTORY
from attnbench.training.progress import record_progress


def row(step: int, loss: float, **others: float) -> dict[str, float]:
    return {**dict.fromkeys(HISTORY, math.nan), "step": step, "loss": loss, **others}


def curves(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


ROWS = [
    row(1, 2.5, learning_rate=1e-3),
    row(127, -0.25, learning_rate=5e-4, validation_dice=0.5),
    row(300_000, 0.0, learning_rate=1e-30, validation_dice=0.8125),
]


def test_every_row_is_whole_as_soon_as_it_is_there(tmp_path):
    path = tmp_path / "run/progress.csv"
    with record_progress(path) as record:
        assert path.read_text() == ",".join(HISTORY) + "\n"
        for count in range(1, 4):
            record(ROWS[count - 1])
            assert path.read_text().endswith("\n")
            pd.testing.assert_frame_equal(
                pd.read_csv(path), pd.DataFrame(ROWS[:count]), check_dtype=False
            )


def test_tensorboard_reads_every_row_while_the_run_still_trains(tmp_path):
    with record_progress(tmp_path / "progress.csv") as record:
        for count, each in enumerate(ROWS, start=1):
            record(each)
            assert len(curves(tmp_path)["loss"]) == count
    points = curves(tmp_path)
    assert points["loss"] == [(1, 2.5), (127, -0.25), (300_000, 0.0)]
    assert points["validation_dice"] == [(127, 0.5), (300_000, 0.8125)]
    assert [value for _, value in points["learning_rate"]] == pytest.approx(
        [1e-3, 5e-4, 1e-30], rel=1e-6
    )
    assert points.keys() == {"loss", "validation_dice", "learning_rate"}


def test_a_run_that_starts_again_begins_its_progress_anew(tmp_path):
    path = tmp_path / "progress.csv"
    for value in (1.0, 2.0):
        with record_progress(path) as record:
            record(row(5, value))
    assert pd.read_csv(path)["loss"].tolist() == [2.0]
    assert curves(tmp_path) == {"loss": [(5, 2.0)]}


def test_without_tensorboard_only_the_table_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("attnbench.training.progress.find_spec", lambda name: None)
    with record_progress(tmp_path / "progress.csv") as record:
        record(ROWS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["progress.csv"]
