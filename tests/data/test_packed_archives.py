"""A Decathlon archive is read without unpacking it as a whole, and what is wrong in it is named."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

from attnbench.catalog import Entry, read_entry
from attnbench.data.download.fetch import fetch_dataset
from attnbench.data.read import read_cases
from attnbench.errors import DataError

CASES = ("organ_10", "organ_2")
SPACING = (0.5, 0.75, 2.0)


def volume(array: np.ndarray) -> bytes:
    image = nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0]))
    image.header.set_xyzt_units("mm")
    return image.to_bytes()


def arrays(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Two channels on a fourth axis, and a mask with both classes."""
    random = np.random.default_rng(CASES.index(case))
    return random.normal(size=(5, 4, 3, 2)).astype(np.float32), random.integers(
        0, 3, (5, 4, 3)
    ).astype(np.uint8)


def task_files() -> dict[str, bytes]:
    files = {"Task99_Organ/._dataset.json": b"left by a file browser"}
    training = []
    for case in CASES:
        image, mask = arrays(case)
        files[f"Task99_Organ/imagesTr/{case}.nii"] = volume(image)
        files[f"Task99_Organ/labelsTr/{case}.nii"] = volume(mask)
        files[f"Task99_Organ/imagesTr/._{case}.nii"] = b"left by a file browser"
        training.append({"image": f"./imagesTr/{case}.nii", "label": f"./labelsTr/{case}.nii"})
    files["Task99_Organ/imagesTs/organ_7.nii"] = volume(np.zeros((2, 2, 2), np.float32))
    files["Task99_Organ/dataset.json"] = json.dumps(
        {"training": training, "test": ["./imagesTs/organ_7.nii"]}
    ).encode()
    return files


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def organ_entry(folder: Path, archive: bytes) -> Entry:
    md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    origin = {
        "kind": "archive",
        "url": "http://127.0.0.1/Task99_Organ.tar",
        "md5": md5,
        "page": "http://127.0.0.1",
    }
    content = {
        "name": "organ",
        "title": "t",
        "short": "t",
        "task": "t",
        "modality": "m",
        "ndim": 3,
        "channels": 2,
        "cases": 2,
    }
    content |= {
        "classes": {1: "a", 2: "b"},
        "groups": 2,
        "groups_inferred": True,
        "licence": "l",
        "citation": "c",
    }
    content |= {"axes": ["a", "b", "c"], "mirror": {"axes": [], "reason": "e"}}
    content |= {"spacing_unit": "mm", "reader": "nifti", "origin": origin}
    (folder / "organ.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return read_entry(folder / "organ.yaml")


def fetched(folder: Path, files: dict[str, bytes]) -> tuple[Entry, Path]:
    archive = packed(files)
    entry, held = organ_entry(folder, archive), folder / "mirror/organ/files/Task99_Organ.tar"
    held.parent.mkdir(parents=True)
    held.write_bytes(archive)
    fetch_dataset(entry, folder / "raw", mirror=str(folder / "mirror"), offline=True)
    return entry, folder / "raw"


def test_training_cases_come_as_they_were_written(tmp_path):
    entry, raw = fetched(tmp_path, task_files())
    cases = list(read_cases(entry, raw))
    assert [(case.case, case.group) for case in cases] == [(case, case) for case in CASES]
    for case in cases:
        image, mask = arrays(case.case)
        np.testing.assert_array_equal(case.image, np.moveaxis(image, -1, 0))
        np.testing.assert_array_equal(case.mask, mask)
        assert case.spacing == SPACING
    assert sorted(path.name for path in raw.iterdir()) == ["Task99_Organ.tar", "receipt.json"]


@pytest.mark.parametrize("lost", ["Task99_Organ/dataset.json", "Task99_Organ/labelsTr/organ_2.nii"])
def test_archive_without_a_file_it_needs(tmp_path, lost):
    files = {path: data for path, data in task_files().items() if path != lost}
    entry, raw = fetched(tmp_path, files)
    with pytest.raises(DataError, match=rf"organ: .*Task99_Organ\.tar.*{Path(lost).name}"):
        list(read_cases(entry, raw))


def test_case_in_an_archive_that_breaks_the_contract(tmp_path):
    files = task_files() | {
        "Task99_Organ/labelsTr/organ_2.nii": volume(np.full((5, 4, 3), 9, np.uint8))
    }
    entry, raw = fetched(tmp_path, files)
    with pytest.raises(DataError, match=r"organ: case 'organ_2'.*\[9\]"):
        list(read_cases(entry, raw))


def test_archive_that_is_none(tmp_path):
    entry = organ_entry(tmp_path, b"")
    (tmp_path / "Task99_Organ.tar").write_bytes(b"<html>")
    with pytest.raises(DataError, match="fetch"):
        list(read_cases(entry, tmp_path))
