"""A model on another dataset: scored as a slow explicit loop would, and as its own test fold
where the data are.
"""

import numpy as np
import pandas as pd
import pytest

from attnbench.data.store import CaseStore
from attnbench.inference.trained import trained_network
from attnbench.scoring.case import score_masks
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.shift.transfer import score_transfer
from attnbench.study.paths import Run

RUN = Run("left", "unet", 0, 0)
TEXT = dict.fromkeys(("case", "group", "unit"), "str")


@pytest.fixture
def transferred(study):
    score_transfer(study, RUN)
    return pd.read_csv(study.layout.run(RUN) / "transfer.csv", dtype=TEXT)


def test_every_case_of_the_other_dataset_has_every_class_in_common_and_every_metric(
    study, transferred
):
    assert list(transferred) == ["dataset", "test", *SCORE_COLUMNS[1:]]
    assert set(transferred["dataset"]) == {"left"} and set(transferred["test"]) == {"right"}
    store = CaseStore.open(study.layout.prepared("right"))
    expected = {
        (case, number, metric)
        for case in store.cases["case"]
        for number in (1, 3)
        for metric in study.metrics
    }
    assert (
        set(zip(transferred["case"], transferred["class"], transferred["metric"], strict=True))
        == expected
    )
    assert len(transferred) == len(expected)
    assert (transferred["case"].map(store.groups) == transferred["group"]).all()


def test_the_same_images_have_the_scores_of_the_test_fold_whatever_the_numbers_of_their_classes(
    study, transferred
):
    own = pd.read_csv(study.layout.run(RUN) / "scores.csv", dtype=TEXT)
    found = own[own["metric"] == "dice"].groupby("class")["value"].mean()
    assert (found > 0.5).all(), "a model that finds nothing would show nothing"
    names = own.replace({"class": {1: "box", 2: "bar"}})
    others = transferred.replace({"class": {3: "box", 1: "bar"}})
    keys = ["model", "fold", "seed", "case", "group", "class", "metric", "unit", "status"]
    pairs = names.merge(others, on=keys, suffixes=("", "_there"), validate="one_to_one")
    assert len(pairs) == len(own)
    np.testing.assert_allclose(pairs["value_there"], pairs["value"], rtol=1e-5)


def test_scores_are_those_of_each_class_alone(study, transferred):
    """Slowly: one binary mask per class, on the case's own grid and inside its field of view."""
    store = CaseStore.open(study.layout.prepared("right"))
    indices = range(len(store))
    with trained_network(study, RUN) as trained:
        predicted = [p.argmax(0).numpy() for p in trained.predict(store, indices)]
    for theirs, ours in ((3, 1), (1, 2)):
        for index, prediction in enumerate(predicted):
            masks = [(mask == number).astype(np.uint8) for mask, number in
                     ((prediction, ours), (store.reference(index), theirs))]  # fmt: skip
            metrics = ["dice", "hd95", "volume_error"]
            alone = score_masks(
                *masks, store.original_spacing(index), "mm", [1], metrics, store.fov(index)
            )
            chosen = (transferred["case"] == f"case{index}") & (transferred["class"] == theirs)
            rows = transferred[chosen & (transferred["metric"] != "ece")]
            np.testing.assert_array_equal(rows["value"], [row["value"] for row in alone])
            assert rows["status"].tolist() == [row["status"] for row in alone]


def test_stated_classes_replace_those_of_equal_names(study):
    part = study.transfer[0].model_copy(update={"classes": {2: 1}})
    score_transfer(study.model_copy(update={"transfer": (part,)}), RUN)
    rows = pd.read_csv(study.layout.run(RUN) / "transfer.csv")
    assert set(rows["class"]) == {2}
    assert set(rows["status"]) <= {"reference_empty", "both_empty"}, (
        "no case of the other dataset has a ring"
    )
