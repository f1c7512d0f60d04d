"""Readings of mechanisms: what counts as opened, and how several runs are told together."""

import pandas as pd
import pytest

from attnbench.analysis.gates import compute_gates, compute_openness
from attnbench.errors import DataError
from attnbench.study.paths import Layout, Run

COLUMNS = ["slot", "level", "mechanism", "scale", "gate_mean", "gate_sd", "entropy", "change"]


def gates(tmp_path, *rows, fold=0, model="m", seed=0):
    """Write one run's readings; a row holds scale, gate_mean, gate_sd, entropy and change."""
    run = Run("d", model, fold, seed)
    folder = Layout(tmp_path, tmp_path).run(run)
    folder.mkdir(parents=True)
    table = pd.DataFrame([("skip", 0, "mine", *row) for row in rows], columns=COLUMNS)
    table.to_csv(folder / "gates.csv", index=False)
    return run


@pytest.mark.parametrize(
    ("row", "reading"),
    [
        ((0.5, None, None, None, 0.009), "hardly opened"),
        ((0.001, None, None, 0.3, 0.2), "open"),
        ((None, 0.5, 0.0, None, 0.5), "even"),
        ((None, 0.5, 0.2, None, 0.5), "open"),
        # Its gate decides, not the softmax before it.
        ((None, 0.5, 0.2, 1.0, 0.5), "open"),
        ((0.5, None, None, 1.0, 0.5), "even"),
        ((0.0, None, None, 1.0, 0.0), "hardly opened"),
        ((None, None, None, None, 0.5), "open"),
        ((None, None, None, None, None), "undefined"),
    ],
)
def test_a_reading_follows_from_change_then_from_the_spread_of_the_weights(tmp_path, row, reading):
    run = gates(tmp_path, row)
    assert compute_gates(Layout(tmp_path, tmp_path), [run])["reading"].tolist() == [reading]


def test_runs_are_told_together_and_where_they_differ_one_by_one(tmp_path):
    changes = {0: 0.002, 1: 0.3, 2: 0.4}
    runs = [
        gates(tmp_path, (abs(change), None, None, None, change), fold=fold)
        for fold, change in changes.items()
    ]
    runs += [gates(tmp_path, (None, 0.5, 0.1, None, 0.5), model="n", fold=fold) for fold in (0, 1)]
    absent = Run("d", "n", 2, 0)
    every = compute_gates(Layout(tmp_path, tmp_path), [*runs, absent])
    assert every[["model", "fold"]].to_numpy().tolist() == [
        ["m", 0], ["m", 1], ["m", 2], ["n", 0], ["n", 1]
    ]  # fmt: skip
    first, second = compute_openness(every).to_dict("records")
    assert first["reading"] == "hardly opened in 1, open in 2 of 3"
    assert [first[key] for key in ("runs", "hardly_opened", "even", "open")] == [3, 1, 0, 2]
    assert [first[key] for key in ("change", "change_min", "change_max")] == pytest.approx(
        [0.234, 0.002, 0.4]
    )
    assert pd.isna(first["entropy"]) and pd.isna(first["entropy_max"])
    assert (second["model"], second["reading"], second["runs"]) == ("n", "open", 2)
    assert (second["gate_mean_min"], second["gate_mean_max"]) == (0.5, 0.5)


def test_a_plain_network_and_a_run_of_before_have_no_rows(tmp_path):
    runs = [gates(tmp_path), Run("d", "old", 0, 0)]
    every = compute_gates(Layout(tmp_path, tmp_path), runs)
    assert len(every) == len(compute_openness(every)) == 0


def test_a_file_that_lacks_columns_is_refused_with_what_to_do(tmp_path):
    run = gates(tmp_path)
    path = Layout(tmp_path, tmp_path).run(run) / "gates.csv"
    path.write_text("slot,level\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"gates\.csv: columns mechanism, scale, .*predict the run"):
        compute_gates(Layout(tmp_path, tmp_path), [run])
