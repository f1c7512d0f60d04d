"""Splits that a study is given: whatever the source, folds hold exactly the cases that it names,
groups stay whole, and everything that is wrong with a file is said at once.
"""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import LeaveOneGroupOut

from attnbench.catalog import load_entry
from attnbench.data.case import PreparedCase
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.info import DatasetInfo
from attnbench.data.nnunet import export_nnunet
from attnbench.data.prepare import prepare_dataset
from attnbench.data.splits import Cases, count_split, given_split, read_split, refusals
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError
from attnbench.study.groups import DatasetSettings, FoldsSettings

# Two cases per group, eight groups: c00 and c01 are of g0, and so on.
GROUPS = {f"c{i:02d}": f"g{i // 2}" for i in range(16)}
DRAWN = FoldsSettings(outer=4, inner=3)


def make_store(folder, groups, labels=None, unknown=False):
    info = DatasetInfo(
        name="toy", title="Toy", task="one thing", modality="none", ndim=2, channels=1,
        classes={1: "thing"}, spacing_unit="px", spacing=None, size=None,
        resampled=False, has_fov=False, has_second_rater=False,
        groups_inferred=False, groups_unknown=unknown, licence="MIT", citation="nobody",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    cases = []
    for case, group in groups.items():
        mask = rng.integers(0, 2, (3, 3)).astype(np.uint8)
        image = rng.normal(size=(1, 3, 3)).astype(np.float32)
        own = (labels or {}).get(case, {})
        cases.append(
            PreparedCase(case, group, image, mask, mask, (1.0, 1.0), (1.0, 1.0), labels=own)
        )
    write_store(folder, cases, info)
    return CaseStore.open(folder)


def toy(**keys):
    return DatasetSettings(name="toy", **keys)


def split_store(tmp_path, store, **keys):
    """The folds of a store by its own split, written and read again."""
    path = tmp_path / "folds.json"
    write_folds(store.folder, DRAWN, path, toy(**keys))
    return load_folds(path, store)


def groups_of(store, cases):
    return {store.groups[case] for case in cases}


def assert_whole(store, fold):
    """Every group of a fold is in one part alone."""
    parts = [groups_of(store, cases) for cases in (fold.train, fold.validation, fold.test)]
    assert all(parts) and not parts[0] & parts[1] and not (parts[0] | parts[1]) & parts[2]


def test_the_official_split_is_one_fold_with_a_validation_drawn_from_its_training_part(tmp_path):
    labels = {case: {"part": "test" if i >= 10 else "train"} for i, case in enumerate(GROUPS)}
    store = make_store(tmp_path / "toy", GROUPS, labels)
    folds = split_store(tmp_path, store, split="official")
    assert (folds.split, len(folds.folds)) == ("official", 1)
    fold = folds.fold(0)
    assert fold.test == tuple(GROUPS)[10:]
    assert {*fold.train, *fold.validation} == {*tuple(GROUPS)[:10]}
    assert_whole(store, fold)
    # One part in three of five training groups: two of them, or one.
    assert len(groups_of(store, fold.validation)) in (1, 2)


def test_an_official_validation_is_taken_as_it_is(tmp_path):
    parts = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4
    labels = {case: {"part": part} for case, part in zip(GROUPS, parts, strict=True)}
    store = make_store(tmp_path / "toy", GROUPS, labels)
    fold = split_store(tmp_path, store, split="official").fold(0)
    names = tuple(GROUPS)
    assert (fold.train, fold.validation, fold.test) == (names[:8], names[8:12], names[12:])


@pytest.mark.parametrize("ending", ["", ".nii.gz", ".PNG"])
def test_folds_of_nnunet_test_what_it_validates(tmp_path, ending):
    store = make_store(tmp_path / "toy", GROUPS)
    names = list(GROUPS)
    file = tmp_path / "splits_final.json"
    parts = [names[:6], names[6:10], names[10:]]
    content = [
        {
            "train": [f"{name}{ending}" for name in names if name not in part],
            "val": [f"{name}{ending}" for name in part],
        }
        for part in parts
    ]
    file.write_text(json.dumps(content))
    folds = split_store(tmp_path, store, split=file)
    assert [list(fold.test) for fold in folds.folds] == parts
    for fold in folds.folds:
        assert {*fold.train, *fold.validation, *fold.test} == set(names)
        assert_whole(store, fold)


def test_names_in_the_data_may_have_endings_that_the_file_lacks(tmp_path):
    store = make_store(
        tmp_path / "toy", {f"{case}.nii.gz": group for case, group in GROUPS.items()}
    )
    file = tmp_path / "splits_final.json"
    names = list(GROUPS)
    file.write_text(json.dumps([{"train": names[:10], "val": names[10:]}]))
    fold = split_store(tmp_path, store, split=file).fold(0)
    assert fold.test == tuple(f"{name}.nii.gz" for name in names[10:])


@pytest.mark.parametrize("by", ["case", "group"])
def test_a_table_gives_folds_by_case_or_by_group(tmp_path, by):
    store = make_store(tmp_path / "toy", GROUPS)
    fold_of = {f"g{i}": i % 3 for i in range(8)}
    rows = fold_of if by == "group" else {c: fold_of[g] for c, g in GROUPS.items()}
    file = tmp_path / "own.csv"
    file.write_text(f"{by},fold\n" + "".join(f"{name},{fold}\n" for name, fold in rows.items()))
    folds = split_store(tmp_path, store, split=file)
    for number, fold in enumerate(folds.folds):
        assert groups_of(store, fold.test) == {g for g, own in fold_of.items() if own == number}
        assert_whole(store, fold)


def test_a_table_of_parts_is_one_fold_as_spreadsheets_write_it(tmp_path):
    """A byte order mark, spaces, an empty line and a column of notes change nothing."""
    store = make_store(tmp_path / "toy", GROUPS)
    rows = [
        f"{g}, {p} ,x"
        for g, p in zip(["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"], PARTS8, strict=True)
    ]
    file = tmp_path / "own.csv"
    file.write_text("﻿Group,Part,note\r\n" + "\r\n".join(rows) + "\r\n\r\n", encoding="utf-8")
    fold = split_store(tmp_path, store, split=file).fold(0)
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    for part, cases in parts.items():
        assert groups_of(store, cases) == {f"g{i}" for i, own in enumerate(PARTS8) if own == part}


PARTS8 = ["train", "train", "train", "validation", "test", "train", "test", "train"]


def test_leave_one_group_out_is_that_of_scikit_learn(tmp_path):
    groups = {f"c{i}": g for i, g in enumerate("bbabcdacdd")}
    store = make_store(tmp_path / "toy", groups)
    folds = split_store(tmp_path, store, split="leave_one_group_out")
    names, labels = np.array(list(groups)), np.array(list(groups.values()))
    expected = [names[test].tolist() for _, test in LeaveOneGroupOut().split(names, groups=labels)]
    assert [list(fold.test) for fold in folds.folds] == expected
    for fold in folds.folds:
        assert_whole(store, fold)


def test_folds_are_balanced_by_a_label_that_the_masks_know_nothing_of(tmp_path):
    groups = {f"c{i:02d}": f"g{i:02d}" for i in range(40)}
    labels = {case: {"site": "ab"[i % 5 == 0]} for i, case in enumerate(groups)}
    store = make_store(tmp_path / "toy", groups, labels)
    folds = split_store(tmp_path, store, stratify="site")
    # 8 of 40 cases are of site b, in four folds of ten cases.
    assert [sum(labels[c]["site"] == "b" for c in fold.test) for fold in folds.folds] == [2] * 4
    plain = split_store(tmp_path, store)
    assert plain.hash != folds.hash


@pytest.mark.parametrize(("share", "number"), [(0.25, 2), (0.1, 1), (0.5, 4)])
def test_a_held_out_share_has_whole_groups_that_no_fold_has(tmp_path, share, number):
    store = make_store(tmp_path / "toy", GROUPS)
    folds = split_store(tmp_path, store, held_out=share)
    apart = groups_of(store, folds.held_out)
    assert len(apart) == number and len(folds.held_out) == 2 * number
    for fold in folds.folds:
        assert_whole(store, fold)
        cases = {*fold.train, *fold.validation, *fold.test}
        assert cases == set(GROUPS) - set(folds.held_out)
    tested = [case for fold in folds.folds for case in fold.test]
    assert sorted(tested) == sorted(set(GROUPS) - set(folds.held_out))


def test_a_held_out_share_is_drawn_to_be_like_all_cases(tmp_path):
    groups = {f"c{i:02d}": f"g{i:02d}" for i in range(40)}
    labels = {case: {"site": "ab"[i % 4 == 0]} for i, case in enumerate(groups)}
    store = make_store(tmp_path / "toy", groups, labels)
    folds = split_store(tmp_path, store, held_out=0.2, stratify="site")
    assert sorted(labels[case]["site"] for case in folds.held_out) == ["a"] * 6 + ["b"] * 2


def test_the_official_test_part_may_be_held_out_of_cross_validation(tmp_path):
    parts = ["train"] * 8 + ["validation"] * 2 + ["test"] * 6
    labels = {case: {"part": part} for case, part in zip(GROUPS, parts, strict=True)}
    store = make_store(tmp_path / "toy", GROUPS, labels)
    folds = split_store(tmp_path, store, held_out="official")
    assert folds.held_out == tuple(GROUPS)[10:] and len(folds.folds) == 4
    assert sorted(c for fold in folds.folds for c in fold.test) == list(GROUPS)[:10]


@pytest.mark.parametrize(("header", "names"), [("group", ["g1", "g6"]), ("case", ["c12", "c13"])])
def test_held_out_cases_stand_beside_a_split_from_a_file(tmp_path, header, names):
    store = make_store(tmp_path / "toy", GROUPS)
    apart = {c for c, g in GROUPS.items() if c in names or g in names}
    (tmp_path / "apart.csv").write_text("\n".join([header, *names]))
    rows = [f"{c},{int(g[1]) % 2}" for c, g in GROUPS.items() if c not in apart]
    (tmp_path / "own.csv").write_text("\n".join(["case,fold", *rows]))
    folds = split_store(
        tmp_path, store, split=tmp_path / "own.csv", held_out=tmp_path / "apart.csv"
    )
    assert set(folds.held_out) == apart and len(folds.folds) == 2


def test_a_split_across_groups_is_refused_by_their_names_and_run_only_when_accepted(tmp_path):
    # c03 of g1 is tested, c02 of g1 is trained on; the same of g5.
    parts = ["test" if i in (3, 10, 14, 15) else "train" for i in range(16)]
    labels = {case: {"part": part} for case, part in zip(GROUPS, parts, strict=True)}
    store = make_store(tmp_path / "toy", GROUPS, labels)
    with pytest.raises(DataError) as refusal:
        split_store(tmp_path, store, split="official")
    for said in ("2 group(s) cross", "'g1'", "'g5'", "test and train", "accept_crossing_groups"):
        assert said in str(refusal.value)
    folds = split_store(tmp_path, store, split="official", accept_crossing_groups=True)
    assert folds.crossing == ("g1", "g5") and len(folds.fold(0).test) == 4


def test_what_crosses_nothing_is_not_accepted_either(tmp_path):
    labels = {case: {"part": "test" if i > 9 else "train"} for i, case in enumerate(GROUPS)}
    store = make_store(tmp_path / "toy", GROUPS, labels)
    with pytest.raises(DataError, match="no group crosses"):
        split_store(tmp_path, store, split="official", accept_crossing_groups=True)


def test_where_groups_are_unknown_images_are_split_and_none_crosses(tmp_path):
    alone = {case: case for case in GROUPS}
    labels = {case: {"part": "test" if i > 9 else "train"} for i, case in enumerate(alone)}
    store = make_store(tmp_path / "toy", alone, labels, unknown=True)
    assert len(split_store(tmp_path, store, split="official").fold(0).test) == 6
    _, problems = count_split(
        toy(split="leave_one_group_out"),
        DRAWN,
        Cases("toy", alone, {}, groups_known=False),
        16,
        groups_known=False,
    )
    assert "groups are unknown" in problems[0]
    with pytest.raises(DataError, match="groups are unknown"):
        split_store(tmp_path, store, split="leave_one_group_out")


def test_a_study_planned_with_other_folds_is_refused(tmp_path):
    store = make_store(tmp_path / "toy", GROUPS)
    with pytest.raises(DataError, match="8 folds, the study was planned with 7"):
        write_folds(
            store.folder, DRAWN, tmp_path / "f.json", toy(split="leave_one_group_out"), counted=7
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["held_out"].append("c99"), "unknown cases are held out"),
        (lambda c: c["held_out"].pop(), "groups are held out and in folds"),
        (lambda c: c["folds"][0]["train"].append(c["held_out"][0]), "unknown or missing cases"),
        (lambda c: c.update(held_out=[]), "unknown or missing cases"),
    ],
)
def test_folds_that_contradict_their_held_out_cases_are_refused(tmp_path, change, said):
    import hashlib

    store = make_store(tmp_path / "toy", GROUPS)
    path = tmp_path / "folds.json"
    write_folds(store.folder, DRAWN, path, toy(held_out=0.25))
    content = json.loads(path.read_text())
    del content["hash"]
    change(content)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**content, "hash": hashlib.sha256(canonical).hexdigest()}))
    with pytest.raises(DataError, match=said):
        load_folds(path, store)


