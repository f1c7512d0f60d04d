"""Many cases: the same store whoever prepares it, and every problem named."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnbench.catalog import Entry, load_entry
from attnbench.data.many import in_order, prepared_cases
from attnbench.data.prepare import describe, prepare_case, prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store
from attnbench.errors import DataError
from attnbench.study.groups import DatasetSettings


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_the_order_of_the_items(processes):
    items = [40_000, *range(12)]  # the first is the last to be done
    assert list(in_order(math.factorial, items, processes)) == [*map(math.factorial, items)]


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    results = in_order(abs, items(), 2)
    assert next(results) == 0
    assert len(taken) <= 4  # memory holds a case per process, not the dataset
    results.close()


@pytest.mark.parametrize("name", ["phantom2d", "phantom3d"])
def test_a_store_is_the_same_whoever_prepares_it(name, tmp_path):
    entry, settings = load_entry(name), DatasetSettings(name=name)
    entry = entry.model_copy(
        update={"reader": entry.reader.model_copy(update={"settings": {
            **entry.reader.settings, "groups": 6, "cases_per_group": 1}}), "groups": 6, "cases": 6}
    )  # fmt: skip
    work = partial(prepare_case, settings=settings)
    hashes = set()
    for workers in (1, 3):
        cases = prepared_cases(entry, tmp_path, work, workers, 4000, worth_s=0)
        folder = tmp_path / str(workers)
        hashes.add(write_store(folder, cases, describe(entry, settings)).content_hash)
    assert len(hashes) == 1
    assert len(CaseStore.open(tmp_path / "1")) == 6


@pytest.fixture
def pictures(tmp_path) -> tuple[Entry, Path]:
    """An entry of eight pictures of 12 x 10 with a square in each, and their folder."""
    lines = [",".join(("path", "bytes", "sha256", "role", "case", "group"))]
    for case in range(8):
        for role, value in (("image", 90), ("mask", 255)):
            pixels = np.full((12, 10), 10 * case if role == "image" else 0, np.uint8)
            pixels[case % 5 : case % 5 + 4, 2:6] = value
            Image.fromarray(pixels).save(tmp_path / f"{role}{case}.png")
            lines.append(f"{role}{case}.png,1,,{role},{case},{case}")
    listing = tmp_path / "toy.files.csv"
    listing.write_text("\n".join(lines) + "\n")
    entry = load_entry("retina_chase").model_copy(
        update={"name": "toy", "cases": 8, "groups": 8, "channels": 1, "listing": listing}
    )
    return entry, tmp_path


@pytest.mark.parametrize("workers", [1, 3])
def test_every_broken_file_is_named_at_once(pictures, workers):
    entry, raw = pictures
    for case in (2, 3, 7):
        (raw / f"mask{case}.png").write_bytes(b"not a picture")
    work = partial(prepare_case, settings=DatasetSettings(name="toy"))
    with pytest.raises(DataError, match="3 cases cannot be read or prepared") as caught:
        list(prepared_cases(entry, raw, work, workers, 4000, worth_s=0))
    assert [f"mask{case}.png" in str(caught.value) for case in range(8)] == [
        case in (2, 3, 7) for case in range(8)
    ]


def test_files_are_read_by_the_processes_in_order(pictures):
    entry, raw = pictures
    work = partial(prepare_case, settings=DatasetSettings(name="toy"))
    names = [case.case for case in prepared_cases(entry, raw, work, 3, 4000, worth_s=0)]
    assert names == [str(case) for case in range(8)]


def test_a_class_that_no_case_has_is_an_error(pictures, tmp_path):
    entry, raw = pictures
    for case in range(8):
        Image.fromarray(np.zeros((12, 10), np.uint8)).save(raw / f"mask{case}.png")
    with pytest.raises(DataError, match="class 1 vessel occurs in none of the 8 cases"):
        prepare_dataset(entry, DatasetSettings(name="toy"), raw, tmp_path / "store")
    assert not (tmp_path / "store").exists()
