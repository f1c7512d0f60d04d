"""Scores of runs on a small prepared dataset, from predictions on disk to the study's one table."""

import logging

import numpy as np
import pandas as pd
import pytest

from attnbench.data.case import PreparedCase
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError, SealError
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.gather import gather_scores
from attnbench.scoring.run import score_run
from attnbench.study.groups import ScoringSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.sealed import seal_run
from attnbench.training.stamp import identity
from sealing import reseal

RUN = Run("toy", "unet", 0, 0)


def _case(number: int) -> PreparedCase:
    """A case of its own size and spacing whose reference differs from the resampled mask."""
    rng = np.random.default_rng(number)
    shape = (12 + number, 15)
    reference = np.zeros(shape, np.uint8)
    reference[2:8, 3:10] = 1
    reference[9:11, 5:7] = 2
    fov = np.ones(shape, bool)
    fov[:, 12:] = False
    return PreparedCase(
        case=f"{number:03}",
        group=f"0{number // 2}",
        image=rng.random((1, 8, 8), np.float32),
        mask=np.zeros((8, 8), np.uint8),
        reference=reference,
        spacing=(1.0, 1.0),
        original_spacing=(0.1 * (number + 1), 0.5),
        fov=fov,
    )


def _predict(case: PreparedCase) -> np.ndarray:
    """The reference moved by one pixel, with voxels outside the field of view; case 2 misses the
    small class.
    """
    prediction = np.roll(case.reference, 1, axis=0)
    prediction[0, 14] = 1
    if case.case == "002":
        prediction[prediction == 2] = 0
    return prediction


@pytest.fixture
def study(tmp_path, toy_info):
    content = {
        "name": "trial",
        "datasets": ["toy"],
        "models": ["unet", "attention_gate"],
        "folds": {"outer": 2, "inner": 2},
        "metrics": ["dice", "hd95", "hd95_penalised"],
        "output": str(tmp_path),
    }
    study = parse_study(content)
    prepared = study.layout.prepared("toy")
    write_store(prepared, map(_case, range(8)), toy_info(has_second_rater=False))
    write_folds(prepared, study.folds, study.layout.folds("toy"))
    return study


def _tested(study, fold=0):
    store = CaseStore.open(study.layout.prepared("toy"))
    return [
        _case(int(name)) for name in load_folds(study.layout.folds("toy"), store).fold(fold).test
    ]


def _write_predictions(study, run=RUN, change=lambda predictions: None):
    predictions = {case.case: _predict(case) for case in _tested(study, run.fold)}
    change(predictions)
    folder = study.layout.run(run)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "predictions.npz", **predictions)
    _seal(study, run, ["predictions.npz"])
    return folder


def _seal(study, run, names):
    """As a job `predict` that left these files."""
    store = CaseStore.open(study.layout.prepared("toy"))
    folds = load_folds(study.layout.folds("toy"), store)
    hashes = {"data_hash": store.info.content_hash, "folds_hash": folds.hash}
    seal_run(study, run, "predict", {**identity(study, run), **hashes}, names)


def _read(path):
    text = dict.fromkeys(("case", "group", "unit"), "str")
    return pd.read_csv(path, dtype=text)


def test_scores_are_those_of_the_cases_own_grid_spacing_unit_and_field_of_view(study):
    scores = _read(_write_scores(study))
    assert tuple(scores) == SCORE_COLUMNS
    expected = []
    for case in _tested(study):
        masks = _predict(case) * case.fov, case.reference * case.fov
        rows = score_masks(*masks, case.original_spacing, "um", (1, 2), study.metrics)
        expected += [{"case": case.case, "group": case.group, **row} for row in rows]
    expected = pd.DataFrame(expected)
    pd.testing.assert_frame_equal(
        scores[list(expected)], expected, check_dtype=False, check_exact=True
    )
    assert (scores[["dataset", "model", "fold", "seed"]] == ["toy", "unet", 0, 0]).all(axis=None)
    assert set(scores["unit"]) == {"1", "um"}


def _write_scores(study, run=RUN):
    folder = _write_predictions(study, run)
    score_run(study, run)
    return folder / "scores.csv"


def test_the_rules_of_the_study_decide_its_scores(study):
    metrics = ("hd95", "nsd", "lesion_fp")
    scoring = ScoringSettings(
        nsd_tolerance={"um": 0.65}, hd_percentile="larger", lesion_connectivity="faces"
    )
    default = study.model_copy(update={"metrics": metrics})
    own = default.model_copy(update={"scoring": scoring})
    before, after = (_read(_write_scores(asked)) for asked in (default, own))
    expected = [
        row["value"]
        for case in _tested(study)
        for row in score_masks(
            _predict(case), case.reference, case.original_spacing, "um", (1, 2), metrics,
            case.fov, scoring,
        )
    ]  # fmt: skip
    np.testing.assert_array_equal(after["value"], expected)
    differs = ~np.isclose(before["value"], after["value"], equal_nan=True)
    assert set(after.loc[differs, "metric"]) == {"nsd"}
    assert set(after["unit"]) == {"um", "1", "count"}


