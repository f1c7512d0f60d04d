"""`attnbench dataset add`: a folder becomes a dataset as it is, or leaves nothing behind."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from attnbench.catalog import load_entry
from attnbench.cli import app
from attnbench.data.read import read_cases
from attnbench.errors import AttnBenchError

NAMED = ("--class", "128=cytoplasm", "--class", "255=nucleus")


@pytest.fixture
def add(cells, tmp_path, monkeypatch):
    """The command, typed where the folder `wbc` lies; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str, name: str = "wbc", folder: str = "wbc") -> str:
        command = ["dataset", "add", folder, "--name", name, *arguments]
        run = CliRunner().invoke(app, command)
        if isinstance(run.exception, AttnBenchError):
            raise run.exception
        assert run.exit_code == 0, run.output
        return run.stdout

    return typed


def test_cases_of_the_new_dataset_are_those_of_the_folder(add, cells, tmp_path):
    folder, truth = cells
    add(*NAMED)
    entry = load_entry("wbc", (tmp_path / "my_sets",))
    cases = {case.case: case for case in read_cases(entry, tmp_path)}
    assert {name: case.mask.tolist() for name, case in cases.items()} == {
        name: classes.tolist() for name, classes in truth.items()
    }
    for name, case in cases.items():
        pixels = np.asarray(Image.open(folder / "images" / f"{name}.png"))
        np.testing.assert_array_equal(np.moveaxis(case.image, 0, -1), pixels)
    assert {case.group for case in cases.values()} == {name[:9] for name in truth}
    assert entry.classes == {1: "cytoplasm", 2: "nucleus"}
    assert entry.count_groups() == 6


