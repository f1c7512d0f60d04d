"""Expected calibration error: formula, known truth, and what a run's score says of it."""

import numpy as np
import pandas as pd
import pytest

from attnbench.errors import DataError
from attnbench.scoring.calibration import (
    calibration_rows,
    expected_calibration_error,
    read_calibration,
)


def binned(probability, observed, bins=15):
    """Bins by numpy's digitize, as a table of one case and class."""
    place = np.clip(
        np.digitize(probability, np.linspace(0, 1, bins + 1)[1:-1], right=True), 0, bins - 1
    )
    table = pd.DataFrame(
        {"class": 1, "bin": place, "probability": probability, "observed": observed.astype(float)}
    )
    means = table.groupby(["class", "bin"], as_index=False).agg(
        voxels=("observed", "size"),
        probability=("probability", "mean"),
        observed=("observed", "mean"),
    )
    return means


def of(bins):
    return expected_calibration_error(bins["voxels"], bins["probability"], bins["observed"])


def test_the_formula_written_out():
    assert expected_calibration_error([6, 0, 4], [0.1, 0.0, 0.9], [0.0, 0.0, 0.5]) == pytest.approx(
        0.6 * 0.1 + 0.4 * 0.4
    )
    assert np.isnan(expected_calibration_error([], [], []))


def test_honest_probabilities_have_none_and_exaggerated_ones_what_they_exaggerate():
    """Where the class is there with probability q, a network that says q is calibrated; one that
    says (1 + q) / 2 is off by (1 - q) / 2, on average a quarter for q uniform.
    """
    random = np.random.default_rng(3)
    chance = random.random(200_000)
    there = random.random(200_000) < chance
    assert of(binned(chance, there)) < 0.005
    assert of(binned((1 + chance) / 2, there)) == pytest.approx(0.25, abs=0.005)


def test_no_masks_are_needed_for_a_value_and_the_status_says_what_was_empty():
    empty, some = np.zeros((4, 5), np.uint8), np.eye(4, 5, dtype=np.uint8)
    bins = pd.DataFrame(
        {"class": [1], "bin": [0], "voxels": [20], "probability": [0.02], "observed": [0.0]}
    )
    for prediction, reference, status in [
        (empty, empty, "both_empty"),
        (empty, some, "prediction_empty"),
        (some, empty, "reference_empty"),
        (some, some, "ok"),
    ]:
        (row,) = calibration_rows(bins, prediction, reference, [1])
        assert row == {"class": 1, "metric": "ece", "value": 0.02, "unit": "1", "status": status}


def test_status_and_voxels_are_those_inside_the_region():
    reference, region = np.eye(4, 5, dtype=np.uint8), np.zeros((4, 5), bool)
    region[0, 1:] = True
    bins = pd.DataFrame(
        {"class": [1], "bin": [0], "voxels": [4], "probability": [0.1], "observed": [0.0]}
    )
    (row,) = calibration_rows(bins, reference, reference, [1], region)
    assert row["status"] == "both_empty"
    with pytest.raises(
        DataError, match="class 1: the calibration counts 4 voxels, the case has 20"
    ):
        list(calibration_rows(bins, reference, reference, [1]))


def test_an_undefined_probability_is_an_undefined_error(tmp_path):
    bins = pd.DataFrame(
        {"case": "01", "class": 1, "bin": [0, 3], "voxels": [7, 13], "observed": [0.0, 1.0]}
    )
    bins.assign(probability=[np.nan, 0.2]).to_csv(tmp_path / "calibration.csv", index=False)
    read = read_calibration(tmp_path / "calibration.csv")
    assert read["case"].tolist() == ["01", "01"]
    (row,) = calibration_rows(read, np.ones((4, 5), np.uint8), np.ones((4, 5), np.uint8), [1])
    assert np.isnan(row["value"]) and row["status"] == "not_a_number"


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"calibration\.csv: no such file; .*predict the run again"):
        read_calibration(tmp_path / "calibration.csv")
