"""The second rater on a small prepared dataset."""

import numpy as np
import pandas as pd
import pytest

from attnbench.data.case import PreparedCase
from attnbench.data.write import write_store
from attnbench.errors import DataError
from attnbench.scoring.case import score_masks
from attnbench.scoring.second_rater import SECOND_RATER_COLUMNS, score_second_rater
from attnbench.study.groups import ScoringSettings
from attnbench.study.settings import parse_study


def case_of(number, observed):
    """A case of its own size whose second rater saw everything one pixel lower, and something
    outside the view.
    """
    reference = np.zeros((12 + number, 15), np.uint8)
    reference[2:8, 3:10] = 1
    reference[9:11, 5:7] = 2 if number else 0
    second = np.roll(reference, 1, axis=0)
    second[0, 14] = 1
    fov = np.ones(reference.shape, bool)
    fov[:, 12:] = False
    grid = np.zeros((8, 8), np.uint8)
    return PreparedCase(
        case=f"{number:03}",
        group=f"0{number // 2}",
        image=np.zeros((1, 8, 8), np.float32),
        mask=grid,
        reference=reference,
        spacing=(1.0, 1.0),
        original_spacing=(0.1 * (number + 1), 0.5),
        fov=fov,
        second_rater=second if observed else None,
    )


@pytest.fixture
def study(tmp_path):
    content = {
        "name": "trial",
        "datasets": ["toy"],
        "models": ["unet"],
        "metrics": ["dice", "hd95"],
        "output": str(tmp_path),
    }
    return parse_study(content)


def test_the_second_rater_is_scored_like_a_prediction_where_there_is_one(study, toy_info):
    cases = [case_of(number, observed=number != 2) for number in range(4)]
    write_store(study.layout.prepared("toy"), cases, toy_info(has_second_rater=True))
    score_second_rater(study, "toy")
    found = pd.read_csv(
        study.layout.second_rater("toy"), dtype=dict.fromkeys(("case", "group", "unit"), "str")
    )
    expected = []
    for case in cases:
        if case.second_rater is not None:
            masks = case.second_rater * case.fov, case.reference * case.fov
            rows = score_masks(*masks, case.original_spacing, "um", (1, 2), study.metrics)
            expected += [
                {"dataset": "toy", "case": case.case, "group": case.group, **row} for row in rows
            ]
    assert tuple(found) == SECOND_RATER_COLUMNS
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected), check_dtype=False)
    assert sorted(set(found["case"])) == ["000", "001", "003"]
    assert set(found.loc[(found["case"] == "000") & (found["class"] == 2), "status"]) == {
        "both_empty"
    }


def test_the_rules_of_the_study_hold_for_the_second_rater(study, toy_info):
    cases = [case_of(number, observed=True) for number in range(2)]
    write_store(study.layout.prepared("toy"), cases, toy_info(has_second_rater=True))
    found = {}
    for tolerance in (1e-6, 100.0):
        scoring = ScoringSettings(nsd_tolerance={"um": tolerance})
        asked = study.model_copy(update={"metrics": ("nsd",), "scoring": scoring})
        score_second_rater(asked, "toy")
        found[tolerance] = pd.read_csv(study.layout.second_rater("toy"))["value"]
    assert (found[100.0] == 1).all()
    assert found[1e-6].mean() < 1


def test_without_a_second_rater_there_is_nothing_to_score(study, toy_info):
    write_store(
        study.layout.prepared("toy"), [case_of(1, observed=False)], toy_info(has_second_rater=True)
    )
    with pytest.raises(DataError, match="toy: no case was annotated by a second rater"):
        score_second_rater(study, "toy")