def test_every_file_is_listed_with_its_bytes(add, cells, tmp_path):
    folder, _ = cells
    add(*NAMED)
    listed = {row.path: (row.bytes, row.sha256) for row in load_entry(
        "wbc", (tmp_path / "my_sets",)).files()}  # fmt: skip
    assert listed == {
        path.relative_to(folder).as_posix(): (
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*.png")
    }


def test_it_tells_what_it_found_and_what_to_type(add, cells):
    _, truth = cells
    printed = add(*NAMED)
    masks = np.stack(list(truth.values()))
    for number, name in ((1, "cytoplasm"), (2, "nucleus")):
        share = f"{100 * (masks == number).mean():.3g} %"
        assert re.search(
            rf"{number} {name} +{re.escape(share)} of all pixels, in 12 of 12", printed
        )
    assert "48 x 48, all" in printed
    assert "my_sets/wbc.png" in printed
    assert "attnbench study new --dataset wbc > wbc_study.yaml" in printed
    study = CliRunner().invoke(app, ["study", "new", "--dataset", "wbc"]).stdout
    Path("wbc_study.yaml").write_text(study)
    checked = CliRunner().invoke(app, ["study", "check", "wbc_study.yaml"])
    assert checked.exit_code == 0, checked.output


def test_a_dry_run_tells_the_same_and_writes_nothing(add, tmp_path):
    dry = add(*NAMED, "--dry-run")
    assert [path.name for path in tmp_path.iterdir()] == ["wbc"]
    told = dry.partition("nothing was written")[0]
    assert add(*NAMED).startswith(told)


def test_what_nobody_can_find_out_is_taken_as_it_is_said(add, tmp_path):
    add(*NAMED, "--title", "White: cells", "--licence", "CC0", "--modality", "stained smears",
        "--citation", "Nobody, 2024", "--mirror-axes", "0,1", "--normalisation", "percentile",
        "--to", "elsewhere")  # fmt: skip
    entry = load_entry("wbc", (tmp_path / "elsewhere",))
    assert (entry.title, entry.licence, entry.citation) == ("White: cells", "CC0", "Nobody, 2024")
    assert entry.modality == "stained smears"
    assert entry.mirror.axes == (0, 1)
    assert entry.normalisation == "percentile"


def test_an_existing_dataset_is_replaced_only_where_that_is_said(add, tmp_path):
    add(*NAMED)
    before = (tmp_path / "my_sets" / "wbc.yaml").read_text()
    with pytest.raises(AttnBenchError, match="--replace"):
        add("--class", "128=a", "--class", "255=b")
    assert (tmp_path / "my_sets" / "wbc.yaml").read_text() == before
    add("--class", "128=a", "--class", "255=b", "--replace")
    assert load_entry("wbc", (tmp_path / "my_sets",)).classes == {1: "a", 2: "b"}


@pytest.mark.parametrize(
    ("arguments", "name", "folder", "said"),
    [
        (NAMED, "Wbc", "wbc", "small letters"),
        (NAMED, "retina_drive", "wbc", "take another"),
        (NAMED, "wbc", "nowhere", "does not exist"),
        (NAMED, "wbc", "wbc/images/patient00_0.png", "is a file"),
        ((*NAMED, "--to", "wbc"), "wbc", "wbc", "contact sheet"),
        ((*NAMED, "--layout", "picture"), "wbc", "wbc", "did you mean 'pictures'"),
        ((*NAMED, "--mirror-axes", "0,2"), "wbc", "wbc", "axes are 0 to 1"),
        (("--class", "128"), "wbc", "wbc", "VALUE=NAME"),
        (("--class", "128=Zytoplasma!"), "wbc", "wbc", "no name of a class"),
        (("--class", "1=a", "--class", "1=b"), "wbc", "wbc", "has a name"),
        (("--spacing", "a,b"), "wbc", "wbc", "numbers with commas"),
        (("--spacing", "0,1"), "wbc", "wbc", "out of range"),
        (("--fill", "--as-is"), "wbc", "wbc", "exclude"),
        (("--gap", "5"), "wbc", "wbc", "--blocks"),
        (("--masks", "a", "--masks", "b=c"), "wbc", "wbc", "either"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    add, tmp_path, arguments, name, folder, said
):
    with pytest.raises(AttnBenchError, match=re.escape(said)):
        add(*arguments, name=name, folder=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["wbc"]


def test_several_wrong_flags_are_said_at_once(add):
    with pytest.raises(AttnBenchError, match=r"--class 128:(?s:.*)--spacing a:(?s:.*)--fill"):
        add("--class", "128", "--spacing", "a", "--fill", "--as-is")


def test_all_files_that_cannot_be_used_are_named_at_once(add, cells, tmp_path):
    folder, _ = cells
    images = sorted((folder / "images").iterdir())
    images[0].write_bytes(b"")
    images[3].write_bytes(images[3].read_bytes()[:-200])
    Image.new("RGB", (20, 48)).save(images[5])
    with pytest.raises(AttnBenchError) as caught:
        add(*NAMED)
    assert all(images[number].name in str(caught.value) for number in (0, 3, 5))
    assert images[1].name not in str(caught.value)
    assert not (tmp_path / "my_sets").exists()


def test_names_that_are_no_text_are_told_and_not_written(add, cells, tmp_path):
    folder, _ = cells
    for kind in ("images", "masks"):
        source = folder / kind / "patient00_0.png"
        source.rename(source.with_name(os.fsdecode(b"patient00_\xe4.png")))
    with pytest.raises(AttnBenchError, match=r"not UTF-8(?s:.*)patient00_"):
        add(*NAMED)
    assert not (tmp_path / "my_sets").exists()


def test_a_catalog_that_cannot_be_written_is_told_before_all_is_read(add, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AttnBenchError, match=r"--to file/sets: .*file is no folder"):
        add(*NAMED, "--to", "file/sets")


def test_a_class_that_no_mask_holds_is_refused(add, tmp_path):
    with pytest.raises(AttnBenchError, match=r"(?s)platelet.*--class"):
        add(*NAMED, "--class", "60=platelet")
    assert not (tmp_path / "my_sets").exists()


@pytest.mark.parametrize("content", [(), ("notes.txt",)])
def test_a_folder_that_is_no_dataset_is_told_what_it_holds(add, tmp_path, content):
    (tmp_path / "other").mkdir()
    for name in content:
        (tmp_path / "other" / name).write_text("hello")
    with pytest.raises(AttnBenchError, match="1 of .txt" if content else "no file"):
        add(folder="other")
