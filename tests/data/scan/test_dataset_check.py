"""`attnbench dataset check`: what it prints, writes and returns."""

from __future__ import annotations

import csv
import hashlib

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from attnbench.cli import app
from attnbench.errors import DataError

FACTS = {
    "name": "own", "short": "own", "title": "t", "task": "t", "modality": "m", "ndim": 2,
    "channels": 1, "classes": {1: "blob"}, "cases": 6, "groups": 6, "groups_inferred": False,
    "licence": "l", "citation": "c", "reader": "binary_mask", "axes": ["row", "column"],
    "mirror": {"axes": [], "reason": "e"}, "origin": {"kind": "local", "folder": "files"},
}  # fmt: skip


@pytest.fixture
def check(tmp_path, texture):
    """Runs the command on six own images, of which two may be copies."""

    def run(*, leak: bool, bad: bool = False):
        folder = tmp_path / "sets" / "files"
        folder.mkdir(parents=True)
        rows = [("path", "bytes", "sha256", "role", "case", "group")]
        for k in range(6):
            image = texture(0 if leak and k == 5 else k, (64, 80))
            pixels = np.uint8((image - image.min()) / np.ptp(image) * 255)
            for role, values in (("image", pixels), ("mask", np.uint8(255 * (pixels > 150 + k)))):
                path = folder / f"{role}{k}.png"
                Image.fromarray(values[:-1] if bad and k > 3 and role == "mask" else values).save(
                    path
                )
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                rows.append((path.name, len(content), digest, role, f"case{k}", f"child{k}"))
        with (tmp_path / "sets" / "own.files.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
        (tmp_path / "sets" / "own.yaml").write_text(yaml.safe_dump(FACTS))
        arguments = ["own", "--catalog", str(tmp_path / "sets"), "--to", str(tmp_path / "out")]
        return CliRunner().invoke(app, ["dataset", "check", *arguments]), tmp_path / "out"

    return run


def test_a_leak_is_named_and_gives_status_1(check):
    result, folder = check(leak=True)
    assert result.exit_code == 1
    assert "copies in different groups: 1" in result.output
    assert "case0 (group child0) and case5 (group child5): all pixels equal" in result.output
    assert {path.name for path in folder.iterdir()} == {
        "pairs.csv", "pairs.png", "findings.csv", "inspected.json",
    }  # fmt: skip


def test_without_copies_the_status_is_0(check):
    result, _ = check(leak=False)
    assert result.exit_code == 0, result.output
    assert "copies in different groups: none" in result.output


def test_every_bad_file_is_named(check):
    result, folder = check(leak=False, bad=True)
    assert isinstance(result.exception, DataError)
    assert "case4" in str(result.exception) and "case5" in str(result.exception)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "said"), [("phantom2d", "generated"), ("retina_drive", "--study FILE")]
)
def test_what_cannot_be_inspected_says_why(name, said):
    result = CliRunner().invoke(app, ["dataset", "check", name])
    assert isinstance(result.exception, DataError) and said in str(result.exception)
