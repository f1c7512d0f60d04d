"""Copies in different groups: merged, refused or kept, down to the folds."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from attnbench.catalog import Entry
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.prepare import prepare_dataset
from attnbench.data.scan.inspect import inspect_dataset
from attnbench.data.scan.merge import join_groups, members, merged_groups
from attnbench.data.scan.tables import (
    Finding,
    Pair,
    Summary,
    read_findings,
    read_pairs,
    write_inspection,
)
from attnbench.data.store import CaseStore
from attnbench.errors import DataError
from attnbench.study.groups import DatasetSettings, FoldsSettings


def pair(a: str, b: str) -> Pair:
    return Pair(f"case {a}", a, f"case {b}", b, a != b, "near", 0.9, 2.0, "as it is", 1.0, 0.0)


SUMMARY = Summary("toy", 3, 3, 1, 24.0, True, 0.7)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_groups_are_joined_as_scipy_finds_connected_components(edges):
    edges = [(a, b) for a, b in edges if a != b]
    merged = join_groups([pair(f"g{a}", f"g{b}") for a, b in edges])
    touched = sorted({group for edge in edges for group in edge})
    assert sorted(merged) == [f"g{group}" for group in touched]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(10, 10))
    _, part = connected_components(graph, directed=False)
    for a in touched:
        for b in touched:
            assert (merged[f"g{a}"] == merged[f"g{b}"]) == (part[a] == part[b])
    assert all(set(name.split("+")) == set(groups) for name, groups in members(merged).items())


def test_a_long_name_is_shortened():
    groups = [f"{k:064x}" for k in range(3)]
    merged = join_groups([pair(groups[0], groups[1]), pair(groups[1], groups[2])])
    assert set(merged.values()) == {f"{groups[0]}+2 more"}


def test_what_is_written_is_read_again(tmp_path):
    pairs = [pair("a, b", 'c "d"'), pair("x", "x")]
    findings = [Finding("empty mask", "01", "g", "foreground", 0.0, "none"),
                Finding("equal mask", "02", "g", "", float("nan"), "text")]  # fmt: skip
    write_inspection(tmp_path, pairs, findings, SUMMARY)
    assert read_pairs(tmp_path) == pairs
    assert repr(read_findings(tmp_path)) == repr(findings)


def test_stop_names_ten_pairs_and_counts_the_rest(tmp_path):
    pairs = [*(pair(f"a{k:02d}", f"b{k:02d}") for k in range(13)), pair("same", "same")]
    write_inspection(tmp_path, pairs, [], SUMMARY)
    with pytest.raises(DataError) as error:
        merged_groups("toy", "stop", tmp_path)
    text = str(error.value)
    assert "13 pair(s)" in text and "and 3 more" in text and "duplicates: merge" in text
    assert all(f"a{k:02d}" in text for k in range(10)) and "a10" not in text
    assert "same" not in text
    assert merged_groups("toy", "keep", tmp_path) == {}
    assert len(merged_groups("toy", "merge", tmp_path)) == 26
    assert merged_groups("toy", "stop", None) == {}


def test_a_missing_table_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="attnbench inspect"):
        merged_groups("toy", "stop", tmp_path)


@pytest.fixture
def leaking(tmp_path, texture):
    """Eight pictures in eight groups; the last is the first one, mirrored."""
    rows = [("path", "bytes", "sha256", "role", "case", "group")]
    (tmp_path / "raw").mkdir()
    for k in range(8):
        image = texture(k % 7, (64, 80))
        pixels = np.uint8((image - image.min()) / np.ptp(image) * 255)
        mask = np.uint8(255 * (pixels > 150 + k))
        for role, values in (("image", pixels[:, ::-1] if k == 7 else pixels), ("mask", mask)):
            Image.fromarray(values).save(tmp_path / "raw" / f"{role}{k}.png")
            rows.append((f"{role}{k}.png", "1", "", role, f"case{k}", f"child{k}"))
    with (tmp_path / "toy.files.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    entry = Entry(
        name="toy", title="Toy", short="Toy", task="t", modality="m", ndim=2, channels=1,
        classes={1: "blob"}, cases=8, groups=8, groups_inferred=False, licence="MIT",
        citation="nobody", listing=tmp_path / "toy.files.csv", reader="binary_mask",
        origin={"kind": "files", "url": "http://localhost/{path}", "page": "http://localhost"},
        axes=("a", "b"), mirror={"axes": (0,), "reason": "e"},
    )  # fmt: skip
    inspection = inspect_dataset(entry, tmp_path / "raw", tmp_path / "inspected")
    return entry, tmp_path, inspection


def test_an_inspection_writes_tables_and_a_picture(leaking):
    _, folder, inspection = leaking
    (leak,) = inspection.leaks
    assert (leak.case_a, leak.case_b, leak.turn) == ("case0", "case7", "mirrored left to right")
    assert read_pairs(folder / "inspected") == list(inspection.pairs)
    with Image.open(folder / "inspected" / "pairs.png") as picture:
        assert picture.size[0] > 2 * 96
    assert json.loads((folder / "inspected" / "inspected.json").read_text())["cases"] == 8


@pytest.mark.parametrize("outer", [2, 3, 7])
def test_merged_groups_never_cross_folds(leaking, outer):
    entry, folder, _ = leaking
    merged = merged_groups("toy", "merge", folder / "inspected")
    prepare_dataset(
        entry, DatasetSettings(name="toy"), folder / "raw", folder / "toy", merged=merged
    )
    store = CaseStore.open(folder / "toy")
    assert store.info.groups == 7
    assert store.groups["case0"] == store.groups["case7"] == "child0+child7"
    assert store.groups["case1"] == "child1"
    write_folds(folder / "toy", FoldsSettings(outer=outer, inner=2), folder / "folds.json")
    folds = load_folds(folder / "folds.json", store)
    assert folds.merged_groups == {"child0+child7": ["child0", "child7"]}
    for fold in folds.folds:
        parts = [fold.train, fold.validation, fold.test]
        assert sum({"case0", "case7"} <= set(part) for part in parts) == 1


def test_without_copies_the_fold_file_says_nothing_of_merging(leaking):
    entry, folder, _ = leaking
    prepare_dataset(entry, DatasetSettings(name="toy"), folder / "raw", folder / "toy")
    write_folds(folder / "toy", FoldsSettings(outer=2, inner=2), folder / "folds.json")
    assert "merged_groups" not in json.loads((folder / "folds.json").read_text())
