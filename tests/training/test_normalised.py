"""Normalisation on load: what a network is trained on is what it predicts from, whatever is stored,
and a run belongs to the statistics of its fold.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from attnbench.data.case import PreparedCase
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.info import DatasetInfo
from attnbench.data.intensities import measure_fold, write_statistics
from attnbench.data.normalise import Normalisation
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError, SealError
from attnbench.files import read_json
from attnbench.inference.predict import predict_run
from attnbench.inference.trained import trained_network
from attnbench.inference.trial import run_trial
from attnbench.models.names import known_models
from attnbench.shift.corruption import score_corrupted
from attnbench.shift.ensemble import score_ensemble
from attnbench.shift.transfer import score_transfer
from attnbench.study.groups import AugmentationSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.plan import Planner
from attnbench.training.run import load_inputs, train_run
from attnbench.training.sampler import CasePool, batches
from sealing import reseal, rewrite_images

CPU = torch.device("cpu")
TYPES = (np.uint8, np.int16, np.uint16, np.float32)
OF_FOLD = np.array([[40.0, 160.0, 90.0, 30.0], [10.0, 230.0, 120.0, 55.0]])
SCHEMES = [
    Normalisation("z_score"),
    Normalisation("percentile"),
    Normalisation("ct", OF_FOLD),
    Normalisation("none"),
]


def make_store(folder, ndim=2, dtype=np.uint8, cases=6, name="toy", offset=0):
    """Two channels of bright boxes, much brighter in one case than in the next."""
    info = DatasetInfo(
        name=name, title="Toy", task="boxes", modality="CT", ndim=ndim, channels=2,
        classes={1: "box"}, spacing_unit="mm", spacing=None, size=None, resampled=False,
        has_fov=False, has_second_rater=False, groups_inferred=False, licence="MIT",
        citation="nobody",
    )  # fmt: skip
    made = []
    for number in range(cases):
        rng = np.random.default_rng(number + 100 * offset)
        shape = tuple(rng.integers(14, 22, ndim))
        mask = np.zeros(shape, np.uint8)
        mask[tuple(slice(4, 10) for _ in shape)] = 1
        image = rng.normal(60 + 8 * number, 10, (2, *shape)) + 70 * mask + offset
        image = image.clip(0, 255).astype(dtype)
        case = f"{name}{number}"
        if dtype == np.uint16:
            image = (image.astype(np.int64) * 257).astype(dtype)  # up to 65535
        made.append(PreparedCase(case, case, image, mask, mask, (1.0,) * ndim, (1.0,) * ndim))
    write_store(folder, made, info)
    return CaseStore.open(folder)


def planned(store, augmentation=None, mirror=(), patch=None, count=20):
    patch = patch or (9,) * store.info.ndim
    rng = np.random.default_rng(0)
    planner = Planner(store, range(len(store)), patch, 0.5, rng, augmentation, mirror)
    return planner.draw(count), patch


@pytest.mark.parametrize("normalisation", SCHEMES, ids=lambda item: item.scheme)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_patch_is_that_of_the_normalised_case_zero_outside(tmp_path, normalisation, dtype, ndim):
    """Unmoved to the bit; turned, scaled and mirrored as scipy interpolates the whole case."""
    store = make_store(tmp_path / "toy", ndim, dtype)
    assert store.images.dtype == dtype
    pool = CasePool(store, range(len(store)), CPU, normalisation)
    turned = AugmentationSettings(rotation=40, scaling=0.4)
    for augmentation in (None, turned):
        plan, patch = planned(store, augmentation, range(ndim), patch=(26,) * ndim, count=6)
        images, _ = pool.cut(pool.locate(plan, patch), patch)
        axes = [np.arange(side) - (side - 1) / 2 for side in patch]
        offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        for number, index in enumerate(plan.case):
            points = np.moveaxis(plan.centre[number] + offsets @ plan.matrix[number].T, -1, 0)
            whole = normalisation.image(store, index)
            for channel, image in zip(images[number].numpy(), whole, strict=True):
                expected = map_coordinates(
                    image.astype(float), points, order=1, mode="grid-constant"
                )
                scale = max(1.0, np.abs(image).max())
                np.testing.assert_allclose(channel / scale, expected / scale, atol=1e-4)


def test_the_pool_of_some_cases_takes_their_own_numbers(tmp_path):
    store = make_store(tmp_path / "toy")
    chosen, normalisation = [4, 1], Normalisation("z_score")
    pool = CasePool(store, chosen, CPU, normalisation)
    planner = Planner(store, chosen, (30, 30), 0.5, np.random.default_rng(0))
    plan = planner.draw(8)
    images, _ = pool.cut(pool.locate(plan, (30, 30)), (30, 30))
    for case, image in zip(plan.case, images.numpy(), strict=True):
        whole = normalisation.image(store, chosen[case])
        # Beside the case lie zeros, or what rounding of the coordinates leaves of its border.
        shown, expected = (np.sort(part[np.abs(part) > 1e-3]) for part in (image, whole))
        np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_the_type_that_intensities_are_stored_in_changes_no_batch(tmp_path):
    seen = []
    for dtype in TYPES:
        store = make_store(tmp_path / dtype.__name__, dtype=np.uint8)
        rewrite_images(store.folder, np.load(store.folder / "images.npy").astype(dtype))
        store = CaseStore.open(store.folder)
        pool = CasePool(store, range(6), CPU, Normalisation("z_score"))
        rng = np.random.default_rng(0)
        planner = Planner(store, range(6), (9, 9), 0.5, rng, AugmentationSettings())
        noise = torch.Generator().manual_seed(0)
        seen.append(torch.stack([image for image, _ in batches(pool, planner, 4, 3, CPU, noise)]))
    assert all(torch.equal(first, seen[0]) for first in seen)


def study_of(output, scheme, **changes):
    names = ("toy", "far")
    return parse_study(
        {
            "name": "normalised",
            "output": str(output),
            "datasets": [
                {"name": name, "patch": [16, 16], "normalisation": scheme} for name in names
            ],
            "models": ["unet"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 2, "inner": 2},
            "training": {"steps": 40, "batch": 4, "validate_every": 40},
            "compute": {"device": "cpu"},
            "metrics": ["dice"],
            "transfer": [{"train": "toy", "test": "far", "ensemble": True}],
            "corruptions": ["blur"],
            "data_efficiency": [50],
        }
        | changes,
        known_models(),
    )


def prepare(study):
    """Stores, folds and statistics, as the verbs `prepare` and `folds` leave them."""
    layout = study.layout
    for offset, name in enumerate(("toy", "far")):
        prepared = layout.prepared(name)
        make_store(prepared, dtype=np.int16, cases=12, name=name, offset=20 * offset)
        write_folds(prepared, study.folds, layout.folds(name))
        write_statistics(
            prepared, layout.folds(name), study.normalisation(name), layout.statistics(name)
        )
    return study


@pytest.fixture
def study(tmp_path):
    return prepare(study_of(tmp_path / "out", "ct"))


RUN = Run("toy", "unet", 0, 0)


def test_a_run_has_the_statistics_of_its_fold_on_its_own_and_on_external_cases(study):
    train_run(study, RUN)
    store = CaseStore.open(study.layout.prepared("toy"))
    fold = load_folds(study.layout.folds("toy"), store).fold(0)
    low, high, mean, deviation = measure_fold(store, fold.train).T
    far = CaseStore.open(study.layout.prepared("far"))
    with trained_network(study, RUN) as trained:
        for of, index in ((store, store.index(fold.test[0])), (far, 3)):
            for channel in range(2):
                image = of.image(index)[channel].astype(np.float64)
                expected = np.clip(image, low[channel], high[channel]) - mean[channel]
                found = trained.image(of, index)[channel]
                np.testing.assert_allclose(found, expected / deviation[channel], atol=1e-4)


def test_every_verb_after_training_takes_them(study):
    """Wherever a store is read, the same network sees the same numbers: scores of an external set
    that is the set itself are those of its fold.
    """
    train_run(study, RUN)
    train_run(study, replace(RUN, fold=1))
    predict_run(study, RUN)
    score_transfer(study, RUN)
    score_corrupted(study, RUN)
    score_ensemble(study, "toy", "unet")
    with trained_network(study, RUN) as trained:
        far = CaseStore.open(study.layout.prepared("far"))
        normalised = [trained.image(far, i) for i in range(len(far))]
        by_hand = trained.predict(far, range(len(far)), normalised)
        by_store = trained.predict(far, range(len(far)))
        assert all(torch.equal(a, b) for a, b in zip(by_hand, by_store, strict=True))


def test_a_run_on_fewer_groups_takes_the_statistics_of_its_own_cases(study):
    few = replace(RUN, percent=50)
    whole, share = load_inputs(study, RUN), load_inputs(study, few)
    np.testing.assert_array_equal(
        share.normalisation.of_fold, measure_fold(share.store, share.fold.train)
    )
    assert share.hashes["statistics"] != whole.hashes["statistics"]
    train_run(study, few)
    stated = read_json(study.layout.run(few) / "run.json")["statistics_hash"]
    assert stated == share.hashes["statistics"]


def test_weights_trained_with_other_statistics_are_refused(study):
    train_run(study, RUN)
    content = read_json(study.layout.statistics("toy"))
    path = study.layout.run(RUN) / "model.pt"
    saved = torch.load(path, weights_only=True)
    assert saved["stamp"]["statistics_hash"] != content["hash"]
    saved["stamp"]["statistics_hash"] = "0" * 64
    torch.save(saved, path)
    reseal(study, RUN, "train")
    with pytest.raises(SealError, match=r"model\.pt: belongs to another state of the intensities"):
        predict_run(study, RUN)
    reseal(study, RUN, "train", statistics_hash="0" * 64)
    with pytest.raises(SealError, match=r"model\.pt: belongs to another state of the intensities"):
        predict_run(study, RUN)


def test_statistics_of_another_fold_file_are_refused_before_training(study):
    layout = study.layout
    other = study.folds.model_copy(update={"seed": 5})
    write_folds(layout.prepared("toy"), other, layout.folds("toy"))
    with pytest.raises(DataError, match=r"toy\.statistics\.json: measured for another folds_hash"):
        train_run(study, RUN)
    write_statistics(layout.prepared("toy"), layout.folds("toy"), "ct", layout.statistics("toy"))
    train_run(study, RUN)


def test_another_scheme_is_another_recipe(tmp_path):
    z_score = prepare(study_of(tmp_path / "out", "z_score"))
    train_run(z_score, RUN)
    percentile = study_of(tmp_path / "out", "percentile")
    with pytest.raises(SealError, match="another recipe"):
        predict_run(percentile, RUN)
    assert "statistics" not in load_inputs(percentile, RUN).hashes


def test_a_trial_takes_the_statistics_of_its_fold(tmp_path):
    swept = {"training": {"steps": 20, "batch": 4, "validate_every": 20,
                          "sweep": {"learning_rate": [0.01, 0.03]}}}  # fmt: skip
    study = prepare(study_of(tmp_path / "out", "ct", **swept))
    run_trial(study, "toy", "unet", 0, 1)
    trial = read_json(study.layout.trial("toy", "unet", 0, 1))
    fixed = study.with_value("learning_rate", 0.03)
    assert trial["statistics_hash"] == load_inputs(fixed, RUN).hashes["statistics"]
