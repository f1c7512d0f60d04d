"""A user's files stay where they are: verified by every fetch, whose rerun any change asks for."""

import os
import re

import pytest

from attnbench import rerun
from attnbench.catalog import FileRow, Reader, read_entry
from attnbench.check import check_study
from attnbench.data.download.fetch import fetch_dataset
from attnbench.errors import FetchError
from attnbench.files import read_json
from attnbench.intake.entry_text import Statements, entry_content, entry_text
from attnbench.intake.found import Found
from attnbench.intake.hashes import hash_files
from attnbench.intake.write import write_entry


@pytest.fixture
def local(cells, tmp_path):
    """The folder of cells and its entry, listed file by file."""
    folder, truth = cells
    found = Found(
        layout="pictures",
        rows=(),
        reader=Reader(name="pictures", settings={"values": {128: 1, 255: 2}}),
        ndim=2,
        channels=3,
        classes={1: "cytoplasm", 2: "nucleus"},
        axes=("top-bottom", "left-right"),
    )
    paths = [f"{kind}s/{name}.png" for name in truth for kind in ("image", "mask")]
    measured = hash_files("wbc", folder, paths)
    rows = [
        FileRow(path, *measured[path], path.split("s/")[0], path[-17:-4], path[-17:-6])
        for path in paths
    ]
    content = entry_content("wbc", found, Statements(), folder, len(truth), 6)
    return folder, write_entry(tmp_path / "my_sets", "wbc", entry_text(content, "x"), rows, {})


def test_files_are_verified_and_not_copied(local, tmp_path):
    folder, entry = local
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    fetch_dataset(entry, tmp_path / "raw")
    assert [path.name for path in (tmp_path / "raw").rglob("*")] == ["receipt.json"]
    assert len(read_json(tmp_path / "raw" / "receipt.json")["files"]) == len(entry.files())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_all_files_that_changed_or_are_gone_are_named_with_what_to_type(local, tmp_path):
    folder, entry = local
    fetch_dataset(entry, tmp_path / "raw")
    masks = sorted((folder / "masks").iterdir())
    changed = masks[0].read_bytes()
    masks[0].write_bytes(changed[:-1] + bytes([changed[-1] ^ 1]))  # the same size
    masks[1].write_bytes(b"")
    masks[2].unlink()
    with pytest.raises(FetchError, match=r"3 of 24 files(?s:.*)dataset add .*--replace") as caught:
        fetch_dataset(entry, tmp_path / "raw")
    assert all(path.name in str(caught.value) for path in masks[:3])
    assert masks[3].name not in str(caught.value)
    assert not (tmp_path / "raw" / "receipt.json").exists()


def test_files_that_moved_are_found_again_by_one_line_of_the_entry(local, tmp_path):
    folder, entry = local
    folder.rename(tmp_path / "moved")
    with pytest.raises(FetchError, match=r"no such folder(?s:.*)`folder` under `origin` in wbc"):
        fetch_dataset(entry, tmp_path / "raw")
    file = tmp_path / "my_sets" / "wbc.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count(f"folder: {entry_folder(text)}") == 1
    file.write_text(text.replace(entry_folder(text), "../moved"), encoding="utf-8")
    fetch_dataset(read_entry(file), tmp_path / "raw")
    assert len(read_json(tmp_path / "raw" / "receipt.json")["files"]) == len(entry.files())


def entry_folder(text: str) -> str:
    return re.search(r"folder: (.*?)[},\n]", text)[1].strip()


def test_a_changed_file_is_noticed_when_the_study_is_planned(local, tmp_path):
    folder, _ = local
    content = {
        "name": "x",
        "catalog": [str(tmp_path / "my_sets")],
        "datasets": ["wbc", "phantom2d"],
        "models": ["unet"],
    }
    study = check_study(content)
    before = {name: rerun.decides(study, "fetch", name) for name in ("wbc", "phantom2d")}
    mask = next((folder / "masks").iterdir())
    os.utime(mask, ns=(0, mask.stat().st_mtime_ns + 1))
    assert rerun.decides(study, "fetch", "wbc") != before["wbc"]
    assert rerun.decides(study, "fetch", "phantom2d") == before["phantom2d"]
