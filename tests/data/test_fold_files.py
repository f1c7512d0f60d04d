"""Folds: groups never cross, every case is tested once, and a file that says otherwise is
refused.
"""

import hashlib
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attnbench.data.case import PreparedCase
from attnbench.data.folds import Fold, fewer_groups, load_folds, make_folds, write_folds
from attnbench.data.info import DatasetInfo
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError
from attnbench.study.groups import FoldsSettings

PARTS = ("train", "validation", "test")


def make_store(folder, groups, seed=0):
    info = DatasetInfo(
        name="toy", title="Toy", task="one thing", modality="none", ndim=2, channels=1,
        classes={1: "thing"}, spacing_unit="px", spacing=None, size=None,
        resampled=False, has_fov=False, has_second_rater=False,
        groups_inferred=False, licence="MIT", citation="nobody",
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    cases = []
    for i, group in enumerate(groups):
        mask = rng.integers(0, 2, (3, 3)).astype(np.uint8)
        image = rng.normal(size=(1, 3, 3)).astype(np.float32)
        cases.append(PreparedCase(f"c{i:02d}", group, image, mask, mask, (1.0, 1.0), (1.0, 1.0)))
    write_store(folder, cases, info)
    return CaseStore.open(folder)


@pytest.fixture
def split(tmp_path):
    """A store of eight pairs, its folds, and a way to rewrite the folds with a hash that fits."""
    store = make_store(tmp_path / "toy", [f"g{i // 2}" for i in range(16)])
    path = tmp_path / "toy.json"
    write_folds(tmp_path / "toy", FoldsSettings(outer=4, inner=3), path)

    def forge(change):
        content = json.loads(path.read_text())
        del content["hash"]
        change(content)
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        path.write_text(json.dumps({**content, "hash": hashlib.sha256(canonical).hexdigest()}))

    return store, path, forge


@st.composite
def tables(draw):
    """`cases.csv` of a dataset with groups of uneven size and classes that are often absent."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    outer, inner, repeats = (draw(st.integers(*span)) for span in ((2, 6), (2, 4), (1, 3)))
    sizes = draw(st.lists(st.integers(1, 9), min_size=outer, max_size=25))
    groups = rng.permutation([f"g{i}" for i, size in enumerate(sizes) for _ in range(size)])
    voxels = rng.integers(1, 50, (2, len(groups))) * (
        rng.random((2, len(groups))) < draw(st.floats(0, 1))
    )
    columns = {
        "case": [f"c{i}" for i in range(len(groups))],
        "group": groups,
        "original_shape": "10x10",
    }
    return pd.DataFrame({**columns, "voxels_1": voxels[0], "voxels_2": voxels[1]}), FoldsSettings(
        outer=outer, inner=inner, repeats=repeats, seed=draw(st.integers(0, 99))
    )


@given(tables())
@settings(max_examples=25, deadline=None)
def test_groups_never_cross_and_every_case_is_tested_once_per_repeat(dataset):
    table, part = dataset
    group_of = dict(zip(table["case"], table["group"], strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            folds = make_folds(table, part, "toy")
        except DataError as error:
            assume("leaves 1 of" not in str(error))
            raise
    assert [fold["fold"] for fold in folds] == list(range(part.outer * part.repeats))
    for repeat in range(part.repeats):
        split = [fold for fold in folds if fold["fold"] // part.outer == repeat]
        assert sorted(case for fold in split for case in fold["test"]) == sorted(table["case"])
    for fold in folds:
        assert sorted(fold["train"] + fold["validation"] + fold["test"]) == sorted(table["case"])
        sets = [{group_of[case] for case in fold[part]} for part in PARTS]
        assert all(sets)
        assert len(set.union(*sets)) == sum(map(len, sets))
    assert make_folds(table, part, "toy") == folds
    for repeat in range(part.repeats):
        alone = part.model_copy(update={"repeats": 1, "seed": part.seed + repeat})
        split = folds[repeat * part.outer : (repeat + 1) * part.outer]
        assert [{**fold, "fold": fold["fold"] % part.outer} for fold in split] == make_folds(
            table, alone, "toy"
        )


def test_a_rare_class_is_spread_over_the_folds():
    count = 60
    rare = np.where(np.arange(count) % 6 == 0, 5, 0)
    table = pd.DataFrame(
        {
            "case": [f"c{i}" for i in range(count)],
            "group": [f"g{i}" for i in range(count)],
            "original_shape": "10x10",
            "voxels_1": np.arange(count) + 1,
            "voxels_2": rare,
        }
    )
    for seed in range(5):
        folds = make_folds(table, FoldsSettings(outer=5, inner=2, seed=seed), "toy")
        present = [
            table.set_index("case").loc[fold["test"], "voxels_2"].gt(0).sum() for fold in folds
        ]
        assert present == [2] * 5
        assert [len(fold["test"]) for fold in folds] == [12] * 5


def test_another_seed_and_another_repeat_split_otherwise():
    table = pd.DataFrame(
        {"case": [f"c{i}" for i in range(40)], "original_shape": "10x10", "voxels_1": range(40)}
    )
    table["group"] = table["case"]
    first, second = (make_folds(table, FoldsSettings(seed=seed), "toy") for seed in (0, 1))
    assert first[0]["test"] != second[0]["test"]
    folds = make_folds(table, FoldsSettings(repeats=2), "toy")
    assert folds[:5] == first
    splits = [{frozenset(fold["test"]) for fold in folds[start : start + 5]} for start in (0, 5)]
    assert not splits[0] & splits[1]


def test_written_folds_are_loaded(split):
    store, path, _ = split
    folds = load_folds(path, store)
    content = json.loads(path.read_text())
    assert (folds.dataset, folds.data_hash, folds.hash) == (
        "toy",
        store.info.content_hash,
        content["hash"],
    )
    for k, fold in enumerate(content["folds"]):
        assert [list(getattr(folds.fold(k), part)) for part in PARTS] == [
            fold[part] for part in PARTS
        ]
    with pytest.raises(DataError, match="no fold 4; folds are 0 to 3"):
        folds.fold(4)


@pytest.mark.parametrize(
    ("source", "target"), [("train", "validation"), ("train", "test"), ("validation", "test")]
)
def test_a_group_that_crosses_is_refused(split, source, target):
    store, path, forge = split

    def cross(content):
        fold = content["folds"][1]
        case = fold[source].pop()
        fold[target].append(case)
        if target == "test":  # keep every case tested once: the crossing is all that is wrong
            other = next(
                other for other in content["folds"] if other is not fold and case in other["test"]
            )
            other["test"].remove(case)
            other["train"].append(case)

    forge(cross)
    with pytest.raises(
        DataError, match=r"toy\.json: group 'g\d' crosses .* of fold \d; a group is never split"
    ):
        load_folds(path, store)


def test_an_altered_file_is_refused(split):
    store, path, _ = split
    content = json.loads(path.read_text())
    first, second = content["folds"][0], content["folds"][1]
    first["test"], second["test"] = second["test"], first["test"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="altered"):
        load_folds(path, store)


def test_folds_of_other_data_are_refused(split, tmp_path):
    _, path, _ = split
    other = make_store(tmp_path / "other", [f"g{i // 2}" for i in range(16)], seed=1)
    with pytest.raises(DataError, match=r"made for data with the hash .*attnbench folds"):
        load_folds(path, other)


def unknown_case(content):
    content["folds"][0]["train"][0] = "stranger"


def left_out(content):
    content["folds"][0]["train"].pop()


def named_twice(content):
    content["folds"][2]["train"].append(content["folds"][2]["train"][0])


def one_fold_less(content):
    content["folds"].pop()


def no_validation(content):
    fold = content["folds"][0]
    fold["train"] += fold.pop("validation")
    fold["validation"] = []


def repeat_fold(content):
    content["folds"][1] = {**content["folds"][0], "fold": 1}


def test_folds_of_several_repeats_are_loaded_and_each_repeat_tests_every_case_once(split):
    store, path, forge = split
    write_folds(store.folder, FoldsSettings(outer=4, inner=3, repeats=2), path)
    folds = load_folds(path, store)
    assert (folds.outer, folds.repeats, len(folds.folds)) == (4, 2, 8)
    assert folds.fold(7).test

    def exchange(content):
        """Every case is tested twice, as often as in whole repeats."""
        first, *_, last = content["folds"]
        content["folds"][0], content["folds"][-1] = last, first

    forge(exchange)
    with pytest.raises(DataError, match="not tested exactly once in repeat 0"):
        load_folds(path, store)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_case, "unknown or missing cases.*stranger"),
        (left_out, "unknown or missing cases"),
        (named_twice, "more than once"),
        (one_fold_less, "3 folds where 4 are stated"),
        (no_validation, "no case in validation"),
        (repeat_fold, "not tested exactly once"),
    ],
)
def test_folds_that_contradict_the_store_are_refused(split, change, message):
    store, path, forge = split
    forge(change)
    with pytest.raises(DataError, match=message):
        load_folds(path, store)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"folds": 3, "hash": "x"}'])
def test_a_file_without_folds_is_refused(split, text):
    store, path, _ = split
    path.write_text(text)
    with pytest.raises(DataError, match="not a file of folds"):
        load_folds(path, store)


@pytest.mark.parametrize(
    ("groups", "outer", "message"),
    [
        ("aabbc", 4, r"toy: folds\.outer: 4 folds need as many groups, there are 3"),
        ("aabb", 2, r"toy: fold 0 leaves 1 of 2 groups; training and validation need one each"),
    ],
)
def test_fewer_groups_than_folds_are_refused(tmp_path, groups, outer, message):
    make_store(tmp_path / "toy", groups)
    with pytest.raises(DataError, match=message):
        write_folds(tmp_path / "toy", FoldsSettings(outer=outer), tmp_path / "toy.json")
    assert not (tmp_path / "toy.json").exists()


def test_few_groups_leave_one_for_validation(tmp_path):
    store = make_store(tmp_path / "toy", "aabbc")
    write_folds(tmp_path / "toy", FoldsSettings(outer=3, inner=4), tmp_path / "toy.json")
    folds = load_folds(tmp_path / "toy.json", store)
    for fold in folds.folds:
        assert [
            store.cases.set_index("case").loc[list(part), "group"].nunique()
            for part in (fold.train, fold.validation, fold.test)
        ] == [1, 1, 1]


sizes = st.lists(st.integers(1, 5), min_size=1, max_size=30)


@given(sizes, st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 100), st.integers(1, 100)))
def test_a_smaller_share_of_the_training_groups_is_part_of_a_larger_one(sizes, seed, percents):
    train = {
        f"c{group}_{case}": f"g{group}" for group, size in enumerate(sizes) for case in range(size)
    }
    groups = {**train, "v": "gv", "t": "gt"}
    fold = Fold(tuple(train), ("v",), ("t",))
    small, large = (fewer_groups(fold, groups, percent, seed) for percent in sorted(percents))
    assert set(small.train) <= set(large.train) <= set(fold.train)
    for share, percent in zip((small, large), sorted(percents), strict=True):
        kept = {groups[case] for case in share.train}
        assert share.train == tuple(case for case in fold.train if groups[case] in kept), (
            "groups stay whole, in order"
        )
        assert len(kept) >= 1
        assert abs(len(kept) - max(1, percent * len(sizes) / 100)) <= 0.5
        assert (share.validation, share.test) == (fold.validation, fold.test)
    assert fewer_groups(fold, groups, 100, seed) == fold


def test_the_seed_decides_which_groups_come_first():
    groups = {f"c{number}": f"g{number}" for number in range(20)}
    fold = Fold(tuple(groups), (), ())
    assert len({fewer_groups(fold, groups, 25, seed).train for seed in range(10)}) > 1
