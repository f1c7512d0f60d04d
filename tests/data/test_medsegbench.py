"""Cases of MedSegBench archives are read in any order; NumPy's reader is the reference."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnbench.catalog import read_entry
from attnbench.data.read import read_cases
from attnbench.data.readers.npz import open_npz
from attnbench.errors import DataError

OURS = {"train": "train", "val": "validation", "test": "test"}


def made(folder, arrays, pack=np.savez_compressed, channels=1, classes=("thing",)):
    """Write an archive and the entry of a dataset that has it alone."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "toy", "title": "t", "short": "t", "task": "t", "modality": "m", "ndim": 2}
    content |= {"channels": channels, "cases": 9, "groups": 9, "groups_inferred": True}
    content |= {"licence": "l", "citation": "c", "axes": ["a", "b"], "reader": "medsegbench"}
    content |= {"mirror": {"axes": [], "reason": "e"}}
    content |= {"classes": dict(enumerate(classes, 1))}
    content["origin"] = {"kind": "archive", "url": "http://127.0.0.1/toy_8.npz", "md5": "0" * 32}
    content["origin"] |= {"page": "http://127.0.0.1"}
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    if isinstance(arrays, bytes):
        (folder / "toy_8.npz").write_bytes(arrays)
    else:
        pack(folder / "toy_8.npz", **arrays)
    return read_entry(folder / "toy.yaml"), folder


def drawn(seed=0, counts=(3, 2, 4), shape=(5, 7), colours=(), classes=1):
    rng, arrays = np.random.default_rng(seed), {}
    for word, count in zip(OURS, counts, strict=True):
        size = (count, *shape)
        arrays[f"{word}_images"] = rng.integers(0, 256, (*size, *colours)).astype(np.uint8)
        arrays[f"{word}_label"] = rng.integers(0, classes + 1, size).astype(np.uint8)
    arrays["train_label"][0, 0, 0] = 1  # a class that occurs nowhere is refused
    return arrays


@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    colours=st.sampled_from([(), (3,)]),
    pack=st.sampled_from([np.savez, np.savez_compressed]),
)
def test_cases_are_those_that_numpy_reads(tmp_path_factory, seed, counts, shape, colours, pack):
    arrays = drawn(seed, counts, shape, colours)
    folder = tmp_path_factory.mktemp("npz")
    cases = list(read_cases(*made(folder, arrays, pack, 3 if colours else 1)))
    held = np.load(folder / "toy_8.npz")
    expected = [
        (
            f"{OURS[word]}-{k:05d}",
            held[f"{word}_images"][k],
            held[f"{word}_label"][k],
        )
        for word, count in zip(OURS, counts, strict=True)
        for k in range(count)
    ]
    assert [(case.case, case.group) for case in cases] == [(row[0], row[0]) for row in expected]
    for case, (_, image, mask) in zip(cases, expected, strict=True):
        pixels = image.transpose(2, 0, 1) if colours else image[None]
        np.testing.assert_array_equal(case.image, pixels)
        np.testing.assert_array_equal(case.mask, mask)
        assert case.image.dtype == case.mask.dtype == np.uint8
        assert case.spacing == (1.0, 1.0)
        assert case.labels == {"part": case.case[:-6]}