def test_failed_class_is_an_empty_field_with_status_and_in_the_log(study, caplog):
    fold = 0 if "002" in {case.case for case in _tested(study)} else 1
    caplog.set_level(logging.INFO)
    lines = _write_scores(study, Run("toy", "unet", fold, 0)).read_text().splitlines()
    failed = [line for line in lines if line.endswith("prediction_empty")]
    assert f"toy,unet,{fold},0,002,01,2,hd95,,um,prediction_empty" in failed
    assert len(failed) == 3
    assert "prediction_empty 1" in caplog.text


def test_calibration_is_scored_from_the_bins_of_the_case(study):
    study = study.model_copy(update={"metrics": ("ece", "dice")})
    folder = _write_predictions(study)
    with pytest.raises(SealError, match=r"calibration\.csv: no such file"):
        score_run(study, RUN)
    cases = [case.case for case in _tested(study)]
    voxels = [int(case.fov.sum()) for case in _tested(study)]
    rows = [
        {
            "case": case,
            "class": number,
            "bin": 0,
            "voxels": count,
            "probability": 0.05 * number,
            "observed": 0.0,
        }
        for case, count in zip(cases, voxels, strict=True)
        for number in (1, 2)
    ]
    bins = pd.DataFrame(rows)
    bins.to_csv(folder / "calibration.csv", index=False)
    _seal(study, RUN, ["predictions.npz", "calibration.csv"])
    score_run(study, RUN)
    scores = _read(folder / "scores.csv")
    ece = scores[scores["metric"] == "ece"]
    dice = scores[scores["metric"] == "dice"]
    assert len(ece) == 2 * len(cases)
    assert (
        ece[["case", "class", "status"]].to_numpy().tolist()
        == dice[["case", "class", "status"]].to_numpy().tolist()
    )
    np.testing.assert_allclose(ece["value"], 0.05 * ece["class"])
    bins.assign(voxels=1).to_csv(folder / "calibration.csv", index=False)
    _seal(study, RUN, ["predictions.npz", "calibration.csv"])
    with pytest.raises(
        DataError, match=rf"case '{cases[0]}': class 1: the calibration counts 1 voxels"
    ):
        score_run(study, RUN)


def test_missing_predictions_say_what_to_do(study):
    with pytest.raises(DataError, match=r"predictions\.npz: no such file; predict the run"):
        score_run(study, RUN)


def test_predictions_of_other_cases_are_refused(study):
    first = _tested(study)[0].case
    _write_predictions(
        study, change=lambda predictions: predictions.update(other=predictions.pop(first))
    )
    with pytest.raises(DataError, match=rf"1 missing \({first}\), 1 not tested here \(other\)"):
        score_run(study, RUN)
    assert not (study.layout.run(RUN) / "scores.csv").exists()


def test_prediction_on_another_grid_is_refused_with_case_file_and_shapes(study):
    first = _tested(study)[0].case
    _write_predictions(
        study, change=lambda predictions: predictions.update({first: np.zeros((8, 8), np.uint8)})
    )
    with pytest.raises(DataError, match=rf"predictions\.npz: case '{first}': .*\(8, 8\)"):
        score_run(study, RUN)


def test_gather_joins_finished_runs_in_order_and_names_the_missing(study, caplog):
    caplog.set_level(logging.INFO)
    finished = [run for run in study.runs() if run.model == "unet"]
    parts = [_read(_write_scores(study, run)) for run in finished]
    missing = gather_scores(study)
    pd.testing.assert_frame_equal(_read(study.layout.scores), pd.concat(parts, ignore_index=True))
    assert [run.model for run in missing] == ["attention_gate"] * 2
    assert all(str(run) in caplog.text for run in missing)
    assert "2 of 4 runs have no scores yet" in caplog.text


def test_gather_without_any_score_is_an_error_and_leaves_no_file(study):
    with pytest.raises(DataError, match="none of the 4 runs"):
        gather_scores(study)
    assert not study.layout.scores.exists()


def test_gather_refuses_other_columns(study):
    path = _write_scores(study)
    path.write_text("case,dice\n001,0.5\n")
    reseal(study, RUN, "score")
    with pytest.raises(DataError, match=r"scores\.csv: .*'case,dice'"):
        gather_scores(study)
