"""Ensembles: the explicit mean of the members' probabilities, never of a case one has seen."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from attnbench.data.store import CaseStore
from attnbench.errors import CheckpointError, DataError, DivergenceError, StudyError
from attnbench.files import read_json, write_json
from attnbench.inference.trained import trained_network
from attnbench.models.names import known_models
from attnbench.scoring.case import score_masks
from attnbench.seals import read_seal
from attnbench.shift.ensemble import score_ensemble
from attnbench.shift.gather import gather_shift
from attnbench.shift.transfer import score_transfer
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.checkpoint import save_diverged
from attnbench.training.diverged import facts_of_divergence
from attnbench.training.run import train_run
from attnbench.training.sealed import seal_run
from sealing import as_of_its_data, rewrite_images

FIRST, SECOND = (Run("left", "unet", fold, 0) for fold in (0, 1))
TEXT = dict.fromkeys(("case", "group", "unit"), "str")
FAR = {1: "bar", 3: "box"}


@pytest.fixture(scope="module")
def members(finished, copy_of, with_far, tmp_path_factory):
    """The study with both folds of `left` trained; not to be changed."""
    copy = copy_of(finished, tmp_path_factory.mktemp("members") / "copy")
    study = with_far(copy, range(100, 106))
    train_run(study, SECOND)
    return study


@pytest.fixture
def study(members, copy_of, tmp_path):
    return copy_of(members, tmp_path / "copy")


def scored(study):
    score_ensemble(study, "left", "unet")
    return pd.read_csv(study.layout.ensemble("left", "unet"), dtype=TEXT)


def probabilities(study, run, store):
    """One map per case, of one member alone."""
    with trained_network(study, run) as trained:
        indices = range(len(store))
        maps = trained.predict(store, indices)
        return [one.numpy().astype(np.float64) for one in maps]


@pytest.mark.parametrize("mirroring", [False, True])
def test_scores_are_those_of_the_explicit_mean_of_the_members_probabilities(study, mirroring):
    study = study.model_copy(
        update={"inference": study.inference.model_copy(update={"mirroring": mirroring})}
    )
    rows = scored(study)
    store = CaseStore.open(study.layout.prepared("far"))
    each = [probabilities(study, run, store) for run in (FIRST, SECOND)]
    masks = [np.mean(maps, axis=0).argmax(axis=0) for maps in zip(*each, strict=True)]
    alone = [[one.argmax(axis=0) for one in maps] for maps in each]
    assert all(
        any((mask != own).any() for mask, own in zip(masks, maps, strict=True)) for maps in alone
    ), "members that agree would show nothing"
    metrics = ["dice", "hd95", "volume_error"]
    for theirs, ours in ((3, 1), (1, 2)):
        for index, mask in enumerate(masks):
            pair = [(m == n).astype(np.uint8)
                    for m, n in ((mask, ours), (store.reference(index), theirs))]  # fmt: skip
            expected = score_masks(
                *pair, store.original_spacing(index), "mm", [1], metrics, store.fov(index)
            )
            case = store.cases["case"][index]
            own = rows[(rows["case"] == case) & (rows["class"] == theirs)].set_index("metric")
            assert own.loc[metrics, "value"].tolist() == [row["value"] for row in expected]


def test_calibration_is_that_of_the_mean_probabilities(study):
    rows = scored(study)
    store = CaseStore.open(study.layout.prepared("far"))
    each = [probabilities(study, run, store) for run in (FIRST, SECOND)]
    for index, maps in enumerate(zip(*each, strict=True)):
        inside = store.fov(index)
        p = np.mean(maps, axis=0)[2][inside]
        there = (store.reference(index) == 1)[inside]
        bins = np.clip(np.ceil(p * 15).astype(int) - 1, 0, 14)
        error = sum(
            abs(p[bins == b].sum() - there[bins == b].sum()) for b in np.unique(bins)
        ) / len(p)
        own = rows[(rows["metric"] == "ece") & (rows["class"] == 1)].set_index("case")
        assert own.loc[store.cases["case"][index], "value"] == pytest.approx(error, abs=1e-5)


def test_every_case_and_class_in_common_is_there_once_with_the_number_of_members(study):
    rows = scored(study)
    store = CaseStore.open(study.layout.prepared("far"))
    keys = [(c, n, m) for c in store.cases["case"] for n in FAR for m in study.metrics]
    assert sorted(zip(rows["case"], rows["class"], rows["metric"], strict=True)) == sorted(keys)
    for column, value in (("dataset", "left"), ("test", "far"), ("model", "unet"), ("members", 2)):
        assert set(rows[column]) == {value}
    assert not {"fold", "seed"} & set(rows)
    assert (rows["case"].map(store.groups) == rows["group"]).all()


def test_identical_members_have_the_scores_of_the_single_model(study):
    one = study.model_copy(update={"folds": study.folds.model_copy(update={"run": (0,)})})
    for asked in (study, one):
        score_transfer(asked, FIRST)
    single = pd.read_csv(study.layout.run(FIRST) / "transfer.csv", dtype=TEXT)
    keys = ["case", "class", "metric"]
    alone = scored(one)
    assert set(alone["members"]) == {1}
    same = alone.merge(single, on=keys, suffixes=("", "_single"), validate="one_to_one")
    assert len(same) == len(single) == len(alone)
    np.testing.assert_allclose(same["value"], same["value_single"], rtol=1e-5)


def copied_as(study, run):
    """A second run that was trained to the very weights of the first."""
    shutil.copytree(study.layout.run(FIRST), study.layout.run(run))
    path = study.layout.run(run) / "model.pt"
    content = torch.load(path, weights_only=True)
    content["stamp"] |= vars(run)
    torch.save(content, path)
    stamp = read_seal(study.layout.seal(f"train/{FIRST}")).stamp
    seal_run(study, run, "train", {**stamp, **vars(run)})


def test_twice_the_same_weights_are_one_model(study):
    """Two seeds whose weights are the same file."""
    twice = study.model_copy(
        update={"folds": study.folds.model_copy(update={"run": (0,)}), "seeds": (0, 1)}
    )
    other = replace(FIRST, seed=1)
    copied_as(study, other)
    rows = scored(twice)
    assert set(rows["members"]) == {2}
    score_transfer(twice, FIRST)
    single = pd.read_csv(study.layout.run(FIRST) / "transfer.csv", dtype=TEXT)
    np.testing.assert_allclose(rows["value"], single["value"], rtol=1e-5)


def test_a_test_set_of_the_same_content_under_another_name_is_refused(study):
    """`right` shows the images of `left` under other class numbers."""
    pair = study.transfer[0].model_copy(update={"test": "right"})
    planted = study.model_copy(update={"transfer": (pair,)})
    own, other = (CaseStore.open(study.layout.prepared(name)) for name in ("left", "right"))
    assert own.info.content_hash != other.info.content_hash, "the hash alone would not see it"
    with pytest.raises(DataError, match=r"right: 12 of its 12 cases are in left too"):
        score_ensemble(planted, "left", "unet")
    assert not study.layout.ensemble("left", "unet").exists()


def test_one_shared_case_among_others_is_refused_whatever_its_name(study, with_far):
    planted = with_far(study, [100, 101, 5, 102])
    with pytest.raises(DataError, match=r"far: 1 of its 4 cases .*'far5', is 'case5' there"):
        score_ensemble(planted, "left", "unet")
    assert not study.layout.ensemble("left", "unet").exists()


def test_the_dataset_itself_is_refused(study):
    itself = study.transfer[0].model_copy(update={"test": "left"})
    with pytest.raises(DataError, match=r"left: .* trained on this dataset itself"):
        score_ensemble(study.model_copy(update={"transfer": (itself,)}), "left", "unet")
    content = study.model_dump(mode="json")
    content["transfer"] = [{"train": "left", "test": "left", "ensemble": True}]
    with pytest.raises(StudyError, match=r"transfer\[0\]: train and test are both 'left'"):
        parse_study(content, known_models())


def test_blank_images_are_no_common_case(study):
    """Two images of one value are equal, and are not one patient for that."""
    folder = study.layout.prepared("far")
    for name in ("left", "far"):
        store = CaseStore.open(study.layout.prepared(name))
        images = np.load(store.folder / "images.npy")
        images[: store.image(0).size] = 0
        rewrite_images(store.folder, images)
    for run in (FIRST, SECOND):
        as_of_its_data(study, run)
    assert (CaseStore.open(folder).image(0) == 0).all()
    assert len(scored(study)) > 0


def test_an_ensemble_without_one_of_its_members_is_not_scored(study):
    (study.layout.run(SECOND) / "model.pt").unlink()
    with pytest.raises(CheckpointError, match=r"fold1-seed0/model.pt"):
        score_ensemble(study, "left", "unet")
    assert not study.layout.ensemble("left", "unet").exists()


def diverged(study, run):
    """A run as one that diverged leaves it, in place of what it was trained to."""
    folder = study.layout.run(run)
    stamp = read_seal(study.layout.seal(f"train/{run}")).stamp
    lost = facts_of_divergence(DivergenceError("the loss is not finite at step 2", 2, 1))
    save_diverged(folder / "model.pt", torch.load(folder / "model.pt")["stamp"], lost)
    facts = read_json(folder / "run.json") | {"weights_sha256": None, "diverged": lost}
    write_json(folder / "run.json", facts)
    seal_run(study, run, "train", {**stamp, "weights_sha256": None})


def test_members_that_diverged_are_left_out_and_without_any_no_row_has_a_value(study):
    both = scored(study)
    diverged(study, SECOND)
    rows = scored(study)
    assert set(rows["members"]) == {1} and set(both["members"]) == {2}
    score_transfer(study, FIRST)
    single = pd.read_csv(study.layout.run(FIRST) / "transfer.csv", dtype=TEXT)
    np.testing.assert_allclose(rows["value"], single["value"], rtol=1e-5)
    gather_shift(study, "ensembles")
    score_transfer(study, SECOND)
    lost = pd.read_csv(study.layout.run(SECOND) / "transfer.csv", dtype=TEXT)
    keys = ["case", "class", "metric", "unit"]
    assert set(lost["status"]) == {"diverged"} and lost["value"].isna().all()
    assert sorted(map(tuple, lost[keys].values)) == sorted(map(tuple, single[keys].values))
    gather_shift(study, "transfer")
    diverged(study, FIRST)
    none = scored(study)
    assert set(none["members"]) == {0} and set(none["status"]) == {"diverged"}
    assert none["value"].isna().all() and len(none) == len(both)
    gather_shift(study, "ensembles")


def test_a_study_that_asks_for_none_is_told_so(study):
    content = study.model_dump(mode="json")
    content["transfer"][0]["ensemble"] = False
    plain = parse_study(content, known_models())
    with pytest.raises(StudyError, match="no ensemble of models of left; say `ensemble: true`"):
        score_ensemble(plain, "left", "unet")
    with pytest.raises(StudyError, match="no table 'ensembles'"):
        gather_shift(plain, "ensembles")


def test_the_table_has_the_file_of_every_ensemble_once(study, caplog):
    rows = scored(study)
    (missing,) = gather_shift(study, "ensembles")
    assert (missing.dataset, missing.model) == ("left", "attention_gate")
    table = pd.read_csv(study.layout.shift("ensembles"), dtype=TEXT)
    pd.testing.assert_frame_equal(table, rows)
