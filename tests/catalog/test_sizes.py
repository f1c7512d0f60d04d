"""One file in several sizes is several datasets, whose names are known without parsing it all."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnbench.catalog import (
    ENTRIES,
    catalog_names,
    entry_files,
    load_entry,
    read_entries,
    share_images,
)
from attnbench.catalog.sizes import names_in
from attnbench.check import check_study
from attnbench.errors import CatalogError, StudyError
from attnbench.rerun import catalog_files

ADDRESS = {"url": "http://127.0.0.1/a_{}.npz", "md5": "0" * 32}
MADE = {
    "name": "made", "short": "Made", "title": "Made of squares", "task": "t", "modality": "m",
    "ndim": 2, "channels": 1, "classes": {1: "blob"}, "axes": ["a", "b"],
    "mirror": {"axes": [], "reason": "r"}, "cases": 9, "groups": "unknown",
    "groups_inferred": False, "licence": "l", "citation": "c", "reader": "medsegbench",
    "origin": {"kind": "archive", "page": "http://127.0.0.1"}, "traps": ["Groups are unknown."],
    "sizes": {size: {key: text.format(size) for key, text in ADDRESS.items()} for size in (8, 16)},
}  # fmt: skip


def write(folder, **changes):
    folder.mkdir(exist_ok=True)
    path = folder / "made.yaml"
    path.write_text(yaml.safe_dump(MADE | changes, sort_keys=False), encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", sorted(ENTRIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_names_are_those_of_the_entries(path):
    names = [entry.name for entry in read_entries(path)]
    assert list(names_in(path.stem, path.read_text(encoding="utf-8"))) == names
    assert {*names} <= {*catalog_names()}


@given(
    sizes=st.lists(st.integers(1, 4096), min_size=1, max_size=5, unique=True),
    place=st.integers(0, 5),
    flow=st.sampled_from([None, False]),
    comment=st.booleans(),
)
def test_names_are_read_wherever_and_however_sizes_are_written(sizes, place, flow, comment):
    content = {f"k{number}": ["sizes:", {"sizes": number}] for number in range(5)}
    keys = [*content]
    keys.insert(place, "sizes")
    content["sizes"] = {size: {"url": "u", "md5": "m"} for size in sizes}
    text = yaml.safe_dump(
        {key: content[key] for key in keys}, sort_keys=False, default_flow_style=flow, width=30
    )
    if comment:
        text = text.replace("sizes:\n", "sizes:  # in pixels\n", 1)
    assert names_in("n", text) == tuple(f"n_{size}" for size in yaml.safe_load(text)["sizes"])


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nsizes: {8: {url: u}, 16: {url: u}}\nb: 2\n",
        "sizes: {\n  8: {},\n\n# c\n 16: {}\n}\nb: 2",
    ],
)
def test_names_are_read_from_sizes_in_braces(text):
    assert names_in("n", text) == ("n_8", "n_16")


def test_a_users_own_file_in_sizes_is_found(tmp_path):
    folders = (write(tmp_path / "sets"),)
    assert {"made_8", "made_16"} <= {*catalog_names(folders)}
    entry = load_entry("made_16", folders)
    assert (entry.short, entry.title) == ("Made 16", "Made of squares, 16 x 16")
    assert (entry.origin.url, entry.family) == ("http://127.0.0.1/a_16.npz", "made")
    assert entry_files(folders)["made_16"] == tmp_path / "sets/made.yaml"
    study = check_study(
        {"name": "s", "catalog": [str(folders[0])], "datasets": ["made_8"], "models": ["unet"]}
    )
    assert catalog_files(study, "made_8") == [tmp_path / "sets/made.yaml"]


def test_sizes_of_one_set_share_its_images(tmp_path):
    small, large = (load_entry(f"made_{size}", (write(tmp_path),)) for size in (8, 16))
    assert share_images(small, large)
    assert share_images(load_entry("retina_drive"), load_entry("medseg_drive_512"))
    assert share_images(load_entry("medseg_drive_512"), load_entry("retina_drive"))
    assert not share_images(load_entry("retina_drive"), load_entry("medseg_chasedb1_512"))


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({}, "is expected"),
        ([8, 16], "is expected"),
        ({8: "http://127.0.0.1/a.npz"}, "no number of pixels with url, md5"),
        ({"small": {"url": "http://127.0.0.1/a.npz", "md5": "0" * 32}}, "'small' is no number"),
        ({8: {"url": "http://127.0.0.1/a.npz", "sha1": "0"}}, "sha1"),
        ({8: {"url": "http://127.0.0.1/a.npz", "md5": "short"}}, "md5"),
        ({8: {"md5": "0" * 32}}, "url"),
    ],
)
def test_wrong_sizes_are_refused(tmp_path, sizes, reason):
    with pytest.raises(CatalogError, match=reason):
        read_entries(write(tmp_path, sizes=sizes) / "made.yaml")


def test_a_broken_entry_that_no_study_uses_breaks_none(tmp_path):
    """Study commands read the entries in use alone, however many there are."""
    (write(tmp_path) / "broken.yaml").write_text("origin: [\n", encoding="utf-8")
    content = {"name": "s", "catalog": [str(tmp_path)], "models": ["unet"]}
    assert check_study(content | {"datasets": ["made_8"]}).datasets[0].name == "made_8"
    with pytest.raises(StudyError, match=r"broken\.yaml: not valid YAML"):
        check_study(content | {"datasets": ["broken"]})