EVERY = {name: ("test" if i > 9 else "train") for i, name in enumerate(GROUPS)}


def table(rows, header="case,part"):
    return "\n".join([header, *(f"{name},{value}" for name, value in rows)]) + "\n"


def nnunet(train, val):
    return json.dumps([{"train": train, "val": val}])


NAMES = list(GROUPS)
HOSTILE = {
    "not there": ("gone.csv", None, ["cannot be read"]),
    "empty": ("a.csv", "", ["is empty"]),
    "a header alone": ("a.csv", "case,part\n", ["names nothing"]),
    "binary": ("a.csv", b"\xff\xfe\x00case", ["not a CSV in UTF-8"]),
    "semicolons": ("a.csv", "case;part\nc00;train\n", ["case and group", "commas"]),
    "no name": ("a.csv", "image,part\nc00,train\n", ["case and group, found image, part"]),
    "both names": ("a.csv", "case,group,part\nc00,g0,train\n", ["case and group, found both"]),
    "no part": ("a.csv", "case\nc00\n", ["part (train, validation, test) and fold", "only case"]),
    "part and fold": ("a.csv", "case,part,fold\nc00,test,0\n", ["found both"]),
    "a column twice": ("a.csv", "case,part,part\nc00,test,test\n", ["'part' is there more than"]),
    "short lines": ("a.csv", "case,part\nc00\nc01,test,x\n", ["line 2: 1", "line 3: 3 values"]),
    "an empty name": ("a.csv", "case,part\n ,test\n", ["line 2: empty"]),
    "strange parts": (
        "a.csv",
        table([("c00", "training"), ("c01", "val")]),
        ["line 2: 'training'", "line 3: 'val'"],
    ),
    "fold of text": ("a.csv", table([("c00", "one")], "case,fold"), ["whole number", "'one'"]),
    "negative fold": ("a.csv", table([("c00", "-1")], "case,fold"), ["whole number", "'-1'"]),
    "fold 1.0": ("a.csv", table([("c00", "1.0")], "case,fold"), ["whole number", "'1.0'"]),
    "a gap in folds": (
        "a.csv",
        table([(n, "02"[i > 9]) for i, n in enumerate(NAMES)], "case,fold"),
        ["without a gap", "0, 2"],
    ),
    "one fold": ("a.csv", table([(n, 0) for n in NAMES], "case,fold"), ["two at least"]),
    "unknown, missing and twice at once": (
        "a.csv",
        table([*list(EVERY.items())[:-1], ("c00", "train"), ("c20", "test"), ("x", "test")]),
        [
            "2 unknown case(s): 'c20', 'x'",
            "1 case(s) named more than once: 'c00'",
            "missing: 'c15'",
        ],
    ),
    "nobody is tested": ("a.csv", table([(n, "train") for n in NAMES]), ["no case is in test"]),
    "nobody trains": ("a.csv", table([(n, "test") for n in NAMES]), ["no case is in train"]),
    "one training group": (
        "a.csv",
        table([(n, "train" if g == "g0" else "test") for n, g in GROUPS.items()]),
        ["train has a single group"],
    ),
    "unknown groups": (
        "a.csv",
        table([("g9", "test")], "group,part"),
        ["unknown group", "missing"],
    ),
    "no JSON": ("a.json", "[{", ["not valid JSON"]),
    "endless JSON": ("a.json", "[" * 100_000, ["not valid JSON"]),
    "an object": ("a.json", '{"train": [], "val": []}', ["found dict", "list of {train"]),
    "no folds": ("a.json", "[]", ["empty list"]),
    "other keys": ("a.json", '[{"train": [], "test": []}]', ["fold 0: has the keys test, train"]),
    "numbers for names": ("a.json", '[{"train": [1], "val": ["c00"]}]', ["train is no list"]),
    "a text for names": ("a.json", '[{"train": "c00", "val": []}]', ["train is no list of names"]),
    "in both": ("a.json", nnunet(NAMES, NAMES[12:]), ["4 case(s) named more than once"]),
    "val of nothing": ("a.json", nnunet(NAMES, []), ["no case is in test"]),
    "the same with and without ending": (
        "a.json",
        nnunet([*NAMES[:12], "c00.png"], NAMES[12:]),
        ["1 case(s) named more than once: 'c00'"],
    ),
    "a case tested twice": (
        "a.json",
        json.dumps([{"train": NAMES[:12], "val": NAMES[12:]}] * 2),
        ["12 are in no fold: 'c00'", "4 are in several folds: 'c12'"],
    ),
}