def test_a_part_that_an_archive_lacks_is_left_out(tmp_path):
    arrays = {name: array for name, array in drawn().items() if not name.startswith("val")}
    assert [case.case[:5] for case in read_cases(*made(tmp_path, arrays))] == ["train"] * 3 + [
        "test-"
    ] * 4


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_memory_is_that_of_a_case_not_of_the_archive(tmp_path, pack):
    arrays = drawn(counts=(80, 1, 1), shape=(256, 256), colours=(3,))  # 21 MB
    entry, folder = made(tmp_path, arrays, pack, 3)
    del arrays
    tracemalloc.start()
    count = sum(1 for _ in read_cases(entry, folder))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 82
    assert peak < 6e6


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_items_come_in_any_order_and_from_several_threads(tmp_path, pack):
    rng = np.random.default_rng(5)
    array = np.cumsum(rng.integers(-1, 2, (300, 200, 200)), axis=-1).astype(np.uint8)  # 12 MB
    pack(tmp_path / "a.npz", a=array)
    read = open_npz(tmp_path / "a.npz")["a"]
    assert (read.shape, read.dtype) == (array.shape, array.dtype)
    order = np.concatenate([np.arange(300), rng.permutation(300)[:50], [299, 0, 299]])
    with ThreadPoolExecutor(4) as pool:
        for number, item in zip(order, pool.map(read.item, order), strict=True):
            np.testing.assert_array_equal(item, array[number])


def test_compressed_items_far_inside_are_not_unpacked_from_the_start_again(tmp_path):
    array = np.random.default_rng(6).integers(0, 256, (24, 1 << 20)).astype(np.uint8)
    np.savez_compressed(tmp_path / "a.npz", a=array)
    read = open_npz(tmp_path / "a.npz")["a"]
    read.item(23)
    inside = [state.place for state in read.member.states]
    assert max(np.diff(inside)) < 5 << 20
    assert inside[-1] > 15 << 20


def changed(**arrays):
    content = {**drawn(), **arrays}
    return {name: array for name, array in content.items() if array is not None}


def whole():
    stream = io.BytesIO()
    np.savez(stream, **drawn())
    return stream.getvalue()


def damaged():
    """Bytes in the middle of a compressed array differ, as after a broken copy."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **drawn(counts=(40, 1, 1), shape=(64, 64)))
    data = bytearray(stream.getvalue())
    data[3000:3100] = b"\xff" * 100
    return bytes(data)


def without_arrays():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "x")
    return stream.getvalue()


def lying_header():
    """The header of one array names more pictures than follow."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in drawn().items():
            member = io.BytesIO()
            np.save(member, array)
            data = member.getvalue()
            archive.writestr(f"{name}.npy", data[:-40] if name == "test_images" else data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (b"", "File is not a zip file"),
        (b"<html>no such record</html>", "File is not a zip file"),
        (whole()[: len(whole()) // 2], "File is not a zip file"),
        (damaged(), "Error -3 while decompressing"),
        (without_arrays(), "it has no array"),
        (lying_header(), "'test_images' ends at item 2 of 4"),
        (changed(val_label=None), "needs <part>_images and <part>_label"),
        (changed(val_label=drawn()["val_label"][:1]), r"shape \(2, 5, 7\), val_label \(1, 5, 7\)"),
        (changed(val_label=drawn()["val_label"][..., :3]), r"val_label \(2, 5, 3\)"),
        (changed(val_images=drawn()["val_images"][0]), r"val_images has shape \(5, 7\)"),
        (changed(val_images=np.float32(drawn()["val_images"])), "val_images has type float32"),
        (changed(val_label=drawn()["val_label"].astype(object)), "'val_label' holds object"),
        (changed(val_label=np.asfortranarray(drawn()["val_label"])), "in Fortran order"),
        (changed(val_label=drawn()["val_label"] * 255), r"'validation-00000', .*holds \[255\]"),
        (changed(test_images=np.zeros((4, 5, 7, 3), np.uint8)), "test-00000.*3, 5, 7.*1 channel"),
    ],
)  # fmt: skip
def test_a_damaged_or_other_archive_is_refused_by_name(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as caught:
        list(read_cases(*made(tmp_path, arrays)))
    assert "toy" in str(caught.value)


def test_an_archive_that_is_missing_is_named(tmp_path):
    entry, folder = made(tmp_path, drawn())
    (folder / "toy_8.npz").unlink()
    with pytest.raises(DataError, match=r"toy: .*toy_8\.npz .*No such file"):
        list(read_cases(entry, folder))
