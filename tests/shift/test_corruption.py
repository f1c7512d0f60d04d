"""Corrupted test images: the scores are those of a dataset corrupted beforehand, and nothing
piles up in memory.
"""

import numpy as np
import pandas as pd
import pytest

from attnbench.data.resample import resample_mask
from attnbench.data.store import CaseStore
from attnbench.inference.predict import predict_run
from attnbench.inference.trained import trained_network
from attnbench.scoring.definitions import SCORE_COLUMNS
from attnbench.scoring.run import score_run
from attnbench.shift.corrupt import corrupt
from attnbench.shift.corruption import corrupted_image, score_corrupted
from attnbench.shift.scores import score_images
from attnbench.study.paths import Run
from attnbench.study.shift import LEVELS
from sealing import as_of_its_data, rewrite_images

RUN = Run("left", "unet", 0, 0)
TEXT = dict.fromkeys(("case", "group", "unit"), "str")


@pytest.fixture(scope="module")
def corrupted(finished, copy_of, tmp_path_factory):
    study = copy_of(finished, tmp_path_factory.mktemp("corrupted") / "copy")
    score_corrupted(study, RUN)
    return pd.read_csv(study.layout.run(RUN) / "corrupted.csv", dtype=TEXT)


def test_every_test_case_has_every_corruption_at_every_level(finished, corrupted):
    assert tuple(corrupted) == (*SCORE_COLUMNS, "corruption", "level")
    scores = pd.read_csv(finished.layout.run(RUN) / "scores.csv", dtype=TEXT)
    keys = ["dataset", "model", "fold", "seed", "case", "group", "class", "metric", "unit"]
    for kind in finished.corruptions:
        for level in LEVELS:
            rows = corrupted[(corrupted["corruption"] == kind) & (corrupted["level"] == level)]
            pd.testing.assert_frame_equal(rows[keys].reset_index(drop=True), scores[keys])
    assert len(corrupted) == len(scores) * len(LEVELS) * len(finished.corruptions)


@pytest.mark.parametrize(("kind", "level"), [("blur", 2), ("blur", 5), ("contrast", 4)])
def test_scores_are_those_of_a_dataset_corrupted_before(study, corrupted, kind, level):
    store = CaseStore.open(study.layout.prepared("left"))
    images = []
    for index in range(len(store)):
        inside = resample_mask(store.fov(index).astype(np.uint8), store.shape(index)) > 0
        image = store.image(index)
        images.append(np.where(inside, corrupt(image, kind, level, seed=0), image))
    flat = np.concatenate([np.moveaxis(image, 0, -1).ravel() for image in images]).astype(
        np.float32
    )
    rewrite_images(store.folder, flat)
    as_of_its_data(study, RUN)
    predict_run(study, RUN)
    score_run(study, RUN)
    before = pd.read_csv(study.layout.run(RUN) / "scores.csv", dtype=TEXT)
    during = corrupted[(corrupted["corruption"] == kind) & (corrupted["level"] == level)][
        list(before)
    ]
    pd.testing.assert_frame_equal(during.reset_index(drop=True), before, rtol=1e-5)


def test_blur_costs_a_thin_object_more_than_a_wide_one(corrupted):
    """The bar is two pixels wide where the levels blur by 0.5 to 3 pixels; the box is seven
    pixels wide.
    """
    dice = corrupted[(corrupted["metric"] == "dice") & (corrupted["corruption"] == "blur")]
    means = dice.pivot_table("value", "class", "level")
    box, bar = (means.loc[number, 1] - means.loc[number, 5] for number in (1, 2))
    assert bar > 0.2
    assert bar > box > 0


@pytest.mark.parametrize("kind", ["noise", "bias_field", "ghosting"])
def test_a_case_has_one_pattern_of_its_own(finished, kind):
    with trained_network(finished, RUN) as trained:
        store, image = trained.inputs.store, trained.image(trained.inputs.store, 3)
        first, again = (corrupted_image(trained, 3, kind, 4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    inside = resample_mask(store.fov(3).astype(np.uint8), store.shape(3)) > 0
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first[:, ~inside], image[:, ~inside])
    assert (first[:, inside] != image[:, inside]).mean() > 0.9


def test_noise_is_one_pattern_that_levels_strengthen_and_cases_do_not_share(finished):
    with trained_network(finished, RUN) as trained:
        store = trained.inputs.store
        added = {
            (index, level): (
                corrupted_image(trained, index, "noise", level) - trained.image(store, index)
            ).ravel()
            for index in (3, 4)
            for level in (1, 5)
        }
    assert np.corrcoef(added[3, 1], added[3, 5])[0, 1] > 0.999
    assert added[3, 5].std() > 5 * added[3, 1].std()
    assert abs(np.corrcoef(added[3, 5], added[4, 5])[0, 1]) < 0.5


def test_images_are_made_as_they_are_shown(finished):
    """Two hundred images: the first scores are there before more than one batch of windows was
    made.
    """
    made = []
    with trained_network(finished, RUN) as trained:
        store = trained.inputs.store
        image = trained.image(store, 0)[:, :16, :16]
        images = (made.append(number) or image for number in range(200))
        dice = finished.model_copy(update={"metrics": ("dice",)})
        predicted = trained.predict(store, [0] * 200, images)
        next(score_images(predicted, store, [0] * 200, {1: 1}, dice))
    assert len(made) <= 16
