"""A set of several sizes from a server on the loopback into a case store, by the command line."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from attnbench.catalog import ENTRIES
from attnbench.cli import app
from attnbench.data.store import CaseStore
from attnbench.errors import FetchError, StudyError

COUNTS = {"train": 5, "val": 2, "test": 3}
OURS = {"train": "train", "val": "validation", "test": "test"}


def npz(size, channels, most, seed=0):
    """An archive of MedSegBench's layout, as bytes and as arrays."""
    rng, arrays = np.random.default_rng(seed), {}
    for part, count in COUNTS.items():
        shape = (count, size, size) + ((channels,) if channels > 1 else ())
        arrays[f"{part}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        arrays[f"{part}_label"] = rng.integers(0, most + 1, shape[:3], dtype=np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue(), arrays


@pytest.fixture
def place(tmp_path, serve):
    """Write an entry of the catalog as `mine`, its files at a server, and a study that uses it."""

    def write(name, most, served=True, **study):
        entry = yaml.safe_load((ENTRIES / f"{name}.yaml").read_text(encoding="utf-8"))
        made = {size: npz(size, entry["channels"], most, size) for size in (16, 32)}
        files = {f"made_{size}.npz": data for size, (data, _) in made.items()}
        server = serve(files if served else {})
        entry |= {"name": "mine", "cases": 10, "shares_images": []}
        entry["sizes"] = {
            size: {
                "url": f"{server.url}/made_{size}.npz",
                "md5": hashlib.md5(data).hexdigest(),
                "at_most_mb": 1,
            }
            for size, (data, _) in made.items()
        }
        (tmp_path / "sets").mkdir()
        (tmp_path / "sets/mine.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
        content = {"name": "s", "catalog": [str(tmp_path / "sets")], "datasets": ["mine_16"]}
        content |= {"models": ["unet"], "output": str(tmp_path / "out")} | study
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return server, {size: arrays for size, (_, arrays) in made.items()}, files

    return write


def call(verb, tmp_path):
    words = [verb, "--study", str(tmp_path / "study.yaml"), "--dataset", "mine_16"]
    done = CliRunner().invoke(app, words)
    if done.exception:
        raise done.exception


@pytest.mark.parametrize(
    ("name", "most", "parts"),
    [
        ("medseg_wbc", 2, ("train", "val", "test")),
        ("medseg_pandental", 9, ("train", "val", "test")),
        ("medseg_m2caiseg", 18, ("train", "test")),
    ],
)
def test_from_server_to_store(place, tmp_path, name, most, parts):
    server, made, _ = place(name, most, accept_licences=["mine"])
    call("fetch", tmp_path)
    assert server.count() == {"made_16.npz": 1}, "one size, not the other"
    call("inspect", tmp_path)
    call("prepare", tmp_path)
    store = CaseStore.open(tmp_path / "out/data/prepared/mine_16")
    held = pd.read_csv(tmp_path / "out/data/prepared/mine_16/cases.csv", dtype={"case": str})
    expected = {f"{OURS[part]}-{k:05d}": (part, k) for part in parts for k in range(COUNTS[part])}
    assert held["case"].tolist() == [*expected] == held["group"].tolist()
    assert held["label_part"].tolist() == [OURS[part] for part, _ in expected.values()]
    assert store.info.groups_unknown and store.info.cases == len(expected)
    for case, (part, k) in expected.items():
        mask = made[16][f"{part}_label"][k]
        one_class = name == "medseg_pandental"
        np.testing.assert_array_equal(
            store.mask(store.index(case)), mask > 0 if one_class else mask
        )


def test_a_licence_that_was_not_accepted_asks_nothing_of_the_server(place, tmp_path):
    server, _, _ = place("medseg_kvasir", 1)
    for verb in ("fetch", "prepare"):
        with pytest.raises(StudyError, match="for commercial purposes is forbidden"):
            call(verb, tmp_path)
    assert server.asked == [] and not (tmp_path / "out").exists()


def test_another_file_than_the_catalog_says_is_refused_with_both_sums(place, tmp_path):
    server, _, files = place("medseg_wbc", 2)
    server.content["made_16.npz"] = other = npz(16, 3, 2, seed=99)[0]
    with pytest.raises(FetchError) as refused:
        call("fetch", tmp_path)
    for data in (files["made_16.npz"], other):
        assert hashlib.md5(data).hexdigest() in str(refused.value)
    assert not list((tmp_path / "out").rglob("*.npz"))


@pytest.mark.parametrize("name", ["mine", "mine_16"])
def test_a_datasets_own_folder_is_tried_first(place, tmp_path, name):
    folder = tmp_path / "have"
    server, _, files = place("medseg_wbc", 2, data={"mirrors": {name: str(folder)}})
    folder.mkdir()
    (folder / "made_16.npz").write_bytes(files["made_16.npz"])
    call("fetch", tmp_path)
    assert server.asked == []
    receipt = json.loads((tmp_path / "out/data/raw/mine_16/receipt.json").read_text())
    assert receipt["files"][0]["source"] == str(folder / "made_16.npz")


def test_a_wrong_file_in_the_own_folder_is_fetched_from_the_origin(place, tmp_path):
    folder = tmp_path / "have"
    server, _, files = place("medseg_wbc", 2, data={"mirrors": {"mine": str(folder)}})
    folder.mkdir()
    (folder / "made_16.npz").write_bytes(b"something else")
    call("fetch", tmp_path)
    assert server.count() == {"made_16.npz": 1}
    assert (tmp_path / "out/data/raw/mine_16/made_16.npz").read_bytes() == files["made_16.npz"]
    assert (folder / "made_16.npz").read_bytes() == b"something else"


def test_offline_an_own_mirror_is_enough(place, tmp_path, serve):
    server, _, files = place("medseg_wbc", 2)
    mirror = serve({"d/made_16.npz": files["made_16.npz"]})
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    study["data"] = {"mirrors": {"mine": f"{mirror.url}/d/"}, "offline": True}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    call("fetch", tmp_path)
    assert server.asked == [] and mirror.count() == {"d/made_16.npz": 1}