@pytest.mark.parametrize(("name", "content", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bad_file_is_refused_with_everything_that_is_wrong_in_it(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings_ = toy(split=path)
    problems = refusals(settings_, given_split(settings_, Cases("toy", GROUPS)))
    message = "\n".join(problems)
    assert name in message
    assert [words for words in said if words not in message] == []


def test_long_lists_are_cut_and_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(table([*EVERY.items(), *((f"x{i:02d}", "test") for i in range(25))]))
    settings_ = toy(split=path)
    (problem,) = refusals(settings_, given_split(settings_, Cases("toy", GROUPS)))
    assert "25 unknown" in problem and "x09" in problem and "15 more" in problem
    assert "x10" not in problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("case,part\nc00,test\n", "belongs to a `split`"),
        ("case\n", "names nothing"),
        ("case\nc99\nc00\n", "1 unknown case(s): 'c99'"),
        ("case\nc00\nc00\n", "named more than once"),
        ("case\nc00\n", "1 group(s) cross"),
        ("\n".join(["group", *(f"g{i}" for i in range(8))]), "every case is held out"),
    ],
)
def test_a_bad_list_of_held_out_cases_is_refused(tmp_path, content, said):
    path = tmp_path / "apart.csv"
    path.write_text(content)
    settings_ = toy(held_out=path)
    assert said in "\n".join(refusals(settings_, given_split(settings_, Cases("toy", GROUPS))))


def test_cases_in_the_split_and_held_out_are_named(tmp_path):
    (tmp_path / "apart.csv").write_text("group\ng7\n")
    (tmp_path / "a.csv").write_text(table(EVERY.items()))
    settings_ = toy(split=tmp_path / "a.csv", held_out=tmp_path / "apart.csv")
    problems = refusals(settings_, given_split(settings_, Cases("toy", GROUPS)))
    assert "2 case(s) are held out as well: 'c14', 'c15'" in "\n".join(problems)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    groups=st.lists(st.integers(0, 6), min_size=4, max_size=20),
    data=st.data(),
)
def test_exactly_the_groups_on_several_sides_cross(tmp_path, groups, data):
    names = {f"case{i}": f"g{g}" for i, g in enumerate(groups)}
    parts = data.draw(
        st.lists(
            st.sampled_from(["train", "validation", "test"]),
            min_size=len(groups),
            max_size=len(groups),
        )
    )
    path = tmp_path / "a.csv"
    path.write_text(table(zip(names, parts, strict=True)))
    found = given_split(toy(split=path), Cases("toy", names))
    sides = {}
    for group, part in zip(names.values(), parts, strict=True):
        sides.setdefault(group, set()).add(part)
    assert set(found.crossing) == {group for group, own in sides.items() if len(own) > 1}
    (fold,) = found.folds
    assert list(fold.values()) == parts and list(fold) == list(names)
    assert bool(found.problems) == (
        not {"train", "test"} <= set(parts)
        or (
            "validation" not in parts
            and len({g for g, p in zip(groups, parts, strict=True) if p == "train"}) < 2
        )
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_file_is_read_as_something_it_is_not(tmp_path, content):
    for name in ("a.csv", "a.json"):
        path = tmp_path / name
        path.write_bytes(content)
        try:
            named = read_split(path)
        except DataError as error:
            assert name in str(error)
        else:
            assert all(part in ("train", "validation", "test") for _, part in named.folds[0])


PHANTOM = """
name: tiny
short: Tiny
title: Tiny phantoms
task: organ
modality: synthetic
ndim: 2
channels: 1
classes: {1: organ, 2: lesion, 3: vessel}
spacing: [1.0, 1.0]
axes: [top-bottom, left-right]
mirror: {axes: [0, 1], reason: Generated.}
groups_inferred: false
licence: MIT
citation: nobody
origin: embedded
reader:
  name: phantom
  settings: {groups: 6, cases_per_group: 2, size: [48, 48], seed: 1, blur: [0.4, 1.5],
             contrast: [2.0, 5.0], clutter: [0.0, 1.0], lesion_absent: 0.1}
"""


def test_splits_of_nnunet_come_back_from_the_export(tmp_path):
    """What its file validates is tested, what it trains on is trained and validated on."""
    (tmp_path / "tiny.yaml").write_text(PHANTOM)
    entry = load_entry("tiny", (tmp_path,))
    own = DatasetSettings(name="tiny", split=tmp_path / "splits_final.json")
    prepare_dataset(entry, own, tmp_path, tmp_path / "store")
    store = CaseStore.open(tmp_path / "store")
    order = sorted(set(store.groups.values()))
    splits = [
        {
            "train": [c for c, g in store.groups.items() if g not in order[k::3]],
            "val": [c for c, g in store.groups.items() if g in order[k::3]],
        }
        for k in range(3)
    ]
    own.split.write_text(json.dumps(splits))
    write_folds(store.folder, DRAWN, tmp_path / "f.json", own, 3)
    out = tmp_path / "Dataset001_Tiny"
    export_nnunet(entry, own, tmp_path, store.folder, tmp_path / "f.json", out)
    for k, (back, given_) in enumerate(
        zip(json.loads((out / "splits_final.json").read_text()), splits, strict=True)
    ):
        assert sorted(back["train"] + back["val"]) == sorted(given_["train"])
        tested = {
            path.name.removesuffix("_0000.nii.gz") for path in out.glob(f"imagesTs_fold{k}/*")
        }
        assert tested == set(given_["val"])
